/** Counts passed, failed and skipped tests from the output of each kind of test runner. */
import { existsSync, readFileSync } from 'node:fs';

/** @typedef {{ passed: number, failed: number, skipped: number, notes: string[] }} Counts */

/** @returns {Counts} */
export function noCounts() {
  return { passed: 0, failed: 0, skipped: 0, notes: [] };
}

/** A step without its own tests (a lint, a build) counts as one test. */
export function fromExit(status) {
  return status === 0 ? { ...noCounts(), passed: 1 } : { ...noCounts(), failed: 1 };
}

/**
 * Parses Jest's --json report. With `mustWork`, a skipped test is a failure unless its title says `[optional]`. An
 * optional test needs something that a machine may lack, e.g. a container engine.
 */
export function fromJest(reportFile, status, mustWork) {
  if (!existsSync(reportFile)) return { ...noCounts(), failed: 1, notes: ['jest left no report'] };
  const report = JSON.parse(readFileSync(reportFile, 'utf8'));
  const counts = { ...noCounts(), passed: report.numPassedTests, failed: report.numFailedTests };
  counts.failed += report.numRuntimeErrorTestSuites;
  for (const suite of report.testResults) {
    for (const test of suite.assertionResults) {
      if (test.status !== 'pending' && test.status !== 'todo') continue;
      const refused = mustWork && !test.fullName.includes('[optional]');
      counts[refused ? 'failed' : 'skipped'] += 1;
      counts.notes.push(`${refused ? 'skipped, but must work' : 'skipped'}: ${test.fullName}`);
    }
  }
  if (status !== 0 && counts.failed === 0) {
    counts.failed = 1;
    counts.notes.push(`jest ended with ${String(status)} although no test failed`);
  }
  return counts;
}

/** Parses Python's unittest output: `Ran 12 tests in …` and `OK (skipped=1)` or `FAILED (failures=1, errors=1)`. */
export function fromUnittest(output, status, mustWork) {
  const number = (pattern) => Number(pattern.exec(output)?.[1] ?? 0);
  const failures = number(/failures=(\d+)/) + number(/errors=(\d+)/) + number(/unexpected successes=(\d+)/);
  const skipped = number(/skipped=(\d+)/);
  const passed = number(/Ran (\d+) tests?/) - failures - skipped;
  return settle({ ...noCounts(), passed: Math.max(passed, 0), failed: failures, skipped }, status, mustWork);
}

/** Parses TAP of the C tests: `ok 1 - name`, `not ok 2 - name`, `ok 3 - name # SKIP why`. */
export function fromTap(output, status, mustWork) {
  const counts = noCounts();
  for (const line of output.split('\n')) {
    if (/^not ok\b/.test(line)) counts.failed += 1;
    else if (/^ok\b.*# SKIP/i.test(line)) counts.skipped += 1;
    else if (/^ok\b/.test(line)) counts.passed += 1;
  }
  return settle(counts, status, mustWork);
}

function settle(counts, status, mustWork) {
  if (mustWork && counts.skipped > 0) {
    counts.notes.push(`${String(counts.skipped)} skipped, but must work`);
    counts.failed += counts.skipped;
    counts.skipped = 0;
  }
  if (status !== 0 && counts.failed === 0) counts.failed = 1;
  if (status === 0 && counts.passed + counts.failed + counts.skipped === 0) counts.passed = 1;
  return counts;
}
