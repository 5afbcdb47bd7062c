/** Trees that an installer may leave, as data for hostile_tree.py, which makes and judges them. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import fc from 'fast-check';

export const HOSTILE_TREE = join(__dirname, 'hostile_tree.py');

export interface HostileEntry {
  /** Path as hexadecimal bytes. */
  path: string;
  kind: string;
  mode: number;
  data: string;
}

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

/**
 * The set of names is small, so that entries often nest. Some names are not valid text, or contain control characters
 * of terminals.
 */
const NAMES = ['a', 'b', 'lib', 'new\nline', '\xff\xfe', 'ü', '\x1b[31m', ' ', '...', '-rf', 'x'.repeat(255)];
const TARGETS = [
  ...['a', 'b/a', './a', '.', '..', '../a', '../../a', 'a/..', 'a/../..', 'b/../../a', 'lib/../../../etc/passwd'],
  ...['/', '/etc/passwd', '//a', '../../../../../../etc/shadow', '\xff\xfe', 'a\nb', '', './..', './/../..'],
];
const KINDS = ['file', 'file', 'folder', 'link', 'link', 'victim', 'twice', 'extended', 'sparse', 'socket', 'fifo'];
const DEVICES = ['memory', 'disk'];
const MODES = [0o644, 0o755, 0o600, 0o000, 0o777, 0o4755, 0o2755, 0o6777, 0o1777, 0o7777, 0o311];

export const hostileEntry: fc.Arbitrary<HostileEntry> = fc.record({
  path: fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 4 }).map((names) => hex(names.join('/'))),
  kind: fc.constantFrom(...KINDS, ...DEVICES),
  mode: fc.constantFrom(...MODES),
  data: fc.constantFrom(...TARGETS).map(hex),
});

/** Compares a tree and its copy. Returns entries that the copy must not have, and entries that it lacks. */
export function judgeCopy(tree: string, copy: string, uid: number): string[] {
  const out = execFileSync('/usr/bin/python3', [HOSTILE_TREE, 'judge', tree, copy, String(uid)], { encoding: 'utf8' });
  return JSON.parse(out) as string[];
}

/** Makes a tree that the caller owns. */
export function makeTree(dir: string, entries: readonly HostileEntry[]): void {
  execFileSync('/usr/bin/python3', [HOSTILE_TREE, 'make', dir], { input: JSON.stringify(entries) });
}
