import { cleanPath, splitTarget } from '../../../../src/event/http/mux';
import { isPlainRun } from '../../../../src/event/routes/run-route';

describe('isPlainRun', () => {
  it.each(['/run/f', '/run/my-fn_2', '/run/f?a=%zz', '/run/f/a/b.txt', '/run/f/a~b?x=/../y', '/run/-f'])(
    'passes %s, which Express would not change, around Express',
    (url) => {
      expect(isPlainRun(url)).toBe(true);
      const { path } = splitTarget(url);
      expect(cleanPath(path)).toBe(path);
      expect(path).not.toContain('%');
    },
  );

  it.each([
    '/run',
    '/run/',
    '/run//f',
    '/run/f/',
    '/run/f/../g',
    '/run/../status',
    '/run/./f',
    '/run/f/.hidden',
    '/run/%66',
    '/run/f%zz',
    '/run/ä',
    '/runner/f',
    '/Run/f',
    'http://host/run/f',
    '/status',
    '*',
    '',
  ])('passes %s to Express', (url) => {
    expect(isPlainRun(url)).toBe(false);
  });
});
