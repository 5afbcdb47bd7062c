import { once } from 'node:events';
import path from 'node:path';
import { Guest, LEAF } from '../../support/guest/guest';

const ECHO = 'def f(event):\n    return event\n';

describe('boot frame', () => {
  const document = JSON.stringify(LEAF);

  test('may arrive before GO, in pieces, followed by the request', async () => {
    const guest = Guest.start('leaf', { 'handler/f.py': ECHO }, false);
    const socket = (await guest.connect()).setEncoding('latin1');
    const text =
      `ARGYLE-BOOT/1 ${document.length}\n${document}` +
      'POST /run/echo HTTP/1.1\r\nHost: root\r\nContent-Length: 1\r\n\r\n7';
    for (let at = 0; at < text.length; at += 16) {
      socket.write(text.slice(at, at + 16));
      await new Promise(setImmediate);
    }
    guest.order('go');
    expect(((await once(socket, 'data')) as [string])[0]).toMatch(/^HTTP\/1.1 200 OK\r\n[^]*\r\n\r\n7$/);
    await guest.stop();
  });

  test('that is incomplete is dropped, and the next connection may boot', async () => {
    const guest = Guest.start('leaf', { 'handler/f.py': ECHO });
    for (const part of ['', 'ARGY', 'ARGYLE-BOOT/1 1', 'ARGYLE-BOOT/1 10\n{']) expect(await guest.raw(part)).toBe('');
    await guest.boot(LEAF);
    expect((await guest.request({ body: '1' })).body).toBe('1');
    await guest.stop();
  });

  test.each([
    ['other bytes', 'GET / HTTP/1.1\r\nHost: x\r\n\r\n', /BootError: frame: expected .* got b'GET \/ HTTP/],
    ['a length that is none', 'ARGYLE-BOOT/1 x\n', /BootError: frame: /],
    ['a huge length', 'ARGYLE-BOOT/1 9999999999\n', /BootError: length: 9999999999 is more than/],
    ['a broken document', 'ARGYLE-BOOT/1 2\n{]', /BootError: document: /],
    ['another type', 'ARGYLE-BOOT/1 2\n[]', /BootError: document: expected an object, got list/],
    ['another role', 'ARGYLE-BOOT/1 17\n{"role":"zygote"}', /BootError: role: the boot document says 'zygote'/],
  ])('refuses %s', async (_, bytes, message) => {
    const guest = Guest.start('leaf', { 'handler/f.py': ECHO });
    await guest.raw(bytes);
    expect(await guest.exited).toBe(1);
    expect(guest.stderr).toMatch(message);
    await guest.stop();
  });

  test('without GO runs no code of the handler, and the guest ends with the link', async () => {
    const guest = Guest.start('leaf', { 'handler/f.py': `import sys\nprint('ran', file=sys.stderr)\n${ECHO}` }, false);
    (await guest.connect()).write(`ARGYLE-BOOT/1 ${document.length}\n${document}`);
    await new Promise((resolve) => setTimeout(resolve, 300));
    guest.order('close');
    expect(await guest.exited).toBe(0);
    expect(guest.stderr).toBe('');
    await guest.stop();
  });

  test('an unknown role is refused', async () => {
    const guest = Guest.start('cook');
    expect(await guest.exited).toBe(2);
    expect(guest.stderr).toBe("guest: ROLE must be leaf, zygote or installer, got ['cook']\n");
    await guest.stop();
  });
});

describe('entry', () => {
  const WSGI = 'def NAME(environ, start):\n    start("200 OK", [])\n    return [b"wsgi NAME"]\n';
  const ASGI =
    'async def NAME(scope, receive, send):\n' +
    '    await send({"type": "http.response.start", "status": 200})\n' +
    '    await send({"type": "http.response.body", "body": b"asgi NAME"})\n';
  const F = 'def f(event):\n    return "f"\n';
  const wsgi = (name: string) => WSGI.replaceAll('NAME', name);
  const asgi = (name: string) => ASGI.replaceAll('NAME', name);
  const PARTIAL = 'import functools\napp = functools.partial(real)\n';

  const chosen: [string, string, Record<string, string>, string][] = [
    ['f before app', F + wsgi('app'), {}, '"f"'],
    ['a WSGI app', wsgi('app'), {}, 'wsgi app'],
    ['an ASGI app', asgi('app'), {}, 'asgi app'],
    ['an ASGI app in a partial', asgi('real') + PARTIAL, {}, 'asgi real'],
    ['a WSGI app in a partial', wsgi('real') + PARTIAL, {}, 'wsgi real'],
    ['OL_WSGI_ENTRY before f', F + wsgi('web') + asgi('app'), { OL_WSGI_ENTRY: 'web' }, 'wsgi web'],
    ['OL_ASGI_ENTRY before f', F + asgi('web') + wsgi('app'), { OL_ASGI_ENTRY: 'web' }, 'asgi web'],
    ['OL_WSGI_ENTRY first', wsgi('one') + asgi('two'), { OL_WSGI_ENTRY: 'one', OL_ASGI_ENTRY: 'two' }, 'wsgi one'],
    [
      'an attribute of an attribute',
      `class ns:\n  x = None\n${wsgi('web')}ns.x = web`,
      { OL_WSGI_ENTRY: 'ns.x' },
      'wsgi web',
    ],
  ];
  test.each(chosen)('is %s', async (_, source, env, expected) => {
    const guest = await Guest.leaf(source, { env });
    expect((await guest.request()).body).toBe(expected);
    await guest.stop();
  });

  const named: [string, Partial<typeof LEAF> & { env?: Record<string, string> }][] = [
    ['OL_ENTRY_FILE', { env: { OL_ENTRY_FILE: 'other.py' } }],
    ['entry_file', { entry_file: 'other.py' }],
    ['a name that the standard library has too', { entry_file: 'string.py' }],
  ];
  test.each(named)('comes from the file that %s names', async (_, boot) => {
    const source = 'import helper\ndef f(event):\n    return [__name__, helper.x]\n';
    const files = { 'handler/other.py': source, 'handler/string.py': source, 'handler/helper.py': 'x = 1\n' };
    const guest = Guest.start('leaf', files);
    await guest.boot({ ...LEAF, ...boot });
    const name = boot.entry_file === 'string.py' ? 'string' : 'other';
    expect(JSON.parse((await guest.request()).body)).toEqual([name, 1]);
    await guest.stop();
  });

  test('finds no module of the runtime under its plain name', async () => {
    const guest = Guest.start('leaf', {
      'handler/f.py': 'import entry, http1\ndef f(event):\n    return [entry.x, http1.x]\n',
      'handler/entry.py': 'x = 1\n',
      'handler/http1.py': 'x = 2\n',
    });
    await guest.boot(LEAF);
    expect(JSON.parse((await guest.request()).body)).toEqual([1, 2]);
    await guest.stop();
  });

  test.each([
    ['an import that fails', 'import no_such_module', {}, /No module named 'no_such_module'/],
    ['a syntax error', 'def f(:', {}, /SyntaxError/],
    ['an exit', 'raise SystemExit(0)', {}, /SystemExit: 0/],
    ['neither f nor app', 'x = 1', {}, /AttributeError: f\.py defines neither f nor app/],
    ['an f that is no function', 'f = 1', {}, /TypeError: f: int is not callable/],
    ['a missing attribute', F, { env: { OL_WSGI_ENTRY: 'web' } }, /OL_WSGI_ENTRY: f\.py has no attribute 'web'/],
    ['a missing file', F, { entry_file: 'x.py' }, /OL_ENTRY_FILE: the code has no top-level file x\.py/],
    ['a file in a directory', F, { entry_file: 'a/x.py' }, /OL_ENTRY_FILE: 'a\/x\.py' is not the name of a top-level/],
    ['a file that is no Python', F, { entry_file: 'x.sh' }, /OL_ENTRY_FILE: 'x\.sh' is not the name of a top-level/],
  ])(
    '%s is reported to the first request, and ends the process with code 1 and a traceback',
    async (_, source, boot, message) => {
      const guest = await Guest.leaf(source, boot);
      const reply = await guest.request({ body: 'x'.repeat(100_000) });
      expect(reply.status).toBe(502);
      const said = JSON.parse(String(reply.headers['x-argyle-failure'])) as string;
      expect(said).toMatch(/^the function could not be loaded: /);
      expect(said).toMatch(message);
      expect(reply.body).toMatch(/^Traceback [^]*\n$/);
      expect(reply.body).toMatch(message);
      expect(await guest.exited).toBe(1);
      expect(guest.stderr).toMatch(message);
      await guest.stop();
    },
  );
});

describe('environment of a handler', () => {
  const SHOW = `
import os, sys

loaded = sorted(m for m in ("json", "re", "socket", "asyncio", "http", "typing") if m in sys.modules)

def f(event):
    return {"env": dict(os.environ), "cwd": os.getcwd(), "path": sys.path, "loaded": loaded}
`;

  test("has the document's variables first, and its directories on sys.path", async () => {
    const guest = await Guest.leaf(SHOW, {
      env: { PATH: '/own', OMP_NUM_THREADS: '4', A: 'ä "x" ${Y}' },
      sys_path: ['/packages/b/files', '/a'],
    });
    const shown = JSON.parse((await guest.request()).body) as Record<string, unknown>;
    const handler = path.join(guest.root, 'handler');
    // One BLAS thread: a zygote with threads cannot be forked.
    const blas = { MKL_NUM_THREADS: '1', OMP_NUM_THREADS: '4', OPENBLAS_NUM_THREADS: '1' };
    const PYTHONPATH = `${handler}:/packages/b/files:/a`;
    expect(shown['env']).toEqual({ ...blas, PATH: '/own', A: 'ä "x" ${Y}', LC_CTYPE: 'C.UTF-8', PYTHONPATH });
    expect(shown['cwd']).toBe(handler);
    const search = shown['path'] as string[];
    expect(search.slice(0, 3)).toEqual([handler, '/packages/b/files', '/a']);
    expect(search.slice(3).every((dir) => dir.startsWith('/usr/lib/python3'))).toBe(true);
    expect(search.some((dir) => /-packages/.test(dir))).toBe(false);
    await guest.stop();
  });

  test("has its own time zone, and its own PYTHONPATH before the guest's", async () => {
    const guest = await Guest.leaf(
      'import os, time\ndef f(event):\n    return [time.localtime(0).tm_hour, os.environ["PYTHONPATH"]]\n',
      { env: { TZ: 'Asia/Tokyo', PYTHONPATH: '/own' }, sys_path: ['/a'] },
    );
    const handler = path.join(guest.root, 'handler');
    expect(JSON.parse((await guest.request()).body)).toEqual([9, `/own:${handler}:/a`]);
    await guest.stop();
  });

  test('contains no heavy module', async () => {
    const guest = await Guest.leaf(SHOW);
    expect(JSON.parse((await guest.request()).body)).toMatchObject({ loaded: [] });
    await guest.stop();
  });

  test('is visible to programs, and to a later import of os', async () => {
    const guest = await Guest.leaf(
      `import sys
bare = "os" not in sys.modules
import os
os.environ["B"] = "b"
def f(event):
    return [bare, os.environ["A"], os.popen("echo $A $B $OMP_NUM_THREADS").read()]
`,
      { env: { A: 'ä' } },
    );
    expect(JSON.parse((await guest.request()).body)).toEqual([true, 'ä', 'ä b 1\n']);
    await guest.stop();
  });

  test('does not pass the link and the listener to programs', async () => {
    const guest = await Guest.leaf(
      'import os\ndef f(event):\n    os.system("ls /proc/self/fd > out")\n    return open("out").read().split()\n',
    );
    const open = JSON.parse((await guest.request()).body) as string[];
    expect(open).not.toContain('4');
    await guest.stop();
  });
});

describe('x-argyle-boot', () => {
  const files = {
    'packages/alpha==1.0/files/alpha/__init__.py': 'x = 1\n',
    'packages/beta==2.0/files/beta.py': 'import alpha\n',
    'packages/gamma==3.0/files/gamma.py': 'x = 3\n',
  };
  const start = async (source: string) => {
    const guest = Guest.start('leaf', { ...files, 'handler/f.py': source });
    const sys_path = ['gamma==3.0', 'beta==2.0', 'alpha==1.0'].map((s) =>
      path.join(guest.root, 'packages', s, 'files'),
    );
    await guest.boot({ ...LEAF, sys_path });
    return guest;
  };

  test('is in the first response only, with the import time and the packages that were loaded', async () => {
    const guest = await start(`import time, beta\ntime.sleep(0.02)\n${ECHO}`);
    const note = JSON.parse(String((await guest.request()).headers['x-argyle-boot'])) as Record<string, unknown>;
    expect(note['modules']).toEqual(['alpha==1.0', 'beta==2.0']);
    expect(note['import_ms']).toBeGreaterThan(20);
    expect(note['import_ms']).toBeLessThan(2000);
    expect((await guest.request()).headers).not.toHaveProperty('x-argyle-boot');
    expect(await guest.raw('GET / HTTP/1.0\r\n\r\n')).not.toMatch(/argyle/);
    await guest.stop();
  });

  test('is in the first response even if that is an error', async () => {
    const guest = await start('def f(event):\n    import gamma\n    raise ValueError\n');
    const reply = await guest.request();
    expect(reply.status).toBe(500);
    expect(JSON.parse(String(reply.headers['x-argyle-boot']))).toMatchObject({ modules: [] });
    await guest.stop();
  });
});
