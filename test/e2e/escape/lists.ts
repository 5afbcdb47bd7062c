/** Lists of the system calls that a filter allows, by name, with the conditions on their arguments. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ALLOW, conditions, judge, type Program } from './bpf';

/** AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64, by the name of the directory of their lists. */
const ARCHES: Record<string, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };
export const ARCH = ARCHES[process.arch] ?? 0;
/** AUDIT_ARCH_I386 and AUDIT_ARCH_ARM: the other ABIs that the same processors run. */
export const OTHER_ARCHES = [0x40000003, 0x40000028];
/** The bit of x32's system call numbers. */
export const X32 = 0x40000000;

const DIR = join(__dirname, 'syscalls', process.arch);

/** System call numbers of this machine, from the C library's headers. */
export function numbers(): Map<number, string> {
  const text = execFileSync('cc', ['-dM', '-E', '-include', 'sys/syscall.h', '-x', 'c', '/dev/null'], {
    encoding: 'utf8',
  });
  const found = new Map<number, string>();
  for (const [, name, number] of text.matchAll(/^#define __NR_(\w+) (\d+)$/gm)) found.set(Number(number), name ?? '');
  return found;
}

/** One line for each allowed call, and for each set of conditions on its arguments. */
export function allowed(programs: readonly Program[], names: ReadonlyMap<number, string>): string[] {
  const lines = new Set<string>();
  for (const path of judge(programs, { arch: ARCH })) {
    if (path.verdict !== ALLOW) continue;
    const number = path.equal.get('nr');
    // A path that compares no number would allow all calls that are not listed.
    const name = number === undefined ? 'ANY OTHER NUMBER' : (names.get(number) ?? String(number));
    lines.add(`${name} ${conditions(path)}`.trim());
  }
  return [...lines].sort();
}

/** The differences between `lines` and `base`: lines with + and -. */
export function difference(base: readonly string[], lines: readonly string[]): string[] {
  const gone = base.filter((line) => !lines.includes(line)).map((line) => `- ${line}`);
  return [...gone, ...lines.filter((line) => !base.includes(line)).map((line) => `+ ${line}`)];
}

export const listFile = (name: string): string => join(DIR, `${name}.txt`);

export function readList(name: string): string[] {
  const file = listFile(name);
  if (!existsSync(file)) return [];
  return readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'));
}
