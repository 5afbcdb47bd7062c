/** Checks the includes and calls between the helper's C files. Finds upward uses and cycles. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

/** Folders, lowest first. A file may use its own folder and lower ones. The main loop is at the top. */
const LAYERS = ['base', 'mech', 'verbs', '.'];
/**
 * Wire formats and the seccomp filter, shared with the guest and libargyle. They include no other file of the helper.
 */
const SHARED = ['protocol.h', 'seccomp_profile.h'];

/** A use of one file by another. `what` is an include line or a symbol. */
interface Use {
  from: string;
  to: string;
  what: string;
}

const rank = (file: string): number => (SHARED.includes(file) ? 0 : LAYERS.indexOf(dirname(file)));

/** The helper's C files and headers below `root`, as relative paths. */
export function helperFiles(root: string, suffix: string): string[] {
  return LAYERS.flatMap((layer) =>
    readdirSync(join(root, layer))
      .filter((name) => name.endsWith(suffix))
      .map((name) => join(layer, name)),
  );
}

function includes(root: string): Use[] {
  return [...helperFiles(root, '.c'), ...helperFiles(root, '.h')].flatMap((from) =>
    [...readFileSync(join(root, from), 'utf8').matchAll(/^#include "(.*)"$/gm)].map(([what, to = '']) => ({
      from,
      to,
      what,
    })),
  );
}

/** Cached output of nm for each source. The key is the text of the source and of all headers. */
const symbols = new Map<string, string>();

/** The global symbols of a source's object: lines of `NAME TYPE …`. Type U is a symbol that another object defines. */
function symbolsOf(root: string, file: string): string {
  const texts = [file, ...helperFiles(root, '.h')].map((name) => readFileSync(join(root, name), 'utf8'));
  const key = texts.join('\0');
  let found = symbols.get(key);
  if (found === undefined) {
    const out = mkdtempSync(join(tmpdir(), 'argyle-layers-'));
    const object = join(out, 'object.o');
    execFileSync('cc', ['-c', '-std=c11', '-D_GNU_SOURCE', '-I', root, '-o', object, join(root, file)]);
    found = execFileSync('nm', ['-g', '-P', object], { encoding: 'utf8' });
    symbols.set(key, found);
    rmSync(out, { recursive: true });
  }
  return found;
}

/** Uses of functions and tables in the compiled objects. */
function calls(root: string): Use[] {
  const definedIn = new Map<string, string>();
  const used: [string, string][] = [];
  for (const file of helperFiles(root, '.c'))
    for (const line of symbolsOf(root, file).trim().split('\n')) {
      const [name = '', type = ''] = line.split(' ');
      if (type === 'U') used.push([file, name]);
      else definedIn.set(name, file);
    }
  return used.flatMap(([from, what]) => {
    const to = definedIn.get(what);
    return to === undefined ? [] : [{ from, to, what }];
  });
}

/** A cycle of files that use each other, as a path; undefined when there is none. */
function circle(uses: readonly Use[]): string[] | undefined {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): string[] | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file];
    if (done.has(file)) return undefined;
    for (const { from, to } of uses) {
      const found = from === file ? visit(to, [...path, file]) : undefined;
      if (found) return found;
    }
    done.add(file);
    return undefined;
  };
  for (const { from } of uses) {
    const found = visit(from, []);
    if (found) return found;
  }
  return undefined;
}

/** One line per upward include or call, and one line for a cycle. */
export function violations(root: string): string[] {
  const called = calls(root);
  const upward = [...includes(root), ...called].filter(({ from, to }) => rank(from) < rank(to));
  const lines = upward.map(({ from, to, what }) => `${from} → ${to}: ${what}`);
  const path = circle(called);
  return path ? [...lines, `circle: ${path.join(' → ')}`] : lines;
}
