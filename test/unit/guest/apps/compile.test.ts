/** libguest.so compiles entry files where it can be loaded, and Python's builtin elsewhere. The results are equal. */
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BUILT, runGuestScript } from '../../../support/guest/script';

const SOURCES: Record<string, string> = {
  function: "b'def f(event):\\n    return [x for x in event]\\n'",
  nothing: "b''",
  'no line end': "b'f = 1'",
  'line ends of Windows': "b'def f(event):\\r\\n    return 1\\r\\n'",
  'byte order mark': '\'\\ufefff = "ä"\\n\'.encode()',
  'Latin-1, as it says': "'# -*- coding: latin-1 -*-\\nf = \"ä\"\\n'.encode('latin-1')",
  'Latin-1, which it does not say': "'f = \"ä\"\\n'.encode('latin-1')",
  'an unknown coding': "b'# coding: no-such\\n'",
  'a future import': "b'from __future__ import annotations\\ndef f(x: y): pass\\n'",
  'a syntax error': "b'def f(:\\n'",
  'an indentation error': "b'def f():\\nreturn\\n'",
  'a NUL': "b'f = 1\\0\\nf = 2\\n'",
};

const SCRIPT = `
import marshal
path = sys.argv[2]
from _argyle import clib
from _argyle.apps import entry

def outcome(compiler, source):
    try:
        # Version 2: without marks of what else refers to an object.
        return marshal.dumps(compiler(source), 2).hex()
    except Exception as error:
        return [type(error).__name__, *map(repr, error.args)]

loaded = True
try:
    clib.load()
except ImportError:
    loaded = False
source = eval(sys.argv[3])
builtin = lambda source: compile(source, path, "exec", dont_inherit=True)
print(json.dumps([loaded, outcome(lambda s: entry._compile(s, path), source), outcome(builtin, source)]))
`;

function compiled(folder: string, source: string, path = '/handler/f.py'): [boolean, unknown, unknown] {
  return runGuestScript(SCRIPT, [path, source], folder) as [boolean, unknown, unknown];
}

describe('an entry file', () => {
  test.each(Object.entries(SOURCES))('with %s compiles to the same code as with the builtin', (_, source) => {
    const [loaded, ours, builtin] = compiled(BUILT, source);
    expect(loaded).toBe(true);
    expect(ours).toEqual(builtin);
  });

  test('may have any name', () => {
    const [, ours, builtin] = compiled(BUILT, "b'f = 1'", '/handler/ä 日.py');
    expect(ours).toEqual(builtin);
  });

  test('is compiled by the builtin when the library cannot be loaded', () => {
    const folder = mkdtempSync(join(tmpdir(), 'argyle-compile-'));
    try {
      cpSync(BUILT, folder, { recursive: true, filter: (file) => !file.endsWith('.so') });
      const [loaded, ours, builtin] = compiled(folder, "b'def f(event):\\n    return 1\\n'");
      expect(loaded).toBe(false);
      expect(ours).toEqual(builtin);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
