import { describeDeath } from '../../../src/sandbox/death';
import type { SandboxExit } from '../../../src/sandbox/types';

const LIMITS = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 256 };
const RAISE = "raise it in the function's ol.yaml, or in config.json for all functions";

test.each<[string, Partial<SandboxExit>, string]>([
  ['an exit', { status: 3 << 8 }, 'its first process exited with 3'],
  ['a signal', { status: 11 }, 'killed by signal 11 (SIGSEGV), by a fault or by abort(); see its log'],
  ['another signal', { status: 7 }, 'killed by signal 7 (SIGBUS)'],
  ['a signal with a core dump', { status: 0x84 }, 'killed by signal 4 (SIGILL)'],
  ['a signal without a name', { status: 60 }, 'killed by signal 60'],
  ['an end of which nothing is known', {}, 'its first process ended'],
  ['memory', { oomKills: 1, status: 9 }, `out of memory: limits.mem_mb is 50 MB; ${RAISE}`],
  [
    'processes',
    { procsRefused: 2, status: 6 },
    `killed by signal 6 (SIGABRT), after it was refused a process or thread: limits.procs is 10; ${RAISE}`,
  ],
  ['both', { oomKills: 1, procsRefused: 1 }, `out of memory: limits.mem_mb is 50 MB; ${RAISE}`],
])('%s is described with the limit at fault', (_, exit, expected) => {
  expect(describeDeath({ oomKills: 0, status: undefined, ...exit }, LIMITS)).toBe(expected);
});

test('no limit is named without limits, or without this one', () => {
  expect(describeDeath({ oomKills: 1, status: 9 })).toBe('out of memory');
  expect(describeDeath({ oomKills: 1, status: 9 }, { ...LIMITS, memMb: 0 })).toBe('out of memory');
  expect(describeDeath({ oomKills: 0, procsRefused: 1, status: 256 })).toBe('its first process exited with 1');
});
