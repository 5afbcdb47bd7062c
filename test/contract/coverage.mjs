// Writes docs/contract-coverage.md from jest's report of the contract tests:
//   npx jest --runInBand --json --outputFile=report.json test/contract && node test/contract/coverage.mjs report.json
import { readFileSync, writeFileSync } from 'node:fs';

const TITLES = {
  0: 'Introduction',
  1: 'HTTP',
  2: 'Command line',
  3: 'config.json',
  4: 'ol.yaml',
  5: 'Registry',
  6: 'Packages',
  7: 'Zygotes',
  8: 'Statistics and strings',
  9: 'Faults of the original',
};

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const sections = new Map();
for (const { assertionResults } of report.testResults) {
  for (const { ancestorTitles, title, status } of assertionResults) {
    const [, group = title] = ancestorTitles;
    const number = /^section (\d)/.exec(title)?.[1] ?? /^(?:\[optional\] )?(\d)[, ]/.exec(group)?.[1] ?? '1';
    const list = sections.get(number) ?? [];
    list.push({ text: title.replace(/^(\[optional\] )?(section )?\d(, \d)*:? /, '$1'), status });
    sections.set(number, list);
  }
}

const elsewhere = JSON.parse(readFileSync(new URL('elsewhere.json', import.meta.url), 'utf8'));
const heldElsewhere = (number) => elsewhere.filter(({ section }) => String(section) === number);
const numbers = Object.keys(TITLES).filter((n) => sections.has(n) || heldElsewhere(n).length > 0);
const here = (number) => sections.get(number) ?? [];
const passed = (list) => list.filter(({ status }) => status === 'passed').length;
const rows = numbers.map(
  (n) => `| ${n} ${TITLES[n]} | ${here(n).length} | ${passed(here(n))} | ${heldElsewhere(n).length} |`,
);
const all = [...sections.values()].flat();
writeFileSync(
  'docs/contract-coverage.md',
  `# Coverage of the contract

The contract is the behaviour of the OpenLambda worker that clients, functions and operators rely on. The title of each
contract test is one statement of the contract. The test calls a live worker. \`npx jest --runInBand --verbose test/contract\`
prints the statements. Other tests check further statements, which \`test/contract/elsewhere.json\` lists.
\`node test/contract/coverage.mjs\` makes this page from a report of the contract tests.

| section | statements tested | passed | tested elsewhere |
| --- | --- | --- | --- |
${rows.join('\n')}
| all | ${all.length} | ${passed(all)} | ${elsewhere.length} |

## Another worker

\`ARGYLE_CONTRACT_URL=http://127.0.0.1:5000 npx jest --runInBand test/contract\` tests a running worker. The title of a
skipped test gives the reason:

- "needs the worker's own files": the test reads files, processes or settings of the worker, or starts a worker.
- "the original differs": [differences.md](differences.md) lists the difference. A worker with \`/metrics\` counts as Argyle.

Tests of packages need a worker without installed packages that uses the project's index. Run
\`npm run mirror:serve -- --port 5001\`, set the worker's \`pip_mirror\` to the printed address, and set
\`ARGYLE_CONTRACT_PACKAGES=1\`. Tests of Kafka need \`kcat\`, and a worker that reaches the tests' loopback addresses. The tests
assume a \`registry_cache_ms\` of at most the default. Uploaded functions have a prefix of their own and stay in the registry.

## Not built or not tested

- \`make test\` has a stand-in for the boss (\`test/e2e/boss\`). The original's own boss and scripts run by hand
  (\`make upstream\`, \`OL_BOSS\`).
- Section 9 also lists batches of Kafka messages and error handlers. Both are not built.
- The test of a bucket by Google's protocol is optional, because its server comes from PyPI.
`,
);
