// Writes docs/contract-coverage.md from jest's report of the contract tests:
//   npx jest --runInBand --json --outputFile=report.json test/contract && node test/contract/coverage.mjs report.json
import { readFileSync, writeFileSync } from 'node:fs';

const TITLES = {
  1: 'HTTP',
  2: 'Command line',
  3: 'config.json',
  4: 'ol.yaml',
  5: 'Registry',
  6: 'Packages',
  8: 'Statistics and strings',
  9: 'Faults of the original',
};

const report = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const sections = new Map();
for (const { assertionResults } of report.testResults) {
  for (const { ancestorTitles, title, status } of assertionResults) {
    const [, group = title] = ancestorTitles;
    const number = /^section (\d)/.exec(title)?.[1] ?? /^(\d) /.exec(group)?.[1] ?? '1';
    const list = sections.get(number) ?? [];
    list.push({ text: title.replace(/^(section )?\d:? /, ''), status });
    sections.set(number, list);
  }
}

const numbers = [...sections.keys()].sort();
const passed = (list) => list.filter(({ status }) => status === 'passed').length;
const rows = numbers.map((n) => `| ${n} ${TITLES[n]} | ${sections.get(n).length} | ${passed(sections.get(n))} |`);
const all = [...sections.values()].flat();
const lists = numbers.map((n) => {
  const items = sections.get(n).map(({ text, status }) => `- ${status === 'passed' ? '' : `**${status}** `}${text}`);
  return `## ${n} ${TITLES[n]}\n\n${items.join('\n')}\n`;
});

writeFileSync(
  'docs/contract-coverage.md',
  `# Coverage of the contract

Made by \`node test/contract/coverage.mjs\` from a run of \`npx jest --runInBand test/contract\`. Each test is titled by the
statement that it holds, and talks to a live worker: one that the suite starts through \`ol\`, or the one at
\`ARGYLE_CONTRACT_URL\`, where statements about files, settings and deliberate differences are left out.

| section | statements tested here | passed |
| --- | --- | --- |
${rows.join('\n')}
| all | ${all.length} | ${passed(all)} |

Held elsewhere, with the real parts too: the command line (2) by \`test/integration/cli.test.ts\` and \`admin.test.ts\`; sock
mode (1) by \`test/integration/sock-mode.test.ts\`; decoding, defaults, overrides and templates of config.json (3) by
\`test/unit/config\`; bucket stores (5) by \`test/unit/lambda/registry\`; installs (6) by
\`test/integration/packages.test.ts\`; zygotes (7) by \`test/integration/zygote.test.ts\` and \`test/unit/zygote\`; Kafka's
offsets and seeking (1, 4) by \`test/unit/event/kafka\`; the native runtime (1, 5) by \`test/e2e/worker/native.test.ts\`;
docker sandboxes (3) by \`test/e2e/worker/docker.test.ts\`.

Not tested here: ASGI's lifespan, \`storage\` modes, \`swappiness\`, the statistics \`evict\`, \`fork()\`
and \`ImportCache.*\` (by name), and the states of a worker directory after a reboot.

${lists.join('\n')}`,
);
