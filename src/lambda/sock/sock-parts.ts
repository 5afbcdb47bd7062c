/** The entries of sock mode's table, and functions that make them. */
import * as fs from 'node:fs/promises';
import { Readable } from 'node:stream';
import * as tar from 'tar';
import { ArgyleError } from '../../errors';
import type { Slot } from '../../sandbox/slot/slot';
import type { PackageImport, Sandbox } from '../../sandbox/types';
import type { GroupSpec } from '../../zygote/fleet/zygote-maker';
import type { ZygoteProcess } from '../../zygote/fleet/zygote-process';
import { pinOf, servesKeys } from '../../zygote/policy/match';
import { unpackArchive } from '../code/intake/archive';
import type { Intake } from '../code/intake/intake';

/** One entry of the table, with the operations of its client. */
export interface Owned {
  pause(): Promise<void>;
  resume(): Promise<void>;
  destroy(reason: string): Promise<void>;
  debug(): Promise<string>;
  zygote?: { process: ZygoteProcess; spec: GroupSpec; isPaused: () => boolean };
}

/**
 * Freezes and resumes a zygote, one step after the other. A repeated step has no effect. The zygote's children have
 * cgroups of their own and are not frozen.
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

/** The entry of a leaf. @param hostDir directory in which the client finds the socket */
export function ownedLeaf(id: string, sandbox: Sandbox, hostDir: string, clean: () => void): Owned {
  return {
    pause: () => sandbox.pause(),
    resume: () => sandbox.resume(),
    destroy: async (reason) => {
      await sandbox.destroy(reason);
      clean();
    },
    // The text shows the id that the client knows. The sandbox has its own number, which counts only leaves.
    debug: async () => {
      const text = await sandbox.debugString();
      return text.replace(/^(SOCK|SANDBOX) \d+/, `$1 ${id}`).replace(/^HOST DIR: .*$/m, `HOST DIR: ${hostDir}`);
    },
  };
}

/** The package rule: the leaf must ask for every package that its parent has imported. */
export function checkServes(parent: string, spec: GroupSpec, packages: readonly PackageImport[]): void {
  const wanted = new Set(packages.map((found) => pinOf(found.spec).key));
  if (servesKeys(spec.pins, wanted)) return;
  const foreign = spec.pins.filter((key) => !wanted.has(key)).join(', ');
  throw new ArgyleError('SANDBOX_STATE', `parent '${parent}' has imported ${foreign}, which pkgs does not list`);
}

/** Copies a directory or unpacks an archive. The rules are those of uploads. */
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
