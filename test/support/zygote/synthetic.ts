/**
 * A small synthetic package index for simulations: layered dependencies, expensive base packages, two versions of some
 * packages.
 */
import { random } from '../../../src/zygote/simulate/random';
import type { PackageData } from '../../../src/zygote/simulate/reqbench';
import type { ImportCost, PinKey } from '../../../src/zygote/policy/types';

/**
 * The same seed gives the same index: 12 packages in the lowest layer, 24 in the middle, 36 in the highest. Each
 * package needs some packages of lower layers.
 */
export function syntheticPackages(seed = 7): PackageData {
  const source = random(seed);
  const costs = new Map<PinKey, ImportCost>();
  const requires = new Map<PinKey, readonly string[]>();
  const closures = new Map<string, readonly PinKey[]>();
  const layers: string[][] = [[], [], []];
  [12, 24, 36].forEach((size, layer) => {
    for (let index = 0; index < size; index++) {
      const name = `${['base', 'mid', 'top'][layer] ?? ''}${index}`;
      const version = source.next() < 0.2 ? '2.0' : '1.0';
      const key = `${name}==${version}`;
      const needed = new Set<string>();
      const below = layers.slice(0, layer).flat();
      for (let count = 0; count < layer * 2; count++) {
        const picked = below[source.int(below.length)];
        if (picked !== undefined) needed.add(picked);
      }
      const closure = new Set<PinKey>([key]);
      for (const other of needed) for (const pin of closures.get(other) ?? []) closure.add(pin);
      closures.set(name, [...closure].sort());
      requires.set(key, [...needed]);
      const ms = source.logNormal([4, 10, 25][layer] ?? 1, 1.2);
      costs.set(key, { ms, mb: ms * 0.04 });
      layers[layer]?.push(name);
    }
  });
  const sets = [...closures.values()].map((pins, rank) => ({
    pins,
    count: Math.ceil(1000 / (1 + ((rank * 29) % 72))),
  }));
  return {
    sets,
    costOf: (key) => costs.get(key) ?? { ms: 0, mb: 0 },
    requiresOf: (key) => requires.get(key),
  };
}
