import { SkipSubject, Strayed } from './subject';
import type { Subject } from './subject';
import { summarize } from './stats';
import type { Summary } from './stats';

export interface Plan {
  /** Measurements per subject. */
  rounds: number;
  /** Unrecorded runs of each subject before the first round. A slow subject does fewer, within WARMUP_MS. */
  warmup: number;
  /** Pause between two measurements, ms, so that clean-up of one does not delay the next. */
  settleMs: number;
  /** No round begins after this time, ms of Date.now(). */
  untilMs?: number;
  /** Returns the ticks that the host has stolen so far. Without it, rows have no undisturbed figures. */
  stolen?: () => number;
}

/** One row of the report: a summary, or the reason why there is none. */
export interface Row {
  name: string;
  about: string;
  samplesMs: number[];
  /** Stolen ticks from the start of each sample to the start of the next; empty without `stolen`. */
  stolenTicks: number[];
  failures: string[];
  /** Number of discarded measurements, whose call had another kind of start than the row is about. */
  strayed: number;
  skipped: string | undefined;
  summary: Summary | undefined;
  /** Summary of the samples without stolen ticks. */
  undisturbed: Summary | undefined;
}

/**
 * Attributes stolen ticks to samples. The kernel counts stolen time at its next tick, so reading at the next start is
 * early enough.
 */
class Disturbances {
  private seen: number;
  private last: Row | undefined;

  constructor(private readonly stolen: () => number) {
    this.seen = stolen();
  }

  /** @param row the row that starts now; undefined at the end */
  next(row: Row | undefined): void {
    const now = this.stolen();
    const { last } = this;
    if (last !== undefined && last.stolenTicks.length < last.samplesMs.length) last.stolenTicks.push(now - this.seen);
    this.seen = now;
    this.last = row;
  }
}

/** Time limit of a subject's warm-up, ms. Subjects that benefit from a warm-up, such as a JIT runtime, are quick. */
const WARMUP_MS = 5000;
const LEAST_WARMUP = 5;
/** A subject with this many failures is not run again. */
const MAX_FAILURES = 5;
/** Largest share of discarded measurements. Above it, a row has no figures, since the rest is not a fair sample. */
const MAX_STRAYED_SHARE = 0.1;

/** Default of `settleMs`, ms. */
export const SETTLE_MS = 30;

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const messageOf = (thrown: unknown): string => (thrown instanceof Error ? thrown.message : String(thrown));

const divisor = (a: number, b: number): number => (b === 0 ? a : divisor(b, a % b));

/**
 * The order of a round, as indices below `count`. Start and step change with each round, so that no subject always pays
 * for the clean-up of the same predecessor.
 */
export function orderOf(round: number, count: number): number[] {
  const strides = Array.from({ length: count }, (_, index) => index + 1).filter((step) => divisor(step, count) === 1);
  const stride = strides[round % strides.length] ?? 1;
  return Array.from({ length: count }, (_, index) => (round + index * stride) % count);
}

/**
 * Measures all subjects in interleaved rounds. Each round runs every subject once, in a changing order, so that a slow
 * phase of the machine affects all subjects alike. Always tears down every subject.
 */
export async function measure(subjects: readonly Subject[], plan: Plan, log: (line: string) => void): Promise<Row[]> {
  const rows = new Map<Subject, Row>();
  try {
    for (const subject of subjects) rows.set(subject, await prepare(subject, plan, log));
    const disturbances = plan.stolen && new Disturbances(plan.stolen);
    for (let round = 0; round < plan.rounds; round += 1) {
      if (plan.untilMs !== undefined && Date.now() > plan.untilMs) {
        log(`out of time after ${round} of ${plan.rounds} rounds`);
        break;
      }
      for (const index of orderOf(round, subjects.length)) {
        const subject = subjects[index];
        const row = subject && rows.get(subject);
        if (subject === undefined || row === undefined || row.skipped !== undefined) continue;
        await subject.ready?.().catch(() => undefined);
        await pause(plan.settleMs);
        disturbances?.next(row);
        await measureOnce(subject, row);
        await pause(subject.cleanupMs ?? 0);
      }
      if ((round + 1) % 50 === 0) log(`round ${round + 1} of ${plan.rounds}`);
    }
    disturbances?.next(undefined);
  } finally {
    for (const subject of [...subjects].reverse()) {
      await subject.teardown().catch((thrown: unknown) => {
        log(`teardown of ${subject.name} failed: ${messageOf(thrown)}`);
      });
    }
  }
  const all = [...rows.values()];
  for (const row of all) conclude(row);
  return all;
}

/** Computes a row's summary, or the reason why there is none. */
function conclude(row: Row): void {
  const { samplesMs, stolenTicks, strayed } = row;
  const tried = samplesMs.length + strayed;
  if (strayed > tried * MAX_STRAYED_SHARE) {
    row.skipped ??= `${strayed} of ${tried} calls went another way than this row is about`;
  } else if (samplesMs.length > 0) {
    row.summary = summarize(samplesMs);
    const undisturbed = samplesMs.filter((_, index) => stolenTicks[index] === 0);
    if (undisturbed.length > 0) row.undisturbed = summarize(undisturbed);
  }
}

async function prepare(subject: Subject, plan: Plan, log: (line: string) => void): Promise<Row> {
  const { name, about } = subject;
  const row: Row = {
    name,
    about,
    samplesMs: [],
    stolenTicks: [],
    failures: [],
    strayed: 0,
    skipped: undefined,
    summary: undefined,
    undisturbed: undefined,
  };
  try {
    await subject.setup();
    const endMs = Date.now() + WARMUP_MS;
    for (let i = 0; i < plan.warmup && (i < LEAST_WARMUP || Date.now() < endMs); i += 1) {
      await subject.run().catch((thrown: unknown) => {
        if (!(thrown instanceof Strayed)) throw thrown;
      });
      await subject.ready?.();
      await pause(plan.settleMs);
    }
  } catch (thrown) {
    row.skipped = thrown instanceof SkipSubject ? thrown.message : `set-up failed: ${messageOf(thrown)}`;
    log(`${name}: ${row.skipped}`);
  }
  return row;
}

async function measureOnce(subject: Subject, row: Row): Promise<void> {
  try {
    row.samplesMs.push(await subject.run());
  } catch (thrown) {
    if (thrown instanceof Strayed) {
      row.strayed += 1;
      return;
    }
    row.failures.push(messageOf(thrown));
    if (row.failures.length >= MAX_FAILURES) row.skipped = `failed ${row.failures.length} times: ${messageOf(thrown)}`;
  }
}
