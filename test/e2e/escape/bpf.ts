/**
 * Follows every path through a seccomp filter that its unknown inputs allow. The result holds for each of the 2^32
 * system call numbers and for all arguments.
 */
export type Instruction = [code: number, jt: number, jf: number, k: number];
export type Program = readonly Instruction[];

/** One path through a filter: its conditions, and the verdict at its end. */
export interface Path {
  /** Words of struct seccomp_data that the path compares, by name: `nr`, `arch`, `arg0`, `arg1&0xf`. */
  equal: ReadonlyMap<string, number>;
  unlike: readonly string[];
  verdict: number;
}

export const ALLOW = 0x7fff0000;
export const KILL_PROCESS = 0x80000000;
export const ERRNO = 0x00050000;
const ACTION = 0xffff0000;

/**
 * BPF_LD|W|ABS, BPF_JMP|JEQ|K, |JGE|K, |JSET|K, BPF_ALU|AND|K, BPF_RET|K. The profile's code emits no other
 * instruction.
 */
const Op = { LOAD: 0x20, JUMP_EQUAL: 0x15, JUMP_FROM: 0x35, JUMP_SET: 0x45, AND: 0x54, RETURN: 0x06 } as const;

/** Filters compare only system call numbers by size, and only with numbers below this limit. */
const LIMIT = 1024;
const LAST_WORD = 2 ** 32 - 1;

function wordAt(offset: number): string {
  if (offset === 0) return 'nr';
  if (offset === 4) return 'arch';
  if (offset < 16 || offset >= 64 || offset % 4 !== 0) throw new Error(`filter: load of ${offset}`);
  const index = Math.floor((offset - 16) / 8);
  return offset % 8 === 0 ? `arg${index}` : `arg${index}.high`;
}

interface State {
  at: number;
  word: string;
  equal: Map<string, number>;
  unlike: string[];
  /** Range of the system call number on this path. */
  low: number;
  high: number;
}

/** All paths of one program that agree with the `known` words. @throws Error at an unknown instruction */
export function paths(program: Program, known: Record<string, number>): Path[] {
  const found: Path[] = [];
  const start = { at: 0, word: '', equal: new Map(Object.entries(known)), unlike: [], low: 0, high: LAST_WORD };
  const open: State[] = [start];
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    const instruction = program[state.at];
    if (instruction === undefined) throw new Error('filter: it runs off its end');
    const [code, jt, jf, k] = instruction;
    const { at, word, equal, unlike } = state;
    const hex = `0x${k.toString(16)}`;
    const next = (skip: number, more: Partial<State> = {}): void =>
      void open.push({ ...state, at: at + 1 + skip, ...more });
    if (code === Op.RETURN) found.push(...split(state, k));
    else if (code === Op.LOAD) next(0, { word: wordAt(k) });
    else if (code === Op.AND) next(0, { word: `${word}&${hex}` });
    else if (code === Op.JUMP_FROM) {
      if (word !== 'nr' || k >= LIMIT) throw new Error(`filter: ${word} is compared with ${k}`);
      const { low, high } = state;
      const number = equal.get('nr');
      if ((number ?? high) >= k) next(jt, { low: Math.max(low, k) });
      if ((number ?? low) < k) next(jf, { high: Math.min(high, k - 1) });
    } else if (code === Op.JUMP_EQUAL || code === Op.JUMP_SET) {
      const name = code === Op.JUMP_SET ? `${word}&${hex}` : word;
      const wanted = code === Op.JUMP_SET ? 0 : k;
      const [whenEqual, whenNot] = code === Op.JUMP_SET ? [jf, jt] : [jt, jf];
      const value = equal.get(name);
      const possible = name !== 'nr' || (wanted >= state.low && wanted <= state.high);
      if (value === wanted || (value === undefined && possible && !unlike.includes(`${name}!=${wanted}`)))
        next(whenEqual, { equal: new Map(equal).set(name, wanted) });
      if (value !== wanted) next(whenNot, value === undefined ? { unlike: [...unlike, `${name}!=${wanted}`] } : {});
    } else throw new Error(`filter: instruction 0x${code.toString(16)}`);
  }
  return found;
}

/** The paths of a final state: one for each possible number, and one for all numbers from LIMIT on. */
function split({ equal, unlike, low, high }: State, verdict: number): Path[] {
  if (equal.has('nr') || (low === 0 && high === LAST_WORD)) return [{ equal, unlike, verdict }];
  const found: Path[] = [];
  for (let nr = low; nr <= Math.min(high, LIMIT - 1); nr++)
    if (!unlike.includes(`nr!=${nr}`)) found.push({ equal: new Map(equal).set('nr', nr), unlike, verdict });
  if (high >= LIMIT) {
    const below = Array.from({ length: LIMIT }, (_, nr) => `nr!=${nr}`);
    found.push({ equal, unlike: [...new Set([...unlike, ...below])], verdict });
  }
  return found;
}

const severity = (verdict: number): number => (verdict & ACTION) | 0;

function agree(a: Path, b: Path): boolean {
  for (const [name, value] of a.equal) {
    const other = b.equal.get(name);
    if ((other !== undefined && other !== value) || b.unlike.includes(`${name}!=${value}`)) return false;
  }
  return [...b.equal].every(([name, value]) => !a.unlike.includes(`${name}!=${value}`));
}

/** The verdict of several filters, as the kernel computes it: all filters run, and the strictest verdict holds. */
export function judge(programs: readonly Program[], known: Record<string, number>): Path[] {
  let all: Path[] = [{ equal: new Map(Object.entries(known)), unlike: [], verdict: ALLOW }];
  for (const program of programs) {
    const mine = paths(program, known);
    all = all.flatMap((a) =>
      mine
        .filter((b) => agree(a, b))
        .map((b) => ({
          equal: new Map([...a.equal, ...b.equal]),
          unlike: [...new Set([...a.unlike, ...b.unlike])],
          verdict: severity(b.verdict) < severity(a.verdict) ? b.verdict : a.verdict,
        })),
    );
  }
  return all;
}

/** The conditions on the arguments of this path, as text. Conditions that an equality implies are left out. */
export function conditions(path: Path): string {
  const format = (name: string, value: number): string => `${name}=${value > 9 ? `0x${value.toString(16)}` : value}`;
  const equal = [...path.equal].filter(([name]) => name.startsWith('arg'));
  const rest = path.unlike
    .filter((text) => text.startsWith('arg') && !path.equal.has(text.slice(0, text.indexOf('!='))))
    .map((text) =>
      text.replace(
        /!=(\d+)$/,
        (_, digits: string) => `!=${Number(digits) > 9 ? `0x${Number(digits).toString(16)}` : digits}`,
      ),
    );
  return [...equal.map(([name, value]) => format(name, value)), ...rest].sort().join(' ');
}
