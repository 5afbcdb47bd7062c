/** Several tasks of an ASGI guest wait for one connection: the application, and the watcher of its client. */
import { once } from 'node:events';
import { Guest, LEAF } from '../../../support/guest/guest';

const APP = `
import asyncio, time

class Slow:
    """Waits for an awaitable, and holds the event loop up right after the wait has begun."""

    def __init__(self, awaitable):
        self._steps = awaitable.__await__()

    def __await__(self):
        first = next(self._steps)
        print("waiting", flush=True)
        time.sleep(0.3)
        yield first
        return (yield from self._steps)

async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    kind = scope["path"].removeprefix(scope["root_path"])
    body = b""
    if kind == "/two":
        for message in await asyncio.gather(receive(), receive()):
            print("got", message["type"], flush=True)
    elif kind == "/left":
        left = asyncio.create_task(receive())
        await asyncio.sleep(0.05)
        left.add_done_callback(lambda left: print("left", left.result()["type"], flush=True))
    else:
        more = True
        while more:
            message = await Slow(receive()) if len(body) in (2, 1 << 20) else await receive()
            body += message["body"]
            more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d " % len(body) + body[:20]})
`;

const head = (kind: string, length: number) =>
  `POST /run/echo${kind} HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n`;

describe.each([{}, { concurrency: 2 }])('an ASGI guest with %j', (boot) => {
  /** Sends a request in two parts, the second as soon as the application waits for it. Resolves with the answer. */
  async function inParts(first: string, second: string): Promise<[string, Guest]> {
    const guest = Guest.start('leaf', { 'handler/f.py': APP });
    const socket = await guest.boot({ ...LEAF, ...boot });
    socket.write(first);
    await guest.printed(/waiting/);
    socket.write(second);
    let text = '';
    socket.setEncoding('latin1').on('data', (part: string) => (text += part));
    while (!/\r\n\r\n[^]*\d+ /.test(text)) await once(socket, 'data');
    socket.destroy();
    return [text, guest];
  }

  test('passes on bytes that arrive while the loop is blocked', async () => {
    const [text, guest] = await inParts(`${head('', 5)}ab`, 'cde');
    expect(text).toMatch(/\r\n\r\n[^]*5 abcde/);
    await guest.stop();
  });

  test('passes on the last bytes of a large body', async () => {
    const size = (1 << 20) + 3;
    const [text, guest] = await inParts(head('', size) + 'x'.repeat(1 << 20), 'end');
    expect(text).toMatch(new RegExp(`\r\n\r\n[^]*${size} x{20}`));
    await guest.stop();
  });
});

describe('receive()', () => {
  let guest: Guest;
  beforeAll(async () => {
    guest = await Guest.leaf(APP, { concurrency: 2 });
  });
  afterAll(() => guest.stop());

  test('gives one of two readers the next part and the other one the disconnect', async () => {
    const socket = await guest.switch();
    socket.write(head('/two', 2));
    await new Promise((resolve) => setTimeout(resolve, 200));
    socket.write('ab');
    await new Promise((resolve) => setTimeout(resolve, 200));
    socket.destroy();
    await guest.printed(/got http\.request\ngot http\.disconnect/);
  });

  test('ends after the response of an application that did not read the body', async () => {
    const socket = (await guest.switch()).setEncoding('latin1');
    socket.write(head('/left', 2));
    let text = '';
    socket.on('data', (part: string) => (text += part));
    while (!text.includes('0 ')) await once(socket, 'data');
    await guest.printed(/left http\.disconnect/);
    socket.destroy();
  });
});
