import { checkConcurrency } from '../../../../../src/lambda/code/intake/scale';
import { parseOlYaml } from '../../../../../src/lambda/code/intake/ol-yaml';
import type { ArgyleError } from '../../../../../src/errors';

function failure(text: string, maxInstances = 0): Pick<ArgyleError, 'code' | 'message' | 'field' | 'value'> {
  const onUnknown = (message: string, field: string): void => {
    throw Object.assign(new Error(message), { field });
  };
  try {
    parseOlYaml(text, { maxInstances, onUnknown });
  } catch (thrown) {
    return thrown as ArgyleError;
  }
  throw new Error('nothing was thrown');
}

describe('scale and concurrency', () => {
  test('are read, and absent without a bound', () => {
    expect(parseOlYaml('scale: {min: 2, max: 5}\nconcurrency: 50\n')).toMatchObject({
      scale: { min: 2, max: 5 },
      concurrency: 50,
    });
    expect(parseOlYaml('scale: {max: 5}\n').scale).toEqual({ min: 0, max: 5 });
    for (const text of ['scale: {}\n', 'scale:\n', 'scale: {min: 0}\nconcurrency: 1\n', 'concurrency:\n']) {
      const config = parseOlYaml(text);
      expect([config.scale, config.concurrency]).toEqual([undefined, undefined]);
    }
  });

  test.each([
    ['scale: {min: -1}', 'scale.min', '-1', /scale\.min must be a whole number from 0 to/],
    ['scale: {max: 0}', 'scale.max', '0', /scale\.max must be a whole number from 1 to/],
    ['scale: {max: many}', 'scale.max', 'many', /not "many"/],
    ['scale: {min: 3, max: 2}', 'scale.min', '3', /scale\.min is 3, more than scale\.max, 2/],
    ['scale: 3', 'scale', undefined, /scale must be a mapping/],
    ['concurrency: 0', 'concurrency', '0', /concurrency must be a whole number from 1 to 500/],
    ['concurrency: 501', 'concurrency', '501', /from 1 to 500/],
    ['concurrency: 2\nreuse-sandbox: false', 'concurrency', '2', /reuse-sandbox is false/],
    ['scale: {min: 1}\nreuse-sandbox: false', 'scale.min', '1', /reuse-sandbox is false/],
    ['scale: {mim: 1}', 'scale.mim', undefined, /scale\.mim is not known: the nearest is scale\.min/],
  ])('%j is refused with field and value', (text, field, value, message) => {
    const error = failure(text);
    expect([error.field, error.value]).toEqual([field, value]);
    expect(error.message).toMatch(message);
  });

  test("above the operator's bound is refused", () => {
    const error = failure('scale: {max: 9}', 4);
    expect(error).toMatchObject({ code: 'LAMBDA_CONFIG', field: 'scale.max', value: '9' });
    expect(error.message).toMatch(/allows 4 at most \(argyle\.max_instances\)/);
    expect(parseOlYaml('scale: {min: 4}', { maxInstances: 4 }).scale).toEqual({ min: 4, max: 0 });
  });

  test.each([
    ['def f(event):\n  return 1\n', {}, 'a function f'],
    ['async def f (event): return 1\n', {}, 'a function f'],
    ['def app(environ, start): pass\n', {}, 'a WSGI application'],
    ['app = 1\n', { OL_WSGI_ENTRY: 'app' }, 'a WSGI application (OL_WSGI_ENTRY)'],
  ])('are refused for code that is no ASGI application: %j', (source, env, kind) => {
    const check = (): void => {
      checkConcurrency(5, { runtime: 'python', entryFile: 'f.py' }, env, source);
    };
    expect(check).toThrow(`concurrency is 5, but f.py holds ${kind}`);
  });

  test.each([
    ['async def app(scope, receive, send): pass\n', {}],
    ['"""\ndef f(event):\n"""\napp = FastAPI()\n', {}],
    ['class A:\n  def f(self): pass\napp = A()\n', {}],
    ['def f(event): pass\n', { OL_ASGI_ENTRY: 'app' }],
  ])('are accepted for code that may be one: %j', (source, env) => {
    expect(() => {
      checkConcurrency(5, { runtime: 'python', entryFile: 'f.py' }, env, source);
    }).not.toThrow();
    const native = (): void => {
      checkConcurrency(5, { runtime: 'native', entryFile: 'f.bin' }, {}, '');
    };
    expect(native).toThrow('a native program');
  });
});
