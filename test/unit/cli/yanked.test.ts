import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildPackages } from '../../../packages-mirror/builder';
import { hostTools } from '../../../src/cli/admin/host-tools';
import { lockFolder } from '../../../src/cli/admin/locking';
import { ROOT } from '../../support/ol';

jest.setTimeout(60_000);

/** pip's report does not mention a yanked version. */
const withUv = existsSync(join(ROOT, 'build/guest/uv')) ? test : test.skip;
const WHEEL = 'argyle_sample_tiny-1.0.0-py3-none-any.whl';

withUv('a version that the index has yanked is locked where it is pinned, with a warning', async () => {
  const wheel = readFileSync(join(await buildPackages(), WHEEL));
  const server = createServer((request, response) => {
    const isPage = request.url?.startsWith('/simple/') ?? false;
    response.setHeader('content-type', isPage ? 'text/html' : 'application/octet-stream');
    response.end(isPage ? `<a href="/${WHEEL}" data-yanked="it breaks">${WHEEL}</a>` : wheel);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const dir = mkdtempSync(join(tmpdir(), 'argyle-yanked-'));
  try {
    writeFileSync(join(dir, 'requirements.txt'), 'argyle-sample-tiny==1.0.0 ; python_version >= "3"\n');
    const mirror = `http://127.0.0.1:${(server.address() as AddressInfo).port}/simple/`;
    const warnings: string[] = [];
    const tools = { ...(await hostTools('', mirror, process.env)), warn: (text: string) => warnings.push(text) };
    const locked = await lockFolder(dir, tools);
    expect(locked?.pins.map(({ spec }) => spec)).toEqual(['argyle-sample-tiny==1.0.0']);
    expect(warnings).toEqual([expect.stringMatching(/argyle-sample-tiny==1\.0\.0.* is yanked .*it breaks/)]);
  } finally {
    rmSync(dir, { recursive: true });
    server.closeAllConnections();
    server.close();
  }
});
