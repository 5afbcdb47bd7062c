/** Checks a function's entry file before the upload. The file is compiled, not run. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import { HOST_PYTHON, hostPython } from './host-tools';

const run = promisify(execFile);
/** Time limit of a check, ms. */
const CHECK_MS = 30_000;

/**
 * Prints the syntax error, or the names that the module defines. Prints no names when the code may define further
 * names, by `from x import *` or dynamically.
 */
const SCRIPT = `
import ast, json, sys, symtable
path, shown = sys.argv[1:]
with open(path, "rb") as file:
    source = file.read()
try:
    tree = compile(source, shown, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    table = symtable.symtable(source, shown, "exec")
    compile(source, shown, "exec", dont_inherit=True)
except (SyntaxError, ValueError) as error:
    where = f"{shown}, line {error.lineno}" if getattr(error, "lineno", None) else shown
    print(json.dumps({"error": f"{where}: {getattr(error, 'msg', None) or error}"}))
    sys.exit()
def tables(table):
    yield table
    for child in table.get_children():
        yield from tables(child)
made = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
made |= {s.get_name() for t in tables(table) for s in t.get_symbols() if s.is_declared_global()}
dynamic = {"globals", "locals", "vars", "exec", "eval", "setattr", "__dict__", "__getattr__", "modules"}
for node in ast.walk(tree):
    used = {getattr(node, key, None) for key in ("id", "attr", "name")}
    if used & dynamic or isinstance(node, ast.ImportFrom) and any(a.name == "*" for a in node.names):
        made = None
        break
print(json.dumps({"names": None if made is None else sorted(made)}))
`;

const answerShape = z.object({
  error: z.string().optional(),
  names: z.array(z.string()).nullable().optional(),
});

/** Names in the order of the guest (guest/apps/entry.py). An entry file needs one of them. */
function wanted(env: Readonly<Record<string, string>>): string[] {
  const named = [env['OL_WSGI_ENTRY'], env['OL_ASGI_ENTRY']].find((name) => name !== undefined && name !== '');
  return named === undefined ? ['f', 'app'] : [named];
}

/**
 * Checks a Python entry file, when this machine has the Python that will run the file.
 * @param version version of that Python, `3.11`
 * @param warn called with a syntax error and its line, or when the file does not define what a sandbox calls
 */
export async function checkEntry(
  dir: string,
  file: string,
  { env, version, warn }: { env: Readonly<Record<string, string>>; version: string; warn: (text: string) => void },
): Promise<void> {
  if (!file.endsWith('.py') || (await hostPython(process.env)).version !== version) return;
  const argv = ['-I', '-S', '-W', 'ignore', '-c', SCRIPT, join(dir, file), file];
  const { stdout } = await run(HOST_PYTHON, argv, { timeout: CHECK_MS }).catch(() => ({ stdout: '' }));
  // POLICY: a check that itself fails, as on a file that needs too much memory, is no reason to refuse the file.
  if (stdout === '') return;
  const { error, names } = answerShape.parse(JSON.parse(stdout));
  // POLICY: as in the original, code with a syntax error is uploaded. The original's own test script does so.
  if (error !== undefined) {
    warn(`${error}, so its calls will fail`);
    return;
  }
  // A .env of the folder may name another entry.
  if (existsSync(join(dir, '.env'))) return;
  const needed = wanted(env);
  if (names != null && !needed.some((name) => names.includes(name.split('.')[0] ?? name)))
    warn(`${file} defines no ${needed.join(' and no ')}, so its calls will fail`);
}
