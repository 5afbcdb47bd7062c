/** Expectations of Python code, in real sandboxes. docs/python.md names the test for each of its lines. */
import { deploy, invoke } from '../../support/deploy';
import { E2eWorker, ROOT_ZYGOTE } from '../../support/spawned-worker';
import { startTestMirror, type TestMirror } from '../../support/mirror';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';
import { PYTHON_CASES } from '../../support/python-cases';

jest.setTimeout(process.env['ARGYLE_VM'] === '1' ? 600_000 : 60_000);

const LIMITS = 'limits: {mem_mb: 200, procs: 40, runtime_sec: 20}';

describePrivileged('Python code', () => {
  let mirror: TestMirror;
  let worker: E2eWorker;

  beforeAll(async () => {
    mirror = await startTestMirror();
    worker = new E2eWorker({
      config: {
        pip_mirror: mirror.url,
        ...ROOT_ZYGOTE,
      },
    });
    await worker.init();
    await worker.up();
  });
  afterAll(async () => {
    await worker.remove();
    await mirror.close();
  });

  it.each(PYTHON_CASES)('$name', async ({ name, source, gives, status = 200, yaml = '', requirements, logs = [] }) => {
    const files: Record<string, string> = { 'f.py': source, 'helper.py': 'X = 5\n', 'ol.yaml': `${LIMITS}\n${yaml}\n` };
    if (requirements !== undefined) files['requirements.txt'] = `${requirements}\n`;
    const called = name.replaceAll(/[^a-z]+/gi, '-');
    await deploy(worker.url, files, called);
    const answer = await invoke(worker.url, called, {});
    const body: unknown = gives instanceof RegExp ? answer.body : JSON.parse(answer.body);
    expect([answer.status, body]).toEqual([status, gives instanceof RegExp ? expect.stringMatching(gives) : gives]);
    for (const line of logs) await until(`the log has ${line}`, () => worker.output().includes(line));
  });

  it('logs output to /dev/stdout once, at any length', async () => {
    const source =
      'def f(event):\n    with open("/dev/stdout", event["mode"]) as file:\n' +
      '        file.write(event["text"] * event["times"] + "\\n")\n    return 1\n';
    await deploy(worker.url, { 'f.py': source, 'ol.yaml': LIMITS }, 'writes');
    const write = (text: string, times = 1, mode = 'a') => invoke(worker.url, 'writes', { mode, text, times });
    for (const text of ['first-', 'second-', 'third-']) expect((await write(text)).status).toBe(200);
    // This output exceeds the limit for one request and the limit of the log file.
    expect((await write('x', 2 << 20)).status).toBe(200);
    expect((await write('fourth-')).status).toBe(200);
    expect((await write('fifth-', 1, 'w')).status).toBe(200);
    const count = (text: string) => worker.output().split(text).length - 1;
    await until('the last one is there', () => count('fifth-') > 0);
    expect(['first-', 'second-', 'third-', 'fourth-', 'fifth-'].map(count)).toEqual([1, 1, 1, 1, 1]);
  });

  it.each([
    ['a missing module', 'import nosuch\n', "could not be loaded: ModuleNotFoundError: No module named 'nosuch'"],
    ['a syntax error', 'def f(:\n', 'could not be loaded: SyntaxError: '],
    ['a module without f', 'x = 1\n', 'could not be loaded: AttributeError: f.py defines neither f nor app'],
    ['a missing variable', 'import os\nos.environ["X"]\n', "could not be loaded: KeyError: 'X'"],
    ['an exit', 'import sys\ndef f(event):\n    sys.exit(3)\n', 'ended its process: SystemExit: 3'],
    ['an error of WSGI', 'def app(e, s):\n    1 / 0\n', 'application failed: ZeroDivisionError: division by zero'],
  ])('reports %s with the same message for each call, with a traceback', async (title, source, said) => {
    const name = title.replaceAll(' ', '-');
    await deploy(worker.url, { 'f.py': source, 'ol.yaml': LIMITS }, name);
    for (let round = 0; round < 6; round++) {
      const { status, body } = await invoke(worker.url, name, { round });
      expect([status, body]).toEqual([502, expect.stringContaining(said)]);
      expect(body).toMatch(/^RoundTrip failed: Post "[^"]+": the [^\n]+\n\nSandbox State: [^]*\n\nTraceback [^]*\n$/);
    }
    const traceback = /^.*Traceback \(most recent call last\)/m;
    await until('the log has it', () => traceback.test(worker.output().slice(worker.output().indexOf(`${name}#`))));
  });

  it('names limits.procs when this limit ended the function', async () => {
    const source =
      'import os, threading, time\n\ndef f(event):\n    try:\n        for _ in range(30):\n' +
      '            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()\n' +
      '    except RuntimeError:\n        os.abort()\n';
    await deploy(worker.url, { 'f.py': source, 'ol.yaml': 'limits: {procs: 7}\n' }, 'many-threads');
    const answer = await invoke(worker.url, 'many-threads', {});
    expect(answer.status).toBe(502);
    expect(answer.body).toMatch(/limits\.procs is 7\b/);
  });

  it('names limits.mem_mb when memory ran out', async () => {
    const source = 'def f(event):\n    return len(bytearray(1 << 28))\n';
    await deploy(worker.url, { 'f.py': source, 'ol.yaml': 'limits: {mem_mb: 60}\n' }, 'memory');
    const answer = await invoke(worker.url, 'memory', {});
    expect(answer.status).toBe(502);
    expect(answer.body).toMatch(/^RoundTrip failed: .*out of memory: limits\.mem_mb is 60 MB; raise it in /);
  });
});
