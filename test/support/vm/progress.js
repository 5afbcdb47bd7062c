'use strict';
/**
 * A jest reporter that prints each file when it begins and each test when it ends, so that a hang shows its position.
 */
module.exports = class Progress {
  onTestFileStart(test) {
    process.stderr.write(`file ${test.path}\n`);
  }

  onTestCaseResult(_test, { status, fullName, duration }) {
    process.stderr.write(`  ${status} ${fullName} (${String(duration ?? 0)} ms)\n`);
  }
};
