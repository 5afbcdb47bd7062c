/** `ol dev` against a real worker: a user edits a file, and the command uploads each version. */
import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { OlDir, PROGRAM } from '../support/ol';
import { freePort } from '../support/ports';
import { describePrivileged } from '../support/privileged';
import { until } from '../support/until';

jest.setTimeout(120_000);

const version = (n: number) => `def f(event):\n    print("printed by", ${n})\n    return ${n}\n`;

describePrivileged('ol dev', () => {
  const here = new OlDir();
  let url: string;

  beforeAll(async () => {
    const port = String(await freePort());
    url = `http://localhost:${port}`;
    await here.start(port);
  });
  afterAll(() => here.dispose());

  const invoke = async (): Promise<string> => (await fetch(`${url}/run/looped`, { method: 'POST', body: '{}' })).text();

  test('uploads each change, runs it at the next call, shows log and errors, and ends cleanly', async () => {
    mkdirSync(here.path('looped/ignored'), { recursive: true });
    writeFileSync(here.path('looped/f.py'), version(1));
    writeFileSync(here.path('looped/.olignore'), 'ignored/\n*.tmp\n');
    const staged = () => readdirSync(tmpdir()).filter((name) => name.startsWith('ol-install-'));
    const before = staged();
    const child = spawn(PROGRAM, ['dev', 'looped', '-p', 'w'], { cwd: here.dir });
    const said = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
    const ended = new Promise<number | null>((done) => child.on('close', done));
    const uploads = () => said.err.match(/^uploaded looped in \d+ ms$/gm)?.length ?? 0;
    try {
      await until('the first upload', () => said.err.includes('call it:'));
      expect(said.err).toContain(`call it:  ol invoke looped -p w -d '{}'\n     or:  curl -d '{}' ${url}/run/looped\n`);
      expect(await invoke()).toBe('1');
      await until('the log is shown', () => said.out.includes('printed by 1'));

      // This is much earlier than the end of registry_cache_ms, 5 s.
      writeFileSync(here.path('looped/f.py'), version(2));
      await until('the second upload', () => uploads() === 2);
      expect(await invoke()).toBe('2');

      writeFileSync(here.path('looped/ol.yaml'), 'triggers: {http: GET}\n');
      await until('the fault is told', () => said.err.includes('triggers.http must be a list'));
      expect(said.err).toMatch(/^not uploaded: .*triggers\.http must be a list/m);
      expect(await invoke()).toBe('2');

      // A change of an ignored file uploads nothing. The next upload is that of the corrected file.
      writeFileSync(here.path('looped/ignored/x.py'), '');
      writeFileSync(here.path('looped/x.tmp'), '');
      mkdirSync(here.path('looped/lib'));
      writeFileSync(here.path('looped/lib/part.py'), 'N = 3\n');
      writeFileSync(here.path('looped/f.py'), 'from lib.part import N\ndef f(event):\n    return N\n');
      writeFileSync(here.path('looped/ol.yaml'), '{}\n');
      await until('the third upload', () => uploads() === 3);
      expect(await invoke()).toBe('3');
      // A file in a new folder.
      writeFileSync(here.path('looped/lib/part.py'), 'N = 4\n');
      await until('the fourth upload', () => uploads() === 4);
      expect(await invoke()).toBe('4');
    } finally {
      child.kill('SIGINT');
    }
    expect(await ended).toBe(0);
    expect(said.err).toMatch(/stopped; looped stays in the worker, ol rm deletes it\n$/);
    expect(uploads()).toBe(4);
    expect(staged().filter((name) => !before.includes(name))).toEqual([]);
  });

  test('reports what it cannot watch', async () => {
    expect(await here.ol(['dev', 'nowhere', '-p', 'w'])).toMatchObject({
      code: 1,
      err: 'nowhere is no directory; ol new NAME makes one with a function\n',
    });
  });
});
