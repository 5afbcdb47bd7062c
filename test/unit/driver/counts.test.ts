import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

const MODULE = pathToFileURL(resolve(__dirname, '../../support/counts.mjs')).href;

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
  notes: string[];
}

/** Calls an export of counts.mjs in a separate process, because jest loads no ES modules. */
function call(name: string, ...args: unknown[]): Counts {
  const script = `import * as counts from ${JSON.stringify(MODULE)};
    console.log(JSON.stringify(counts[process.argv[1]](...JSON.parse(process.argv[2]))));`;
  const argv = ['--input-type=module', '-e', script, '--', name, JSON.stringify(args)];
  return JSON.parse(execFileSync(process.execPath, argv, { encoding: 'utf8' })) as Counts;
}

const UNITTEST = 'Ran 5 tests in 0.1s\n\nFAILED (failures=1, errors=1, skipped=1)\n';

test('unittest failures, errors and skips are counted separately', () => {
  expect(call('fromUnittest', UNITTEST, 1, false)).toMatchObject({ passed: 2, failed: 2, skipped: 1 });
});

test('with ARGYLE_MUST_WORK, a skip is a failure', () => {
  expect(call('fromUnittest', UNITTEST, 1, true)).toMatchObject({ passed: 2, failed: 3, skipped: 0 });
});

test('a runner that dies without a failed test counts as a failure', () => {
  expect(call('fromTap', 'ok 1 - a\nok 2 - b # SKIP no root\n', 139, false)).toMatchObject({
    passed: 1,
    failed: 1,
    skipped: 1,
  });
});

test('TAP lines are counted', () => {
  expect(call('fromTap', 'ok 1 - a\nnot ok 2 - b\nok 3 - c\n', 1, false)).toMatchObject({ passed: 2, failed: 1 });
});

test('a missing jest report is a failure, and an optional test may be skipped', () => {
  expect(call('fromJest', '/nonexistent/report.json', 0, true)).toMatchObject({ passed: 0, failed: 1 });
  const folder = mkdtempSync(join(tmpdir(), 'argyle-counts-'));
  const report = join(folder, 'report.json');
  const assertionResults = [
    { status: 'pending', fullName: 'limits memory' },
    { status: 'pending', fullName: '[optional] docker engine' },
    { status: 'passed', fullName: 'echoes' },
  ];
  const results = {
    numPassedTests: 1,
    numFailedTests: 0,
    numRuntimeErrorTestSuites: 0,
    testResults: [{ assertionResults }],
  };
  writeFileSync(report, JSON.stringify(results));
  try {
    expect(call('fromJest', report, 0, true)).toMatchObject({ passed: 1, failed: 1, skipped: 1 });
    expect(call('fromJest', report, 0, false)).toMatchObject({ passed: 1, failed: 0, skipped: 2 });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
