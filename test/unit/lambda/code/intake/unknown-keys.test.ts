import { parseOlYaml } from '../../../../../src/lambda/code/intake/ol-yaml';

function told(text: string): string[] {
  const messages: string[] = [];
  parseOlYaml(text, { onIgnored: (message) => messages.push(message) });
  return messages;
}

test.each([
  ['reuse: false', /^ol\.yaml: reuse has no effect: the nearest is reuse-sandbox, all are triggers, /],
  ['reuse_sandbox: false', /nearest is reuse-sandbox,/],
  ['trigger: {http: []}', /nearest is triggers,/],
  ['Environment: {A: 1}', /nearest is environment,/],
  ['constructor: 1', /^ol\.yaml: constructor has no effect/],
  ['triggers: {timer: []}', /^ol\.yaml: triggers\.timer has no effect: .*, all are http, cron, kafka$/],
  ['triggers: {http: [{methods: GET, method: GET}]}', /triggers\.http\[0\]\.methods has no effect: .*\.method, all/],
  [
    'triggers: {kafka: [{bootstrap_servers: [a], topics: [t], auto_offset: x}]}',
    /^ol\.yaml: triggers\.kafka\[0\]\.auto_offset has no effect: the nearest is triggers\.kafka\[0\]\.auto_offset_reset,/,
  ],
  ['triggers: {http: [{method: post}]}', /^triggers\.http\[0\]\.method is "post", .* as POST$/],
])('%j is reported', (text, message) => {
  expect(told(text)).toEqual([expect.stringMatching(message)]);
});

test.each([
  'triggers: {http: [{method: GET}, {method: "*"}], cron: [{schedule: x}]}',
  'environment: {any: 1}\nsecrets: [A]\nreuse-sandbox: true\nlimits: {mem_mb: 50}\nscale: {min: 1}\nruntime:\n',
  'x-common: &e {A: 1}\nenvironment: *e\n',
  'triggers:\n  http:\n',
  'null',
])('%j has no report', (text) => {
  expect(told(text)).toEqual([]);
});
