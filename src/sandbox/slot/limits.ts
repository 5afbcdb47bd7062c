/** Limits of a sandbox as the helper protocol carries them, and their comparison. */
import type { SandboxLimits } from '../types';

export const MEGABYTE = 1024 * 1024;

/** The kernel's default cpu.weight. */
const DEFAULT_WEIGHT = 100;

/** Encodes limits as the helper protocol's array. */
export function limitArgs(limits: SandboxLimits): number[] {
  const bytes = (mb: number): number => Math.round(mb * MEGABYTE);
  const { memMb, procs, cpuPercent, swapBytes, scratchMb, cpuWeight = 0 } = limits;
  return [bytes(memMb), procs, cpuPercent, swapBytes, bytes(scratchMb), cpuWeight];
}

/** The cpu.weight of a sandbox with these limits. */
export const weightOf = ({ cpuWeight = DEFAULT_WEIGHT }: SandboxLimits): number => cpuWeight;

export function sameLimits(a: SandboxLimits, b: SandboxLimits): boolean {
  return (
    a.memMb === b.memMb &&
    a.procs === b.procs &&
    a.cpuPercent === b.cpuPercent &&
    a.swapBytes === b.swapBytes &&
    a.scratchMb === b.scratchMb &&
    weightOf(a) === weightOf(b)
  );
}
