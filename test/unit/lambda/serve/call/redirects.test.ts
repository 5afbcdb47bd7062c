import * as fc from 'fast-check';
import { Readable } from 'node:stream';
import { Call } from '../../../../../src/lambda/serve/call/call';
import { Cancellation } from '../../../../../src/lambda/serve/call/cancellation';
import type { AnswerHead } from '../../../../../src/sandbox/answer/head';
import { InvocationBody, type Invocation, type ResponseSink } from '../../../../../src/lambda/serve/call/invocation';
import { forClient, Hops, MAX_REDIRECTS, nextHop } from '../../../../../src/lambda/serve/call/redirects';

const head = (status: number, headers: string[]): AnswerHead => {
  return { status, reason: '', headers, length: undefined, bodiless: false };
};

/** Records what the client gets. */
class Written implements ResponseSink {
  text = '';
  start({ status, headers }: AnswerHead): void {
    this.text += `${status} ${headers.join(' ')} `;
  }
  write(chunk: Buffer): boolean {
    this.text += chunk.toString();
    return true;
  }
  onDrain(resume: () => void): void {
    resume();
  }
  end(): void {
    this.text += '.';
  }
  fail(text: string): void {
    this.text += `!${text}`;
  }
}

function call(changes: Partial<Invocation> = {}): Invocation {
  return {
    call: new Call('r1', 'http'),
    method: 'POST',
    uri: '/run/app/form?x=1',
    headers: ['Host', 'localhost:5000', 'Content-Type', 'text/plain', 'content-length', '3', 'X-Own', 'a'],
    origin: 'http://localhost:5000',
    body: InvocationBody.of(Buffer.from('abc')),
    sink: new Written(),
    signal: new Cancellation(),
    ...changes,
  };
}

const to = (location: string, status = 302, changes: Partial<Invocation> = {}, more: string[] = []) =>
  nextHop(call(changes), status, ['Location', location, ...more]);

describe('redirects of functions', () => {
  test.each([
    ['http://root/run/app/', '/run/app/'],
    ['http://root:80/run/app/next?y=2#part', '/run/app/next?y=2'],
    ['http://localhost:5000/run/app/next', '/run/app/next'],
    ['HTTP://LOCALHOST:5000/run/app', '/run/app'],
    ['//root/run/app/x', '/run/app/x'],
    ['/run/app/login', '/run/app/login'],
    ['login', '/run/app/login'],
    ['?page=2', '/run/app/form?page=2'],
    ['/run/other/../app/x', '/run/app/x'],
    ['/run/app/a b', '/run/app/a%20b'],
  ])('to %s lead to %s', (location, uri) => {
    expect(to(location)?.uri).toBe(uri);
  });

  test.each([
    ['/run/other/'],
    ['/run/application'],
    ['/run/app/../other'],
    ['/run/%61pp/x'],
    ['/status'],
    ['/'],
    ['..'],
    ['http://example.com/run/app/'],
    ['http://root.example.com/run/app/'],
    ['http://user@example.com/run/app/'],
    ['http://localhost/run/app/'],
    ['http://root:81/run/app/'],
    ['https://root/run/app/x'],
    ['https://localhost:5000/run/app/form?x=1'],
    ['\\\\example.com/run/app/'],
    ['//example.com/run/app/'],
    ['ftp://root/run/app/'],
    ['javascript:alert(1)'],
    ['http://['],
  ])('to %s are passed to the client', (location) => {
    expect(to(location)).toBeUndefined();
  });

  describe('to https', () => {
    const by = (proto: string): Partial<Invocation> => ({
      headers: [...call().headers, 'X-Forwarded-Proto', proto],
      origin: 'https://localhost:5000',
    });

    test.each(['https', 'HTTPS', 'https, http'])('are followed when the client used %s', (proto) => {
      expect(to('https://localhost:5000/run/app/x', 302, by(proto))?.uri).toBe('/run/app/x');
      expect(to('https://root/run/app/x', 302, by(proto))?.uri).toBe('/run/app/x');
      // Functions are called by http, and make their URLs with http.
      expect(to('http://localhost:5000/run/app/x', 302, by(proto))?.uri).toBe('/run/app/x');
    });

    test.each(['http', 'http, https', 'httpsx', ''])('are passed to a client that used "%s"', (proto) => {
      expect(to('https://localhost:5000/run/app/x', 302, by(proto))).toBeUndefined();
    });

    test('are passed to the client of a function that requires https, after one call', () => {
      const sink = new Written();
      const own = call({ method: 'GET', sink });
      const hops = new Hops(own);
      hops.current.sink.start(head(301, ['Location', 'https://localhost:5000/run/app/form?x=1']));
      expect(hops.next()).toBe(false);
      expect(sink.text).toBe('301 Location https://localhost:5000/run/app/form?x=1 ');
      expect(forClient(own, ['Location', 'https://root/run/app/x'])).toEqual([
        'Location',
        'https://localhost:5000/run/app/x',
      ]);
    });
  });

  test('are followed only with a redirect status, one Location and no cookies', () => {
    for (const status of [200, 201, 300, 304, 305, 306, 404]) expect(to('/run/app/x', status)).toBeUndefined();
    expect(nextHop(call(), 302, [])).toBeUndefined();
    expect(to('/run/app/x', 302, {}, ['location', '/run/app/y'])).toBeUndefined();
    expect(to('/run/app/x', 302, {}, ['Set-Cookie', 'a=1'])).toBeUndefined();
  });

  test.each([301, 302, 303])('with %i become a GET without a body', (status) => {
    const next = to('/run/app/x', status);
    expect(next).toMatchObject({ method: 'GET', headers: ['Host', 'localhost:5000', 'X-Own', 'a'] });
    expect(next?.body.open()).toBeNull();
    expect(to('/run/app/x', status, { method: 'HEAD' })?.method).toBe('HEAD');
  });

  test.each([307, 308])('with %i keep method, headers and body if the body can be sent again', (status) => {
    const next = to('/run/app/x', status);
    expect(next).toMatchObject({ method: 'POST', headers: call().headers });
    expect(next?.body.open()).toEqual(Buffer.from('abc'));
    const streamed = new InvocationBody(Readable.from(['abc']), undefined);
    expect(to('/run/app/x', status, { body: streamed })).toBeUndefined();
    expect(to('/run/app/x', 303, { body: streamed })?.method).toBe('GET');
  });

  test('never lead out of the function, for any Location', () => {
    const odd = fc.constantFrom(
      '/',
      '..',
      '.',
      'run',
      'app',
      'root',
      'http:',
      '//',
      '\\',
      '%2e',
      '%2f',
      '?',
      '#',
      '@',
      ' ',
      'x',
    );
    fc.assert(
      fc.property(fc.array(odd, { maxLength: 12 }), (parts) => {
        const next = to(parts.join(''));
        if (next !== undefined) expect(next.uri).toMatch(/^\/run\/app(?:[/?]|$)/);
        if (next !== undefined) expect(next.uri.replace(/\?.*/s, '')).not.toMatch(/\/\.{1,2}(?:\/|$)/);
      }),
    );
  });
});

