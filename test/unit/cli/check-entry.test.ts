import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkEntry } from '../../../src/cli/admin/check-entry';
import { hostPython } from '../../../src/cli/admin/host-tools';

describe('the entry file check before an upload', () => {
  const dir = mkdtempSync(join(tmpdir(), 'argyle-entry-'));
  let version: string;
  beforeAll(async () => {
    ({ version } = await hostPython(process.env));
  });
  afterAll(() => {
    rmSync(dir, { recursive: true });
  });

  const check = async (source: string, env = {}, python = version): Promise<string> => {
    writeFileSync(join(dir, 'f.py'), source);
    let said = '';
    const warn = (text: string): void => void (said += text);
    await checkEntry(dir, 'f.py', { env, version: python, warn });
    return said;
  };

  test.each([
    ['def f(event):\n    return (1\n', /^f\.py, line 2: '\(' was never closed, so its calls will fail$/],
    ['def f(event):\n  return 1\n   x = 2\n', /^f\.py, line 3: unexpected indent, so its calls will fail$/],
    ['def f(event):\n    pass\nreturn 1\n', /line 3: 'return' outside function, so its calls will fail$/],
    ['x = 1\0', /^f\.py: source code (string )?cannot contain null bytes, so its calls will fail$/],
    ['def g(event):\n    pass\n', /^f\.py defines no f and no app, so its calls will fail$/],
  ])('reports %j', async (source, message) => {
    expect(await check(source)).toMatch(message);
  });

  test.each([
    'def f(event):\n    pass\n',
    'async def f(event):\n    pass\n',
    'f = lambda event: 1\n',
    'import g as f\n',
    'from g import app\n',
    'from g import *\n',
    'try:\n    from g import f\nexcept ImportError:\n    def f(event): pass\n',
    'globals()["f"] = print\n',
    'def __getattr__(name):\n    return print\n',
    'def make():\n    global f\n    f = print\nmake()\n',
    'class app:\n    pass\n',
    'import sys\nsys.exit(1)\ndef f(event): pass\n',
  ])('accepts %j without running it', async (source) => {
    expect(await check(source)).toBe('');
  });

  test('checks the entry that ol.yaml names', async () => {
    expect(await check('application = 1\n', { OL_WSGI_ENTRY: 'application' })).toBe('');
    expect(await check('app = 1\n', { OL_WSGI_ENTRY: 'application' })).toBe(
      'f.py defines no application, so its calls will fail',
    );
  });

  test("is skipped for another Python than this machine's", async () => {
    expect(await check('def f(:\n', {}, '3.1')).toBe('');
  });
});
