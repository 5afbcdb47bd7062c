/** The holders of memory that can be reclaimed, and the reclaims that run. */
import type { Stats } from '../../metrics';
import { chooseVictims, type Candidate } from './evictor';
import type { Paused, Shares } from './shares';

/** A holder of memory that the pool can reclaim. */
export interface Holder {
  /** Describes what reclaiming the holder would free; undefined while the holder is in use. */
  candidate(nowMs: number): Candidate | undefined;
  /** Memory that resuming the holder needs; undefined while the holder is not paused, absent when nothing pauses it. */
  paused?(nowMs: number): Paused | undefined;
  /** Executes the candidate's action. Never rejects. The memory returns to the pool through the holder's charge. */
  reclaim(action: Candidate['action']): Promise<void>;
}

export interface ReclaimerOptions {
  stats: Stats;
  /** Called for every eviction. */
  onEvict?: (victim: Candidate) => void;
}

/** Memory that waiters lack. */
export interface Lack {
  /** The lack of all waiters together, in MB. Negative while memory is free. */
  neededMb: number;
  /** The part of `neededMb` that functions above their share lack, in MB. */
  overMb: number;
  /** The functions above their share that lack memory. */
  over: ReadonlySet<string>;
  /** The part of `neededMb` for functions that wait until another function yields, in MB. */
  patientMb: number;
}

type Victim = Candidate & { holder: Holder };

export class Reclaimer {
  private readonly holders = new Set<Holder>();
  private readonly running = new Set<Holder>();

  constructor(private readonly options: ReclaimerOptions) {}

  add(holder: Holder): void {
    this.holders.add(holder);
  }

  remove(holder: Holder): void {
    this.holders.delete(holder);
  }

  /** The paused instances. */
  paused(): Paused[] {
    const nowMs = Date.now();
    return [...this.holders].flatMap((holder) => holder.paused?.(nowMs) ?? []);
  }

  /** Memory that all idle holders would free, in MB. @param sparing true leaves out what is kept (Candidate.keptAs) */
  freeableMb(sparing: boolean): number {
    const nowMs = Date.now();
    let mb = 0;
    for (const holder of this.holders) {
      const found = holder.candidate(nowMs);
      if (found !== undefined && !(sparing && found.keptAs !== undefined)) mb += found.freesMb;
    }
    return mb;
  }

  /**
   * Starts to reclaim what is lacking, minus what running reclaims free.
   *
   * POLICY: instances kept for functions below their share are reclaimed after other instances, and only for functions
   * below their share. Spares, zygotes and instances of scale.min come after both (evictor.ts), and not for functions
   * that still wait until another function yields.
   */
  reclaim(lack: Lack, shares: Shares): void {
    const nowMs = Date.now();
    const { overMb, patientMb, over } = lack;
    let { neededMb } = lack;
    for (const holder of this.running) neededMb -= holder.candidate(nowMs)?.freesMb ?? 0;
    const { free, kept } = shares.protect(this.idle(nowMs), over);
    const thawMb = overMb > 0 ? shares.thawMb : 0;
    const victims: Victim[] = [];
    const take = (from: readonly Victim[], mb: number): void => {
      for (const victim of chooseVictims(from, mb)) {
        neededMb -= victim.freesMb;
        victims.push(victim);
      }
    };
    for (const isLast of [false, true]) {
      const ofStage = ({ keptAs }: Victim): boolean => (keptAs !== undefined) === isLast;
      take(free.filter(ofStage), neededMb + thawMb - (isLast ? patientMb : 0));
      take(kept.filter(ofStage), neededMb - overMb - patientMb);
    }
    for (const victim of victims) {
      const { holder, ...candidate } = victim;
      this.running.add(holder);
      this.options.onEvict?.(candidate);
      void this.reclaimOne(victim);
    }
  }

  /** Lists the holders that can be reclaimed and are not being reclaimed. */
  private idle(nowMs: number): Victim[] {
    const idle: Victim[] = [];
    for (const holder of this.holders) {
      if (this.running.has(holder)) continue;
      const candidate = holder.candidate(nowMs);
      if (candidate !== undefined) idle.push({ ...candidate, holder });
    }
    return idle;
  }

  private async reclaimOne(victim: Victim): Promise<void> {
    const startMs = performance.now();
    await victim.holder.reclaim(victim.action);
    this.running.delete(victim.holder);
    if (victim.action === 'destroy') this.options.stats.record('evict', performance.now() - startMs);
  }
}