describe('redirects that the client gets', () => {
  test.each([
    ['http://root/status', 'http://localhost:5000/status'],
    ['//root/run/other?x#y', 'http://localhost:5000/run/other?x#y'],
    ['/status', '/status'],
    ['../x', '../x'],
    ['http://example.com/root/', 'http://example.com/root/'],
    ['http://[', 'http://['],
  ])('to %s become %s', (location, expected) => {
    expect(forClient(call(), ['A', 'b', 'location', location])).toEqual(['A', 'b', 'location', expected]);
  });

  test('become a path when the client sent no host', () => {
    const anonymous = call();
    delete (anonymous as { origin?: string }).origin;
    expect(forClient(anonymous, ['Location', 'http://root/status'])).toEqual(['Location', '/status']);
  });
});

describe('Hops', () => {
  test('drops the redirects, and passes the last response to the client', () => {
    const client = new Written();
    const hops = new Hops(call({ sink: client }));
    hops.current.sink.start(head(303, ['Location', '/run/app/done']));
    expect(hops.current.sink.write(Buffer.from('see there'))).toBe(true);
    hops.current.sink.end();
    expect([client.text, hops.isPending, hops.begun, hops.next()]).toEqual(['', true, false, true]);
    expect(hops.current).toMatchObject({ method: 'GET', uri: '/run/app/done' });
    hops.current.sink.start(head(200, ['A', 'b']));
    hops.current.sink.write(Buffer.from('page'));
    hops.current.sink.end();
    expect([client.text, hops.isPending, hops.begun, hops.next()]).toEqual(['200 A b page.', false, true, false]);
  });

  test(`passes the ${MAX_REDIRECTS + 1}th redirect to the client`, () => {
    const client = new Written();
    const hops = new Hops(call({ sink: client }));
    for (let i = 0; ; i++) {
      hops.current.sink.start(head(302, ['Location', `/run/app/${i}`]));
      hops.current.sink.end();
      if (!hops.next()) break;
    }
    expect(client.text).toBe(`302 Location /run/app/${MAX_REDIRECTS} .`);
  });

  test(`fails for a trigger at the ${MAX_REDIRECTS + 1}th redirect`, () => {
    const trigger = new Written();
    const hops = new Hops(call({ sink: trigger, unattended: true }));
    do {
      hops.current.sink.start(head(302, ['Location', '/run/app/x', 'Set-Cookie', 'a=b']));
      hops.current.sink.end();
    } while (hops.next());
    expect(trigger.text).toBe(`!stopped after ${MAX_REDIRECTS} redirects.`);
  });

  test('returns a redirect to another place as the answer to a trigger', () => {
    const trigger = new Written();
    const hops = new Hops(call({ sink: trigger, unattended: true }));
    hops.current.sink.start(head(302, ['Location', 'http://example.com/']));
    expect([trigger.text, hops.next()]).toEqual(['302 Location http://example.com/ ', false]);
  });

  test('sends the client nothing of an interrupted redirect', () => {
    const client = new Written();
    const hops = new Hops(call({ sink: client }));
    hops.current.sink.start(head(302, ['Location', '/run/app/x']));
    hops.current.sink.fail('broke');
    expect([client.text, hops.isPending]).toEqual(['', true]);
  });
});
