/** The entries of sock mode's table, and what goes into making them. */
import * as fs from 'node:fs/promises';
import { Readable } from 'node:stream';
import * as tar from 'tar';
import { ArgyleError } from '../errors';
import type { Slot } from '../sandbox/slot';
import type { PackageImport, Sandbox } from '../sandbox/types';
import type { GroupSpec } from '../zygote/birth';
import type { ZygoteProcess } from '../zygote/live';
import { pinOf, servesKeys } from '../zygote/match';
import { unpackArchive } from './intake/archive';
import type { Intake } from './intake/intake';

/** One entry of the table: what the client may do to it. */
export interface Owned {
  pause(): Promise<void>;
  resume(): Promise<void>;
  destroy(reason: string): Promise<void>;
  debug(): Promise<string>;
  zygote?: { process: ZygoteProcess; spec: GroupSpec; isPaused: () => boolean };
}

/**
 * Freezes a zygote and lets it go on, one after the other; doing so twice changes nothing. Its children, which have
 * cgroups of their own, go on.
 */
export function freezer(slot: Pick<Slot, 'pause' | 'resume' | 'isUsable'>, id: string) {
  let paused = false;
  let last: Promise<void> = Promise.resolve();
  const set = (wanted: boolean): Promise<void> => {
    const step = last.then(async () => {
      if (!slot.isUsable) throw new ArgyleError('SANDBOX_DEAD', `sandbox '${id}' is dead: its process ended`);
      if (paused === wanted) return;
      await (wanted ? slot.pause() : slot.resume());
      paused = wanted;
    });
    last = step.catch(() => undefined);
    return step;
  };
  return { pause: () => set(true), resume: () => set(false), isPaused: () => paused };
}

export function ownedLeaf(id: string, sandbox: Sandbox, clean: () => Promise<void>): Owned {
  return {
    pause: () => sandbox.pause(),
    resume: () => sandbox.resume(),
    destroy: async (reason) => {
      await sandbox.destroy(reason);
      await clean();
    },
    // Under the id that the client knows; the sandbox counts leaves only.
    debug: async () => (await sandbox.debugString()).replace(/^(SOCK|SANDBOX) \d+/, `$1 ${id}`),
  };
}

/** The package rule: what a parent has imported must stand among what the leaf asks for. */
export function checkServes(parent: string, spec: GroupSpec, packages: readonly PackageImport[]): void {
  const wanted = new Set(packages.map((found) => pinOf(found.spec).key));
  if (servesKeys(spec.pins, wanted)) return;
  const foreign = spec.pins.filter((key) => !wanted.has(key)).join(', ');
  throw new ArgyleError('SANDBOX_STATE', `parent '${parent}' has imported ${foreign}, which pkgs does not list`);
}

/** Copies a directory or unpacks an archive, by the rules that hold for uploads. */
export async function copyCode(code: string, dir: string, intake: Intake): Promise<void> {
  if (code.endsWith('.tar.gz')) {
    await intake.unpackFile(code, dir);
    return;
  }
  const stat = await fs.stat(code).catch(() => undefined);
  if (stat?.isDirectory() !== true) {
    throw new ArgyleError('LAMBDA_CODE', `code '${code}' is neither a directory nor a .tar.gz`, { field: 'code' });
  }
  const names = await fs.readdir(code);
  if (names.length === 0) return;
  const files = tar.create(
    { cwd: code, portable: true },
    names.map((name) => `./${name}`),
  );
  await unpackArchive(Readable.from(files), dir);
}
