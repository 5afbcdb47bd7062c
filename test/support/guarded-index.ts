/** A package index on loopback that requires credentials, or gives the same fault for every request. */
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startMirror } from '../../packages-mirror/server';

export interface GuardedIndex {
  url: string;
  port: number;
  /** `ok` serves requests with the right credentials; a number is the status of all answers; `hang` never answers. */
  mode: 'ok' | 'hang' | number;
  close(): Promise<void>;
}

export const LOGIN = { user: 'ann', password: 's3cr=t/x' };

/** A source package whose build backend stores all credentials that it can see. It has no dependencies. */
const BACKEND = `import os, zipfile

def seen():
    names = [os.environ.get("NETRC", "/tmp/netrc"), "/tmp/netrc"] + ["/tmp/" + name for name in os.listdir("/tmp")]
    out = [repr(sorted(os.environ.items()))]
    for name in names:
        try:
            with open(os.open(name, os.O_RDONLY | os.O_NONBLOCK)) as file:
                out.append(file.read())
        except OSError as error:
            out.append(repr(error))
    return "\\n".join(out)

def build_wheel(folder, settings=None, metadata=None):
    name = "argyle_spy-1.0-py3-none-any.whl"
    info = "argyle_spy-1.0.dist-info/"
    with zipfile.ZipFile(os.path.join(folder, name), "w") as wheel:
        wheel.writestr("argyle_spy.py", "SEEN = " + ascii(seen()))
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: argyle-spy\\nVersion: 1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
`;

/** Serves the files of `dir` and argyle-spy. */
export async function startGuardedIndex(dir: string): Promise<GuardedIndex> {
  const files = mkdtempSync(join(tmpdir(), 'argyle-index-'));
  cpSync(dir, files, { recursive: true });
  const source = join(files, 'argyle-spy-1.0');
  mkdirSync(source);
  writeFileSync(join(source, 'backend.py'), BACKEND);
  writeFileSync(join(source, 'PKG-INFO'), 'Metadata-Version: 2.1\nName: argyle-spy\nVersion: 1.0\n');
  writeFileSync(
    join(source, 'pyproject.toml'),
    '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
  );
  execFileSync('tar', ['-czf', join(files, 'argyle-spy-1.0.tar.gz'), '-C', files, 'argyle-spy-1.0']);
  rmSync(source, { recursive: true });
  const mirror = await startMirror({ dir: files });
  const expected = `Basic ${Buffer.from(`${LOGIN.user}:${LOGIN.password}`).toString('base64')}`;
  const server = createServer((from, to) => {
    if (index.mode === 'hang') return;
    if (index.mode !== 'ok') to.writeHead(index.mode).end();
    else if (from.headers.authorization === expected) pass(from, to, mirror.url);
    else to.writeHead(401, { 'www-authenticate': 'Basic realm="index"' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const index: GuardedIndex = {
    url: `http://127.0.0.1:${port}/simple/`,
    port,
    mode: 'ok',
    close: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await mirror.close();
      rmSync(files, { recursive: true });
    },
  };
  return index;
}

function pass(from: IncomingMessage, to: ServerResponse, mirror: string): void {
  const asked = request(new URL(from.url ?? '/', mirror), { method: from.method, headers: from.headers }, (answer) => {
    to.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(to);
  });
  asked.on('error', () => to.destroy());
  asked.end();
}
