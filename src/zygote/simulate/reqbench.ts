/** Reads ReqBench's measurements of Python packages: sets that are required together, and import costs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ArgyleError } from '../../errors';
import { UNMEASURED } from '../policy/params';
import { normalizeName } from '../../config/package-names';
import type { ImportCost, PinKey, RequiresOf } from '../policy/types';

/** A closed set of pins, with the number of requirement files that contain it. */
export interface CountedSet {
  /** The package that the set was counted for. */
  readonly of: PinKey;
  readonly pins: readonly PinKey[];
  readonly count: number;
}

export interface PackageData {
  /** Sets with sorted pins. */
  readonly sets: readonly Omit<CountedSet, 'of'>[];
  readonly costOf: (key: PinKey) => ImportCost;
  readonly requiresOf: RequiresOf;
}

const Cost = z.object({ ms: z.number(), mb: z.number() });
const Files = {
  sets: z.record(z.string(), z.record(z.string(), z.number())),
  costs: z.record(z.string(), Cost),
  installs: z.record(z.string(), z.record(z.string(), Cost.partial())),
  deps: z.record(z.string(), z.record(z.string(), z.record(z.string(), z.number()))),
};

async function load<T>(dir: string, name: string, schema: z.ZodType<T>): Promise<T> {
  const path = join(dir, name);
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (cause) {
    throw new ArgyleError('CONFIG_INVALID', `reqbench: cannot read ${path}`, { cause, field: 'reqbench', value: dir });
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ArgyleError('CONFIG_INVALID', `reqbench: ${path} is malformed`, { cause, field: 'reqbench', value: dir });
  }
}

/**
 * Reads costs.json as a map of import costs.
 * @throws ArgyleError CONFIG_INVALID when it is missing or malformed
 */
export async function loadCosts(dir: string): Promise<Map<PinKey, ImportCost>> {
  const [costs, installs] = await Promise.all([
    load(dir, 'costs.json', Files.costs),
    load(dir, 'install_import.json', Files.installs),
  ]);
  const known = new Map<PinKey, ImportCost>();
  for (const [name, versions] of Object.entries(installs)) {
    for (const [version, { ms, mb }] of Object.entries(versions)) {
      if (ms !== undefined && mb !== undefined) known.set(`${name}==${version}`, { ms, mb });
    }
  }
  for (const [key, { ms, mb }] of Object.entries(costs)) known.set(key, { ms, mb });
  return known;
}

/**
 * Reads the closed sets of each package and their counts.
 * @throws ArgyleError CONFIG_INVALID when the file is missing or malformed
 */
export async function loadCounts(dir: string): Promise<CountedSet[]> {
  const counted = Object.entries(await load(dir, 'top_500_pkgs.json', Files.sets));
  return counted.flatMap(([of, sets]) =>
    Object.entries(sets).map(([set, count]) => ({ of, pins: set.split(',').sort(), count })),
  );
}

/**
 * Reads a ReqBench directory. Packages without a measured cost get UNMEASURED.
 * @throws ArgyleError CONFIG_INVALID naming the file that is missing or malformed
 */
export async function loadReqbench(dir: string): Promise<PackageData> {
  const [sets, costs, deps] = await Promise.all([loadCounts(dir), loadCosts(dir), load(dir, 'deps.json', Files.deps)]);
  const requires = new Map<PinKey, string[]>();
  for (const [name, versions] of Object.entries(deps)) {
    for (const [version, closures] of Object.entries(versions)) {
      const names = Object.keys(closures).flatMap((set) => set.split(',').map((pin) => pin.split('==')[0] ?? pin));
      requires.set(
        `${name}==${version}`,
        [...new Set(names.map(normalizeName))].filter((other) => other !== normalizeName(name)),
      );
    }
  }
  return { sets, costOf: (key) => costs.get(key) ?? UNMEASURED, requiresOf: (key) => requires.get(key) };
}
