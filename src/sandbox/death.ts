/** Messages that describe why a guest ended and which setting to change. */
import { constants } from 'node:os';
import type { SandboxExit, SandboxLimits } from './types';

/** Names a limit as ol.yaml and config.json name it, and says where to raise the limit. */
function limitOf(name: 'mem_mb' | 'procs' | 'runtime_sec', value: number, unit: string): string {
  return `limits.${name} is ${value}${unit}; raise it in the function's ol.yaml, or in config.json for all functions`;
}

/** The message for a sandbox that was stopped or killed because of its memory limit. */
export function memoryAdvice(limits: SandboxLimits): string {
  return limitOf('mem_mb', limits.memMb, ' MB');
}

/** The end of the message for a request that took longer than its time limit. @param ms the limit */
export function timeAdvice(ms: number): string {
  return limitOf('runtime_sec', ms / 1000, ' s');
}

function signalName(signal: number): string {
  const name = Object.entries(constants.signals).find(([, number]) => number === signal)?.[0];
  return name === undefined ? `signal ${signal}` : `signal ${signal} (${name})`;
}

/** @param limits the limits of a function's sandbox; absent for zygotes and installers, whose limits are not named */
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
  // abort() in a process with pid 1 ends with SIGSEGV: the kernel ignores SIGABRT there, and abort() then executes a
  // forbidden instruction.
  if (signal === constants.signals.SIGSEGV)
    return `killed by ${signalName(signal)}, by a fault or by abort(); see its log`;
  return signal === 0 ? `its first process exited with ${(status >> 8) & 0xff}` : `killed by ${signalName(signal)}`;
}
