import { request, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect } from 'node:net';
import { InvocationBody } from '../../../../../src/lambda/serve/call/invocation';

/**
 * Serves one request. Resolves with the body's text, and whether it was there before the next turn of the event loop.
 */
function serveOnce(): Promise<{ port: number; body: Promise<{ text: string; soon: boolean }>; close: () => void }> {
  return new Promise((resolve) => {
    let told: (body: { text: string; soon: boolean }) => void = () => undefined;
    const body = new Promise<{ text: string; soon: boolean }>((done) => (told = done));
    const server = createServer((req, res) => {
      const taken = new InvocationBody(req, Number(req.headers['content-length']));
      let turned = false;
      setImmediate(() => (turned = true));
      void taken.prepare()?.then(() => {
        const bytes = taken.open();
        told({ text: Buffer.isBuffer(bytes) ? bytes.toString() : 'a stream', soon: !turned });
        res.end('ok');
      });
    });
    server.listen(0, '127.0.0.1', () => {
      const close = (): void => {
        server.closeAllConnections();
        server.close();
      };
      resolve({ port: (server.address() as AddressInfo).port, body, close });
    });
  });
}

describe('InvocationBody', () => {
  it('reads a body that arrived with its header without a turn of the event loop', async () => {
    const { port, body, close } = await serveOnce();
    const socket = connect(port, '127.0.0.1');
    let answers = '';
    socket.setEncoding('latin1').on('data', (text: string) => (answers += text));
    const post = 'POST /run/f HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello';
    socket.write(post);
    expect(await body).toEqual({ text: 'hello', soon: true });
    socket.write(post);
    while (answers.split('HTTP/1.1 200').length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    socket.destroy();
    close();
  });

  it('waits for a body that arrives later, in pieces', async () => {
    const { port, body, close } = await serveOnce();
    const req = request({ port, host: '127.0.0.1', method: 'POST', path: '/', headers: { 'content-length': 6 } });
    req.on('error', () => undefined);
    req.flushHeaders();
    for (const piece of ['ab', 'cd', 'ef']) {
      await new Promise((resolve) => setTimeout(resolve, 20));
      req.write(piece);
    }
    req.end();
    expect(await body).toEqual({ text: 'abcdef', soon: false });
    close();
  });
});
