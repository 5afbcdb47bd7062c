import { rmSync } from 'node:fs';
import { Guest, LEAF } from '../../../support/guest/guest';

const SCRIPT = `#!/bin/sh
case "$1" in
  *output*) cp /dev/stdin ROOT/tmp/output; echo ignored ;;
  *fail*) echo broken >&2; exit 3 ;;
  *kill*) kill -9 $$ ;;
  *args*) echo "[$#, \\"$RUST_LOG\\"]" ;;
  *) cat ;;
esac
`;

describe('native handlers', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = Guest.start('leaf', { 'handler/f.bin': SCRIPT.replace('ROOT', '$ROOT') });
    await guest.boot({ ...LEAF, runtime: 'native', env: { RUST_LOG: 'debug', ROOT: guest.root } });
  });
  afterAll(() => guest.stop());

  test.each([
    ['the event on standard input, standard output back', '{"a": 1}', 200, '{"a": 1}'],
    ['an empty object for an empty body', '', 200, '{}'],
    ['one argument, and the environment', '"args"', 200, '[1, "debug"]\n'],
    ['/tmp/output as the result when it is written', '"output"', 200, '"output"'],
    ['no stale /tmp/output', '"next"', 200, '"next"'],
    ['its exit code and standard error', '"fail"', 500, 'f.bin ended with code 3\nbroken\n'],
    ['the signal that ended it', '"kill"', 500, 'f.bin ended with code -9\n'],
  ])('get %s', async (_, body, status, expected) => {
    const reply = await guest.request({ body });
    expect([reply.status, reply.body]).toEqual([status, expected]);
    expect(reply.headers['content-type']).toBe(status === 200 ? 'application/json' : 'text/plain');
  });

  test('get an event that is too long for an argument only on standard input', async () => {
    const body = JSON.stringify('x'.repeat(1 << 20));
    expect((await guest.request({ body })).body === body).toBe(true);
  });

  test('answer 500 when the file cannot be run', async () => {
    rmSync(`${guest.root}/handler/f.bin`);
    const reply = await guest.request({ body: '1' });
    expect([reply.status, reply.body]).toEqual([500, expect.stringMatching(/code 127\n.*No such file/)]);
  });
});

test('a missing f.bin ends the process', async () => {
  const guest = Guest.start('leaf');
  await guest.boot({ ...LEAF, runtime: 'native' });
  const reply = await guest.request();
  expect([reply.status, reply.body]).toEqual([502, expect.stringMatching(/f\.bin: the code has no such file\n$/)]);
  expect(await guest.exited).toBe(1);
  expect(guest.stderr).toMatch(/FileNotFoundError: f\.bin: the code has no such file/);
  await guest.stop();
});
