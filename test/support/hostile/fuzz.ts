/**
 * Plays generated answers through a worker and judges each result. A dishonest answer may corrupt the
 * next answer of the same guest, but no answer of another guest.
 */
import { readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { until } from '../until';
import { judge, requestId, type Attacker, type Played } from './attack';
import { grammar, mutated, numbered, type HostileAnswer } from './grammar';
import { History } from './history';

/** Number of answers that are generated, played and judged together. */
const BATCH = 250;
/** A sandbox's number in errors and descriptions. */
const SANDBOX = /\bsandbox (\d+)/i;

export interface FuzzOptions {
  count: number;
  seed: number;
  /** Path of worker.out. */
  log: string;
  attackers: readonly Attacker[];
  /** Recorded honest answers for mutation. */
  recordings: readonly Buffer[];
}

export interface FuzzResult {
  /** Number of answers by outcome. */
  counts: Record<string, number>;
  honest: number;
  guests: number;
  /** Number of answers after which the guest must not serve again. */
  final: number;
  wrong: string[];
}

/** An answer that must not have a body but declares one. undici closes the connection and ignores all later bytes. */
const DECLARED = /HTTP\/1\.1 (204|304)[^]*\r\ncontent-length:/i;

/**
 * Whether the worker must detect bytes after the answer's end. The guest sends them in one write with the answer, so no
 * request can come between them. The worker also must not close the connection itself, as it does after HEAD and
 * `timeout=0`.
 */
const lateless = ({ trailing, then, cuts, bytes, method }: HostileAnswer): boolean =>
  trailing &&
  then === 'keep' &&
  cuts.length === 0 &&
  bytes.length < 4096 &&
  method !== 'HEAD' &&
  !bytes.includes('=0') &&
  !DECLARED.test(bytes.toString('latin1'));

export async function fuzz({ count, seed, log, attackers, recordings }: FuzzOptions): Promise<FuzzResult> {
  const history = new History(log);
  const result: FuzzResult = { counts: {}, honest: 0, guests: 0, final: 0, wrong: [] };
  /** Cases that may affect their guest's next answer, and cases after which the guest must not serve again. */
  const unclean = new Set<number>();
  const final = new Set<number>();
  /** What the client got in each case of `final`. */
  const outcomes = new Map<number, string>();
  const kind = fc.oneof({ weight: 3, arbitrary: grammar() }, mutated(recordings));
  for (let done = 0; done < count; done += BATCH) {
    const sample = fc.sample(kind, { numRuns: Math.min(BATCH, count - done), seed: seed + done });
    const cases = sample.map((answer, i) => ({ number: done + i, answer: numbered(done + i, answer) }));
    const played = await playAll(attackers, cases);
    await until('the guests have told what they played', () => {
      history.read();
      return cases.every(({ number }) => played.get(number)?.caseHeader === undefined || history.has(number));
    });
    for (const { number, answer } of cases) {
      const outcome = played.get(number) as Played;
      const name = outcome.error ?? outcome.end;
      result.counts[name] = (result.counts[name] ?? 0) + 1;
      if (answer.honest === undefined) unclean.add(number);
      else result.honest++;
      if (name !== 'whole' || lateless(answer)) {
        final.add(number);
        outcomes.set(number, `${name} ${outcome.status} ${outcome.why} ${outcome.body.slice(0, 200)}`);
      }
    }
    for (const { number, answer } of cases) {
      const outcome = played.get(number) as Played;
      const sandbox = SANDBOX.exec(outcome.body)?.[1] ?? '';
      const before = history.has(number) ? history.previous(number) : history.last(sandbox);
      const clean = before === undefined || !unclean.has(before);
      const fault = outcomes.get(before ?? -1) ?? '';
      const why =
        judge(number, answer, outcome, clean) ??
        (final.has(before ?? -1) ? `its guest was at fault: ${fault}` : undefined);
      const bytes = JSON.stringify(answer.bytes.toString('latin1').slice(0, 300));
      if (why !== undefined) result.wrong.push(`case ${number} after ${before ?? 'none'}: ${why}\n  ${bytes}`);
    }
  }
  history.close();
  // The log completes the description of a wrong case, because an answer to HEAD contains no error text.
  const lines = result.wrong.length === 0 ? [] : readFileSync(log, 'latin1').split('\n');
  const logged = (text: string): string =>
    [...text.matchAll(/\d+/g)]
      .slice(0, 2)
      .flatMap(([number]) => lines.filter((line) => line.includes(`"${requestId(Number(number))}"`)))
      .map((line) => `\n  ${line.slice(0, 500)}`)
      .join('');
  result.wrong = result.wrong.map((text) => text + logged(text));
  return { ...result, guests: history.guests, final: final.size };
}

/** Each attacker takes the next answer when its last one is finished. */
async function playAll(
  attackers: readonly Attacker[],
  cases: readonly { number: number; answer: HostileAnswer }[],
): Promise<Map<number, Played>> {
  const played = new Map<number, Played>();
  const next = cases[Symbol.iterator]();
  const run = async (attacker: Attacker): Promise<void> => {
    for (const { number, answer } of next) played.set(number, await attacker.play(number, answer));
  };
  await Promise.all(attackers.map(run));
  return played;
}
