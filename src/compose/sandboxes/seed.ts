/**
 * A file with the statistics of the popularity policy, which outlives the worker. The file is written every few seconds
 * while the statistics change, so a killed worker loses only the last seconds of its statistics.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { asArgyleError } from '../../errors';
import type { Config } from '../../config';
import { homeOf } from '../../config/places';
import type { RootLog } from '../../log';
import type { PackageImport } from '../../sandbox/types';
import type { ZygoteLayer } from '../../zygote/assemble';
import type { PopularitySeed } from '../../zygote/learn/seed';

/** Shortest time between two writes, in ms. */
const SAVE_MS = 5000;
/**
 * The pause after a write is at least this many times as long as the serialization, which blocks the event loop for
 * some ms.
 */
const PAUSE_PER_SAVE = 1000;
const LOOK_MS = 20;

/** The file is beside the worker's directory, because a stopping worker empties its directory. */
const seedPath = (config: Pick<Config, 'worker_dir' | 'home'>, base?: string) =>
  join(dirname(homeOf(config)), base === undefined ? 'popularity.json' : `popularity.${base}.json`);

export interface SeedParts {
  zygotes: Pick<ZygoteLayer, 'tracker' | 'popularity' | 'submodules' | 'groups'>;
  /** Looks up the packages that a seed names. */
  packages: { peek: (spec: string) => Promise<PackageImport | undefined> };
  config: Pick<Config, 'worker_dir' | 'home' | 'features'>;
  log: Pick<RootLog, 'logger'>;
  /** Name of a further base, undefined for the worker's own. */
  base?: string | undefined;
}

export class SeedStore {
  private timer: NodeJS.Timeout | undefined;
  private saving: Promise<void> | undefined;
  private savedChanges: number;
  private failed = false;
  private lookedUp: Promise<void> | undefined;
  private readonly path: string;

  constructor(private readonly parts: SeedParts) {
    this.path = seedPath(parts.config, parts.base);
    this.savedChanges = parts.zygotes.tracker.changes;
  }

  /** Restores the statistics of an earlier worker, and begins to save those of this worker. */
  start(): void {
    if (this.parts.config.features.import_cache !== 'popularity') return;
    this.restore();
    this.arm(SAVE_MS);
  }

  /** Resolves once the most valuable zygotes are made, or after `ms`. */
  async warm(ms: number): Promise<void> {
    const { popularity, groups } = this.parts.zygotes;
    const endMs = performance.now() + ms;
    await this.lookedUp;
    await popularity?.look();
    while (groups.coming().length > 0 && performance.now() < endMs) await sleep(LOOK_MS);
  }

  /** Saves the statistics a last time. */
  async close(): Promise<void> {
    if (this.timer === undefined) return;
    clearTimeout(this.timer);
    await this.saving;
    writeFileSync(this.draft, this.text());
    renameSync(this.draft, this.path);
  }

  private get draft(): string {
    return `${this.path}.${process.pid}.new`;
  }

  /** Reads the file. A file that cannot be used is logged. */
  private restore(): void {
    const { zygotes, log } = this.parts;
    try {
      const seed = zygotes.tracker.restore(JSON.parse(readFileSync(this.path, 'utf8')), Date.now());
      this.lookedUp = this.lookUp(seed);
    } catch (err) {
      if ((err as NodeJS.ErrnoException).code !== 'ENOENT') log.logger.warn({ err }, 'popularity.json is not used');
    }
  }

  /**
   * Finds the packages of the seed's zygotes, so that these zygotes can be made before the first call.
   * POLICY: a package that is no longer installed is not installed here. It is installed when a function asks for it.
   */
  private async lookUp({ sets, specs, submodules }: PopularitySeed): Promise<void> {
    const { zygotes, packages } = this.parts;
    for (const key of new Set(sets.flatMap(({ pins }) => pins))) {
      const found = await packages.peek(specs[key] ?? key).catch(() => undefined);
      if (found === undefined) continue;
      zygotes.tracker.packages.know(key, found);
      zygotes.submodules.learn(key, found.modules, submodules[key] ?? []);
    }
    zygotes.popularity?.measured();
  }

  private text(): string {
    const { tracker, submodules } = this.parts.zygotes;
    this.savedChanges = tracker.changes;
    const seed: PopularitySeed = {
      ...tracker.toSeed(Date.now()),
      submodules: Object.fromEntries(submodules.entries()),
    };
    return JSON.stringify(seed);
  }

  private arm(delayMs: number): void {
    this.timer = setTimeout(() => {
      const startMs = performance.now();
      if (this.parts.zygotes.tracker.changes !== this.savedChanges) this.saving = this.save(this.text());
      this.arm(Math.max(SAVE_MS, PAUSE_PER_SAVE * (performance.now() - startMs)));
    }, delayMs).unref();
  }

  private async save(text: string): Promise<void> {
    try {
      await writeFile(this.draft, text);
      await rename(this.draft, this.path);
      this.failed = false;
    } catch (err) {
      if (!this.failed)
        this.parts.log.logger.warn({ err: asArgyleError('INTERNAL', err) }, 'popularity.json cannot be written');
      this.failed = true;
    }
  }
}
