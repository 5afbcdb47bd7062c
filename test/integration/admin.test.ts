/** `ol admin` and `ol pprof` against a real worker, in separate processes. */
import { execFile } from 'node:child_process';
import { mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ask as get, OlDir } from '../support/ol';
import { freePort } from '../support/ports';
import { describePrivileged } from '../support/privileged';

jest.setTimeout(120_000);

let here: OlDir;
let dir: string;
const ol: OlDir['ol'] = (...args) => here.ol(...args);

beforeEach(() => {
  here = new OlDir();
  dir = here.dir;
});

afterEach(() => here.dispose());

describePrivileged('with a worker', () => {
  let port: string;

  beforeEach(async () => {
    port = String(await freePort());
  });

  test('a lambda is installed from a directory, with options for ol.yaml, requirements and name', async () => {
    await here.start(port);
    mkdirSync(join(dir, 'hello/lib'), { recursive: true });
    writeFileSync(
      join(dir, 'hello/f.py'),
      'import os\nfrom lib.m import X\ndef f(event):\n    return [X, os.environ.get("A"), event]\n',
    );
    writeFileSync(join(dir, 'hello/lib/m.py'), 'X = 1\n');
    expect(await ol(['admin', 'install', '-p', 'w', 'hello'])).toEqual({
      code: 0,
      out: 'Successfully installed lambda function: hello\n',
      err: '',
    });
    const call = (name: string) => get(`http://127.0.0.1:${port}/run/${name}`, { method: 'POST', body: '{"k":2}' });
    expect(JSON.parse((await call('hello')).body)).toEqual([1, null, { k: 2 }]);
    writeFileSync(join(dir, 'o.yaml'), 'environment:\n  A: "b"\n');
    writeFileSync(join(dir, 'r.txt'), '# nothing\n');
    const more = ['-c', 'o.yaml', '-r', 'r.txt', '-n', 'other'];
    expect(await ol(['admin', 'install', '-p', 'w', ...more, 'hello'])).toMatchObject({ code: 0 });
    expect(JSON.parse((await call('other')).body)).toEqual([1, 'b', { k: 2 }]);
    writeFileSync(join(dir, 'hello/ol.yaml'), 'environment:\n  A: own\n');
    expect(await ol(['admin', 'install', '-p', 'w', '-c', 'o.yaml', 'hello'])).toMatchObject({
      code: 0,
      err: `warning: ${join(dir, 'o.yaml')} takes the place of the directory's ol.yaml\n`,
    });
  });

  test("a lambda is installed from a git repository under the repository's name", async () => {
    await here.start(port);
    const work = join(dir, 'fromgit');
    mkdirSync(work);
    writeFileSync(join(work, 'f.py'), 'def f(event):\n    return "git"\n');
    const git = (...args: string[]) => promisify(execFile)('git', ['-C', work, ...args]);
    await git('init', '-q');
    await git('add', '.');
    await git('-c', 'user.name=t', '-c', 'user.email=t@localhost', 'commit', '-qm', 'f');
    await git('clone', '-q', '--bare', '.', join(dir, 'fromgit.git'));
    const installed = await ol(['admin', 'install', '-p', 'w', `file://${join(dir, 'fromgit.git')}`]);
    expect(installed).toMatchObject({ code: 0, out: 'Successfully installed lambda function: fromgit\n' });
    expect(await get(`http://127.0.0.1:${port}/run/fromgit`, { method: 'POST' })).toEqual({
      status: 200,
      body: '"git"',
    });
  });

  test('a directory that is no lambda is refused with the reason, and not uploaded', async () => {
    await here.start(port);
    const make = (name: string, file = 'f.py') => {
      mkdirSync(join(dir, name));
      writeFileSync(join(dir, name, file), '');
      return join(dir, name);
    };
    symlinkSync('/etc/passwd', join(make('linked'), 'secret'));
    make('empty', 'g.py');
    writeFileSync(join(make('badyaml'), 'ol.yaml'), '# nothing\n');
    make('bad name');
    const cases: [string, RegExp][] = [
      ['linked', /secret is a symbolic link/],
      ['empty', /no f\.py or f\.bin found/],
      ['badyaml', /EOF/],
      ['bad name', /invalid function name "bad name"/],
      ['absent', /neither a directory nor/],
      [`file://${join(dir, 'absent.git')}`, /could not clone/],
    ];
    for (const [target, message] of cases) {
      const { code, err } = await ol(['admin', 'install', '-p', 'w', target]);
      expect([target, code]).toEqual([target, 1]);
      expect(err).toMatch(message);
    }
    expect(await ol(['admin', 'install', '-p', 'w'])).toMatchObject({ code: 1 });
    const missing = await ol(['admin', 'install', '-p', 'w', '-r', 'nothing.txt', 'linked']);
    expect([missing.code, missing.err]).toEqual([1, expect.stringContaining('nothing.txt does not exist')]);
    const both = await ol(['admin', 'install', '-p', 'w', 'boss', 'linked']);
    expect([both.code, both.err]).toEqual([1, expect.stringContaining("'boss' and -p name different places")]);
    expect(JSON.parse((await get(`http://127.0.0.1:${port}/registry/`)).body)).toEqual([]);
  });

  test('a syntax error is a warning with its line, as for an example of the original in Python 2', async () => {
    await here.start(port);
    mkdirSync(join(dir, 'wrong'));
    writeFileSync(join(dir, 'wrong/f.py'), "def f(event):\n    print 'text'\n");
    const { code, out, err } = await ol(['admin', 'install', '-p', 'w', 'wrong']);
    expect([code, out + err]).toEqual([
      0,
      expect.stringMatching(/^warning: f\.py, line 2: .*, so its calls will fail$/m),
    ]);
    const quiet = await ol(['admin', 'install', '-p', 'w', '--no-resolve', 'wrong']);
    expect([quiet.code, quiet.out + quiet.err]).toEqual([0, expect.not.stringContaining('warning')]);
  });

  test('admin install without -p takes the port from template.json', async () => {
    await ol(['worker', 'init', '-p', 'w']);
    writeFileSync(join(dir, 'template.json'), JSON.stringify({ ...here.json('w/config.json'), worker_port: port }));
    mkdirSync(join(dir, 'fn'));
    writeFileSync(join(dir, 'fn/f.py'), 'def f(event):\n    return 1\n');
    const { code, err } = await ol(['admin', 'install', 'fn']);
    expect(code).toBe(1);
    expect(err).toContain(`no answer from http://localhost:${port}/status`);
    await here.start(port);
    expect(await ol(['admin', 'install', 'fn'])).toMatchObject({ code: 0 });
  });

  test('pprof saves profiles', async () => {
    await here.start(port);
    expect(await ol(['pprof', 'cpu-start', '-p', 'w'])).toMatchObject({ code: 0 });
    expect(await ol(['pprof', 'cpu-start', '-p', 'w'])).toMatchObject({ code: 1 });
    expect(await ol(['pprof', 'cpu-stop', '-p', 'w', '-o', 'c.prof'])).toMatchObject({ code: 0 });
    expect(statSync(join(dir, 'c.prof')).size).toBeGreaterThan(0);
  });
});
