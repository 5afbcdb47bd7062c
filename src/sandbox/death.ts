/** Why a guest ended, in words that say what to do about it. */
import { constants } from 'node:os';
import type { SandboxExit, SandboxLimits } from './types';

/** What a function's limit is called in ol.yaml and config.json, and where it is raised. */
function limitOf(name: 'mem_mb' | 'procs', value: number, unit: string): string {
  return `limits.${name} is ${value}${unit}; raise it in the function's ol.yaml, or in config.json for all functions`;
}

/** That a sandbox was stopped, or killed, because of its memory limit. */
export function memoryAdvice(limits: SandboxLimits): string {
  return limitOf('mem_mb', limits.memMb, ' MB');
}

function signalName(signal: number): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  return name === undefined ? `signal ${signal}` : `signal ${signal} (${name})`;
}

/** @param limits those of a function's sandbox; without them none is named, as for zygotes and installers */
export function describeDeath(exit: SandboxExit, limits?: SandboxLimits): string {
  if (exit.lost === true) return 'the sandbox helper ended, and every sandbox with it';
  if (exit.oomKills > 0) {
    return limits === undefined || limits.memMb === 0 ? 'out of memory' : `out of memory: ${memoryAdvice(limits)}`;
  }
  const end = describeEnd(exit.status);
  if ((exit.procsRefused ?? 0) === 0 || limits === undefined) return end;
  return `${end}, after it was refused a process or thread: ${limitOf('procs', limits.procs, '')}`;
}

function describeEnd(status: number | undefined): string {
  if (status === undefined) return 'its first process ended';
  const signal = status & 0x7f;
  return signal === 0 ? `its first process exited with ${(status >> 8) & 0xff}` : `killed by ${signalName(signal)}`;
}
