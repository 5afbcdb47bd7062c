/** The five-minute tour of the README. Each command runs exactly as it is written there. */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { OlDir, PROGRAM, ROOT } from '../support/ol';
import { freePort } from '../support/ports';
import { describePrivileged } from '../support/privileged';

jest.setTimeout(120_000);

/** The commands of the tour, without comments. */
function commands(): string[] {
  const page = readFileSync(join(ROOT, 'README.md'), 'utf8');
  const [, block = ''] = /^## Five minutes\n\n```sh\n([^]*?)```/m.exec(page) ?? [];
  return block
    .split('\n')
    .map((line) => line.replace(/ +# .*$/, ''))
    .filter((line) => line !== '');
}

describePrivileged("the README's five minutes", () => {
  const here = new OlDir();
  let port: string;
  beforeAll(async () => {
    port = String(await freePort());
    await here.start(port);
    // Commands without -p read the port from this file. The README's worker has the default port.
    writeFileSync(here.path('template.json'), JSON.stringify(here.json('w/config.json')));
  });
  afterAll(() => here.dispose());

  const ANSWER = '{"greeting": "Hello, Ada!"}';
  const expected: Record<string, RegExp | string> = {
    new: /^made hello: f\(event\)/,
    admin: 'Successfully installed lambda function: hello\n',
    invoke: `${ANSWER}\n`,
    curl: ANSWER,
    ls: 'hello\n',
    describe: /^name: hello\n/,
    top: /^hello +[\d.]+ /m,
    rm: 'Lambda hello deleted successfully\n',
  };

  test.each(commands())('%s', async (line) => {
    const command = line.replace(/^bin\/ol/, PROGRAM).replace('localhost:5000', `localhost:${port}`);
    const { stdout } = await promisify(execFile)('bash', ['-c', command], { cwd: here.dir });
    const word = /^(?:bin\/ol )?(\w+)/.exec(line)?.[1] ?? '';
    const wanted = expected[word];
    if (wanted instanceof RegExp) expect(stdout).toMatch(wanted);
    else expect(stdout).toBe(wanted);
  });
});
