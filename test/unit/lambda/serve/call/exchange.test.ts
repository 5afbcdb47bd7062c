import { gzipSync } from 'node:zlib';
import { Exchange, type Outcome } from '../../../../../src/lambda/serve/call/exchange';
import type { Invocation } from '../../../../../src/lambda/serve/call/invocation';
import { ArgyleError } from '../../../../../src/errors';
import { ScriptedClient, ScriptedSandbox, settle, type ScriptedRequest } from '../../../../support/scripted-sandbox';
import { until } from '../../../../support/until';

describe('Exchange', () => {
  let sandbox: ScriptedSandbox;
  let client: ScriptedClient;
  let exchange: Exchange;
  let outcome: Outcome | undefined;

  function run(invocation: Invocation = client.invocation(), runtimeMs = 0): ScriptedRequest {
    exchange = new Exchange(sandbox, invocation, runtimeMs);
    void exchange.run().then((found) => (outcome = found));
    const [request] = sandbox.requests;
    if (request === undefined) throw new Error('nothing was sent');
    return request;
  }
  beforeEach(() => {
    sandbox = new ScriptedSandbox();
    client = new ScriptedClient();
    outcome = undefined;
  });

  test('forwards an answer as it arrives', async () => {
    const request = run().sent().head(201, ['x-a', '1']);
    request.handler.onData(Buffer.from('one '));
    expect([client.status, client.headers, client.text, client.ended]).toEqual([201, ['x-a', '1'], 'one ', undefined]);
    request.handler.onData(Buffer.from('two'));
    request.handler.onEnd();
    await settle();
    expect([client.text, client.ended, outcome]).toEqual(['one two', true, { kind: 'done' }]);
  });

  test('stops reading from the sandbox while the client reads slowly', async () => {
    const request = run().sent().head();
    client.slow = true;
    request.handler.onData(Buffer.from('much'));
    expect([request.paused, request.resumed]).toEqual([1, 0]);
    client.drain();
    expect(request.resumed).toBe(1);
    request.handler.onEnd();
    await settle();
    expect(outcome).toEqual({ kind: 'done' });
  });

  test('sends nothing for a client that left before, and ends the request of one that leaves', async () => {
    const gone = new ScriptedClient();
    const early = gone.invocation();
    gone.leave();
    expect(await new Exchange(sandbox, early, 0).run()).toEqual({ kind: 'cancelled' });
    expect(sandbox.requests).toHaveLength(0);

    const request = run().sent().head();
    client.leave();
    await settle();
    expect([outcome, request.aborted?.message, client.ended]).toEqual([
      { kind: 'cancelled' },
      'the client went away',
      undefined,
    ]);
    request.handler.onData(Buffer.from('late'));
    request.handler.onEnd();
    expect([client.text, client.ended]).toEqual(['', undefined]);
  });

  test('ends the request when the client leaves before the connection has it', async () => {
    const request = run();
    client.leave();
    await settle();
    expect([outcome, request.aborted]).toEqual([{ kind: 'cancelled' }, undefined]);
    request.sent();
    expect(request.aborted?.message).toBe('the exchange is over');
  });

  test('allows another sandbox only for a request that was never sent', async () => {
    run().fail('ECONNREFUSED');
    await settle();
    expect(outcome).toMatchObject({ kind: 'failed', unsent: true, code: 'SANDBOX_DEAD' });

    sandbox = new ScriptedSandbox();
    const request = run().sent();
    request.fail('UND_ERR_SOCKET');
    await settle();
    expect(outcome).toMatchObject({ kind: 'failed', unsent: false, message: 'Post "http://root/run/f": EOF' });
    expect(request.aborted?.message).toBe('UND_ERR_SOCKET');
  });

  test('counts a header that was refused completely as never sent', async () => {
    run().sent().fail('EPIPE');
    await settle();
    expect(outcome).toMatchObject({ kind: 'failed', unsent: true });
  });

  test('fails when the sandbox throws', async () => {
    sandbox.dispatch = () => {
      throw new ArgyleError('INTERNAL', 'no such state');
    };
    expect(await new Exchange(sandbox, client.invocation(), 0).run()).toMatchObject({
      kind: 'failed',
      code: 'INTERNAL',
      message: expect.stringContaining('no such state') as string,
    });
  });

  test('names in a timeout what is missing: the head, or the rest of the body', async () => {
    run(client.invocation(), 20).sent();
    await until('time is up', () => outcome !== undefined);
    expect(outcome).toMatchObject({ kind: 'failed', code: 'TIMEOUT', unsent: false });
    expect(outcome).toMatchObject({ message: expect.stringContaining('while awaiting headers') as string });

    [sandbox, outcome] = [new ScriptedSandbox(), undefined];
    const request = run(client.invocation(), 20).sent().head();
    request.handler.onData(Buffer.from('some'));
    await until('time is up', () => outcome !== undefined);
    expect(outcome).toMatchObject({ kind: 'broken', code: 'TIMEOUT' });
    expect(client.ended).toContain('while reading body');
    expect(request.aborted).toBeDefined();
  });

  test('reports a death after the bytes that were in flight', async () => {
    const request = run().sent();
    exchange.sandboxExited();
    await settle();
    expect(outcome).toBeUndefined();
    request.answer('last words');
    await settle();
    expect([client.text, outcome]).toEqual(['last words', { kind: 'done' }]);
  });

  test('ends at a death without bytes', async () => {
    run();
    exchange.sandboxExited();
    await until('it is over', () => outcome !== undefined);
    expect(outcome).toMatchObject({ kind: 'failed', code: 'SANDBOX_DEAD', unsent: true });
  });

  test('appends the reason to an interrupted answer', async () => {
    const request = run().sent().head();
    request.handler.onError(new ArgyleError('GUEST_PROTOCOL', 'a field has a line break'));
    request.handler.onEnd();
    await settle();
    const message = 'reading lambda response failed: a field has a line break';
    expect([outcome, client.ended]).toEqual([{ kind: 'broken', message, code: 'GUEST_PROTOCOL' }, message]);
  });

  test('decodes gzip that the client did not request, and ends the answer at invalid gzip', async () => {
    const request = run().sent().head(200, ['Content-Encoding', 'gzip']);
    request.handler.onData(gzipSync('unpacked'));
    request.handler.onEnd();
    await until('it is over', () => outcome !== undefined);
    expect([client.text, client.ended, outcome]).toEqual(['unpacked', true, { kind: 'done' }]);
    expect(client.headers).not.toContain('gzip');

    [sandbox, client, outcome] = [new ScriptedSandbox(), new ScriptedClient(), undefined];
    const bad = run().sent().head(200, ['Content-Encoding', 'gzip']);
    bad.handler.onData(Buffer.from('no gzip at all'));
    await until('it is over', () => outcome !== undefined);
    expect(outcome).toMatchObject({ kind: 'broken', message: expect.stringContaining('gzip') as string });
    expect(bad.aborted).toBeDefined();
  });
});
