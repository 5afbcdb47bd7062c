/**
 * The worker's mirror of sandbox-helper/protocol.h: only numbers and record layouts. test/unit/helper/protocol.test.ts
 * compares every number and offset with the header.
 */
import { endianness } from 'node:os';

export const MAGIC = 0x41524759;
export const VERSION = 1;
export const NAME_MAX = 256;
export const NAMES = 4;
export const MAX_SLOTS = 4096;
export const MAX_FDS = 3;
export const REQUEST_BYTES = 1120;
export const COMPLETION_BYTES = 128;

export const Verb = {
  HELLO: 1,
  NETWORK: 2,
  SLOT: 3,
  SPAWN: 4,
  FORK: 5,
  GO: 6,
  PAUSE: 7,
  RESUME: 8,
  KILL: 9,
  DESTROY: 10,
  USAGE: 11,
  LIMITS: 12,
  REMOVE: 13,
  DIAG: 14,
  RULE: 15,
  PRESSURE: 16,
} as const;
export type VerbName = keyof typeof Verb;

export const Role = { LEAF: 1, ZYGOTE: 2, INSTALLER: 3 } as const;
export const Pool = { LAMBDA: 1, INSTALL: 2 } as const;
export const Network = { OUTBOUND: 1, NONE: 2, HOST: 3 } as const;
export const Area = { PACKAGES: 1, CODE: 2 } as const;
export const Flag = { PARK: 1, HOST_USR: 4, NO_SECCOMP: 8 } as const;
export const Limit = { MEM_BYTES: 0, PIDS: 1, CPU_PERCENT: 2, SWAP_BYTES: 3, SCRATCH: 4, WEIGHT: 5 } as const;
export const Usage = {
  MEM_BYTES: 0,
  PIDS: 1,
  OOM_KILLS: 2,
  CPU_USEC: 3,
  FROZEN: 4,
  PIDS_REFUSED: 5,
  THREADS: 6,
  PID: 7,
} as const;
export const Pressure = { MEM_BYTES: 0, REFAULTS: 1, MAJOR_FAULTS: 2, FAULTS: 3, USER_USEC: 4 } as const;
export const Kind = { REPLY: 1, EVENT_EXIT: 2 } as const;

export const Code = {
  OK: 0,
  BADREQ: 1,
  VERSION: 2,
  STATE: 3,
  NOENT: 4,
  DENIED: 5,
  LIMIT: 6,
  SYS: 7,
  ZYGOTE: 8,
} as const;
export type CodeName = keyof typeof Code;

/** Stage of a failure. A helper that cannot continue exits with this number. */
export const Stage = {
  NONE: 0,
  USAGE: 10,
  PRIV: 11,
  CONFIG: 12,
  HELLO: 13,
  ROOTS: 14,
  MOUNTNS: 15,
  CGROUP: 16,
  NETWORK: 17,
  SLOT: 18,
  SPAWN: 19,
  FORK: 20,
  KILL: 21,
  REMOVE: 22,
  EVENTS: 23,
  JOB: 24,
  GUEST_NS: 30,
  GUEST_ROOT: 31,
  GUEST_PRIV: 32,
  GUEST_SECCOMP: 33,
  GUEST_EXEC: 34,
  GUEST_CGROUP: 35,
} as const;

/** The fields of struct ag_request that the caller sets. */
export interface RequestFields {
  slot?: number;
  source?: number;
  role?: number;
  flags?: number;
  /** Up to eight unsigned integers. */
  arg?: readonly number[];
  /** Up to four names of less than NAME_MAX bytes. */
  name?: readonly string[];
}

/** struct ag_completion. */
export interface Completion {
  kind: number;
  seq: number;
  slot: number;
  code: number;
  errno: number;
  stage: number;
  /** Eight values. A value that does not fit a double, such as ~0, is Infinity. */
  value: readonly number[];
  detail: string;
}

const little = endianness() === 'LE';

const keyOf = (table: Record<string, number>, value: number): string =>
  Object.keys(table).find((key) => table[key] === value) ?? `#${value}`;

/** The name of a stage for messages, e.g. `CGROUP`; `#99` for an unknown stage. */
export const stageName = (stage: number): string => keyOf(Stage, stage);
export const codeName = (code: number): string => keyOf(Code, code);

/**
 * Writes one request to `into`, which must have REQUEST_BYTES.
 *
 * @throws RangeError with the field's name for a name that is too long or contains NUL, and for too many values
 */
export function encodeRequest(into: Buffer, verb: number, seq: number, fields: RequestFields): void {
  into.fill(0);
  const view = new DataView(into.buffer, into.byteOffset, REQUEST_BYTES);
  view.setUint32(0, MAGIC, little);
  view.setUint16(4, VERSION, little);
  view.setUint16(6, verb, little);
  view.setBigUint64(8, BigInt(seq), little);
  view.setUint32(16, fields.slot ?? 0, little);
  view.setUint32(20, fields.source ?? 0, little);
  view.setUint32(24, fields.role ?? 0, little);
  view.setUint32(28, fields.flags ?? 0, little);
  const args = fields.arg ?? [];
  if (args.length > 8) throw new RangeError(`request arg: ${args.length} values, at most 8`);
  args.forEach((arg, index) => {
    if (!Number.isSafeInteger(arg) || arg < 0)
      throw new RangeError(`request arg[${index}]: ${arg} is not a whole number`);
    view.setBigUint64(32 + 8 * index, BigInt(arg), little);
  });
  const names = fields.name ?? [];
  if (names.length > NAMES) throw new RangeError(`request name: ${names.length} names, at most ${NAMES}`);
  names.forEach((name, index) => {
    if (Buffer.byteLength(name) >= NAME_MAX || name.includes('\0')) {
      throw new RangeError(`request name[${index}]: "${name.slice(0, 40)}" is too long or holds a NUL`);
    }
    into.write(name, 96 + NAME_MAX * index, 'utf8');
  });
}

/** Reads the completion at `offset`; undefined for a wrong magic number or version. */
export function decodeCompletion(from: Buffer, offset = 0): Completion | undefined {
  const view = new DataView(from.buffer, from.byteOffset + offset, COMPLETION_BYTES);
  if (view.getUint32(0, little) !== MAGIC || view.getUint16(4, little) !== VERSION) return undefined;
  const value: number[] = [];
  for (let index = 0; index < 8; index++) {
    const wide = view.getBigUint64(32 + 8 * index, little);
    value.push(wide > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(wide));
  }
  const text = from.subarray(offset + 96, offset + COMPLETION_BYTES);
  const end = text.indexOf(0);
  return {
    kind: view.getUint16(6, little),
    seq: Number(view.getBigUint64(8, little)),
    slot: view.getUint32(16, little),
    code: view.getInt32(20, little),
    errno: view.getInt32(24, little),
    stage: view.getUint32(28, little),
    value,
    detail: text.toString('utf8', 0, end < 0 ? text.length : end),
  };
}
