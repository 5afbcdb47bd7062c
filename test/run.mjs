#!/usr/bin/env node
/**
 * The test driver: `node test/run.mjs [GROUP…]`, groups as in STEPS, all of them by default. Runs the fatal steps
 * first and then several others at the same time, each under a time limit. Keeps each step's output in out/test/, prints
 * a step's result when it ends, and ends with `N passed, N failed, N skipped`. A lint, a type check or a build counts as
 * one test.
 * ARGYLE_MUST_WORK=1 makes a skipped test a failure (a laptop may skip, a CI run may not).
 */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fromExit, fromJest, fromTap, fromUnittest, noCounts } from './support/counts.mjs';
import { runSteps } from './support/schedule.mjs';
import { runStep } from './support/step.mjs';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const OUT = join(ROOT, 'out/test');
const MUST_WORK = process.env['ARGYLE_MUST_WORK'] === '1';
/** Lines of a failed step's output that are shown; the file has them all. */
const TAIL_LINES = 60;

const check = (group, name, command, timeoutSec, more = {}) => ({ group, name, command, timeoutSec, ...more });

function jest(group, folder, timeoutSec, args = []) {
  const report = join(OUT, `jest-${folder.replaceAll(/[^a-z0-9]+/gi, '-')}.json`);
  const command = ['node', 'node_modules/jest/bin/jest.js', '--json', '--outputFile', report, '--passWithNoTests'];
  return {
    group,
    name: `jest ${folder}`,
    command: [...command, ...args, folder],
    timeoutSec,
    count: (_output, status) => fromJest(report, status, MUST_WORK),
  };
}

function unittest(folder) {
  return {
    group: 'unit',
    name: `unittest ${folder}`,
    command: ['/usr/bin/python3', '-m', 'unittest', 'discover', '-v', '-s', folder, '-p', 'test_*.py'],
    timeoutSec: 300,
    count: (output, status) => fromUnittest(output, status, MUST_WORK),
  };
}

/** The C tests, once the helper's Makefile has them. */
function cTests() {
  if (!/^test:/m.test(readFileSync(join(ROOT, 'sandbox-helper/Makefile'), 'utf8'))) return [];
  return [
    {
      ...check('unit', 'C tests', ['make', '--no-print-directory', '-C', 'sandbox-helper', 'test'], 300),
      count: (output, status) => fromTap(output, status, MUST_WORK),
    },
  ];
}

const hasPythonTests = (folder) =>
  existsSync(join(ROOT, folder)) && readdirSync(join(ROOT, folder)).some((name) => /^test_.*\.py$/.test(name));

/**
 * Steps at the same time. Most steps wait for a third to a half of their time, so three of them use two processors. More
 * would make tests with time limits wait for a processor.
 */
const PLACES = Math.min(3, availableParallelism() + 1);

/**
 * In the order of their start: first the longest, so that no long step remains for the end. The guest has one processor.
 * It starts first, beside the tests that measure times under load, which take the places of all other steps.
 */
const STEPS = [
  check('build', 'dependencies', ['make', '--no-print-directory', 'deps'], 900, { fatal: true }),
  check('build', 'build', ['make', '--no-print-directory', 'build'], 600, { fatal: true }),
  {
    ...check('vm', 'e2e in a cgroup v2 guest', ['test/support/vm/suite.sh', join(OUT, 'vm')], 1560),
    count: (_output, status) => {
      const counts = fromJest(join(OUT, 'vm/report.json'), status, MUST_WORK);
      const machine = join(OUT, 'vm/machine');
      const told = existsSync(machine) ? readFileSync(machine, 'utf8').trim().split('\n') : [];
      return { ...counts, notes: [...told, ...counts.notes] };
    },
  },
  { ...jest('e2e', 'test/e2e/load', 900, ['--runInBand']), places: PLACES - 1 },
  // Apart, because the helper's tests open and close descriptors by number in jest's own process.
  jest('e2e', 'test/e2e/worker', 1200, ['--runInBand']),
  jest('integration', 'test/integration', 1200, ['--runInBand']),
  jest('unit', 'test/unit', 900),
  jest('contract', 'test/contract', 1200, ['--runInBand']),
  jest('e2e', 'test/e2e/helper', 900, ['--runInBand', '--forceExit']),
  check('lint', 'eslint', ['make', '--no-print-directory', 'lint-ts'], 600),
  jest('e2e', 'test/e2e/boss', 400, ['--runInBand']),
  jest('e2e', 'test/e2e/escape', 600, ['--runInBand', '--forceExit']),
  jest('e2e', 'test/e2e/tenants', 900, ['--runInBand', '--forceExit']),
  jest('e2e', 'test/e2e/network', 600, ['--runInBand', '--forceExit']),
  jest('e2e', 'test/e2e/web', 300, ['--runInBand']),
  check('lint', 'prettier', ['make', '--no-print-directory', 'lint-format'], 120),
  check('lint', 'type check', ['npm', 'run', '--silent', 'typecheck'], 600),
  check('lint', 'clang-format', ['make', '--no-print-directory', 'lint-c'], 60),
  check('lint', 'black and flake8', ['make', '--no-print-directory', 'lint-py'], 120),
  ...cTests(),
  ...['sandbox-helper/guest/tests', 'sandbox-helper/tests', 'packages-mirror/tests', 'test/unit/vm']
    .filter(hasPythonTests)
    .map(unittest),
];

function describeCounts({ passed, failed, skipped }) {
  return `${String(passed)} passed, ${String(failed)} failed, ${String(skipped)} skipped`;
}

/**
 * Runs a step, prints its result and adds it to `total`.
 * @returns {Promise<boolean>} whether the step passed
 */
async function runOne(step, total) {
  const startedMs = Date.now();
  const logFile = join(OUT, `${step.group}-${step.name.replaceAll(/[^a-z0-9]+/gi, '-')}.log`);
  const run = await runStep({ ...step, cwd: ROOT, logFile });
  const counts = (step.count ?? ((_output, status) => fromExit(status)))(run.output, run.status);
  for (const key of ['passed', 'failed', 'skipped']) total[key] += counts[key];
  const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
  console.log(`${counts.failed === 0 ? 'ok  ' : 'FAIL'} ${step.name}: ${describeCounts(counts)} (${seconds} s)`);
  for (const note of counts.notes) console.log(`     ${note}`);
  if (counts.failed === 0) return true;
  if (run.timedOut) console.log(`     time ran out after ${String(step.timeoutSec)} s`);
  console.log(run.output.split('\n').slice(-TAIL_LINES).join('\n'));
  return false;
}

async function main() {
  const wanted = process.argv.slice(2);
  const groups = new Set(STEPS.map((step) => step.group));
  const unknown = wanted.find((group) => !groups.has(group));
  if (unknown !== undefined) {
    console.error(`test/run.mjs: unknown group '${unknown}'; there are ${[...groups].join(', ')}`);
    return 2;
  }
  const steps = STEPS.filter((step) => wanted.length === 0 || wanted.includes(step.group));
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT, { recursive: true });
  const total = noCounts();
  // Nothing after a failed build says anything about the code.
  let built = true;
  for (const step of steps.filter(({ fatal }) => fatal)) built &&= await runOne(step, total);
  if (built) {
    const rest = steps.filter(({ fatal }) => !fatal);
    await runSteps(rest, PLACES, (step) => runOne(step, total));
  }
  console.log(describeCounts(total));
  return total.failed === 0 ? 0 : 1;
}

process.exitCode = await main();
