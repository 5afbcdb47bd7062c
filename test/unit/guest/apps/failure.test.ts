/** A guest without an answer reports the reason to its next request. */
import { Guest, LEAF } from '../../../support/guest/guest';

const said = (headers: NodeJS.Dict<string | string[]>): string =>
  JSON.parse(String(headers['x-argyle-failure'])) as string;

describe('a missing module', () => {
  const files = { 'packages/alpha==1.0/files/alpha.py': 'import nosuch\n', 'handler/helper.py': 'import nosuch\n' };
  const HINT = 'the package that has it in requirements.txt, see docs/packages.md';

  test.each([
    ['alpha', `No module named 'nosuch' (alpha==1.0 needs it: list ${HINT})`],
    ['helper', `No module named 'nosuch' (list ${HINT})`],
    ['nosuch', `No module named 'nosuch' (list ${HINT})`],
  ])('that %s imports is reported with advice', async (module, expected) => {
    const guest = Guest.start('leaf', { ...files, 'handler/f.py': `import ${module}\n` });
    await guest.boot({ ...LEAF, sys_path: [`${guest.root}/packages/alpha==1.0/files`] });
    const reply = await guest.request();
    expect(said(reply.headers)).toBe(`the function could not be loaded: ModuleNotFoundError: ${expected}`);
    await guest.stop();
  });
});

test('answers omit the exception when hide_errors is set; the log has it', async () => {
  const guest = await Guest.leaf('raise ValueError("secret")\n', { hide_errors: true });
  const reply = await guest.request();
  expect([reply.status, said(reply.headers), reply.body]).toEqual([
    502,
    'the function could not be loaded; its log says why',
    '',
  ]);
  await guest.stop();
  expect(guest.stderr).toMatch(/ValueError: secret/);
});

test('a client that connects later gets the report, too', async () => {
  const guest = Guest.start('leaf', { 'handler/f.py': 'raise ValueError("late")\n' });
  (await guest.boot(LEAF)).end();
  const answer = await guest.raw('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  expect(answer).toMatch(/^HTTP\/1.1 502 Bad Gateway\r\n[^]*x-argyle-failure: "[^\r]*ValueError: late"\r\n/);
  expect(await guest.exited).toBe(1);
  await guest.stop();
});

test.each<[string, string, string, number]>([
  [
    'a WSGI application that raises',
    'def app(environ, start):\n    raise KeyError("k")\n',
    "the application failed: KeyError: 'k'",
    1,
  ],
  [
    'an ASGI application that exits',
    'import sys\nasync def app(scope, receive, send):\n    if scope["type"] == "http":\n        sys.exit(4)\n    raise ValueError\n',
    'the function ended its process: SystemExit: 4',
    4,
  ],
  [
    'an ASGI application that does not start up',
    'async def app(scope, receive, send):\n    await receive()\n    await send({"type": "lifespan.startup.failed", "message": "no db"})\n',
    'ASGI lifespan startup failed: StartupFailed: no db',
    1,
  ],
  [
    'an exception beside Exception',
    'class Panic(BaseException):\n    pass\n\ndef f(event):\n    raise Panic("Resource temporarily unavailable")\n',
    "the function ended its process: Panic: Resource temporarily unavailable (limits.procs is 9; if it was reached, raise it in the function's ol.yaml)",
    1,
  ],
])('%s', async (_, source, expected, code) => {
  const guest = await Guest.leaf(source, { limits: { mem_mb: 50, procs: 9, runtime_sec: 5 } });
  const reply = await guest.request();
  expect([reply.status, said(reply.headers)]).toEqual([502, expected]);
  expect(await guest.exited).toBe(code);
  await guest.stop();
});

test('a handler that cannot start a thread gets advice about limits.procs', async () => {
  const source = `def f(event):\n    raise RuntimeError("can't start new thread")\n`;
  const guest = await Guest.leaf(source, { limits: { mem_mb: 50, procs: 9, runtime_sec: 5 } });
  const reply = await guest.request();
  expect([reply.status, reply.body]).toEqual([500, expect.stringMatching(/new thread\nlimits\.procs is 9; [^\n]+\n$/)]);
  await guest.stop();
});

test('a child that the handler forked exits without an answer', async () => {
  const source =
    'import os, sys\ndef f(event):\n    pid = os.fork()\n    if pid == 0:\n        sys.exit(5)\n' +
    '    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n';
  const guest = await Guest.leaf(source);
  for (let round = 0; round < 2; round++) expect((await guest.request()).body).toBe('5');
  await guest.stop();
});
