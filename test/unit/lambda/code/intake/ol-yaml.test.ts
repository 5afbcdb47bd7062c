import { configJson, defaultLambdaConfig, isMethodAllowed } from '../../../../../src/lambda/code/lambda-config';
import { parseOlYaml } from '../../../../../src/lambda/code/intake/ol-yaml';

describe('parseOlYaml', () => {
  test('reads a whole file', () => {
    const config = parseOlYaml(`
triggers:
  http: [{method: GET}, {method: POST}]
  cron: [{schedule: "*/5 * * * *"}]
  kafka:
    - bootstrap_servers: ["a:9092", "b:9092"]
      topics: [t]
      auto_offset_reset: earliest
environment: {A: 1.10, B: 0x1F, C: yes, D: null, E: "q", F: 2024-01-01, G: 1_000, H: ~, 8: true}
reuse-sandbox: false
limits: {mem_mb: 128, procs: 32, cpu_percent: 50, runtime_sec: 0, other: x}
something: else
`);
    expect(config).toEqual({
      triggers: {
        http: [{ method: 'GET' }, { method: 'POST' }],
        cron: [{ schedule: '*/5 * * * *' }],
        kafka: [{ bootstrapServers: ['a:9092', 'b:9092'], topics: ['t'], autoOffsetReset: 'earliest' }],
      },
      environment: { A: '1.10', B: '0x1F', C: 'yes', D: '', E: 'q', F: '2024-01-01', G: '1_000', H: '', 8: 'true' },
      secrets: [],
      reuseSandbox: false,
      limits: { mem_mb: 128, procs: 32, cpu_percent: 50, runtime_sec: 0 },
    });
  });

  test.each([
    '{}',
    'other: 1',
    'null',
    '---\n',
    'triggers:\n',
    'triggers: {}\nenvironment:\nlimits:\n',
    'reuse-sandbox:\n',
  ])('missing values have their defaults: %j', (text) => {
    expect(parseOlYaml(text)).toEqual(defaultLambdaConfig());
  });

  test.each(['', '\n', '# only a comment\n', '  \n# x'])('a file without content is an error: %j', (text) => {
    expect(() => parseOlYaml(text)).toThrow(/^failed to parse ol.yaml: EOF$/);
  });

  test.each([
    ['a: 1\na: 2', /unique/i],
    ['environment: {A: 1, A: 2}', /unique/i],
    ['environment: {A: [1]}', /environment\.A must be a single value/],
    ['environment: [A]', /environment must be a mapping/],
    ['triggers: {http: GET}', /triggers\.http must be a list/],
    ['triggers: {http: [GET]}', /triggers\.http\[0\] must be a mapping/],
    ['reuse-sandbox: maybe', /reuse-sandbox must be true or false, not "maybe"/],
    ['limits: {mem_mb: 0}', /limits\.mem_mb must be a whole number from 1 to \d+, not "0"/],
    ['limits: {procs: 1.5}', /limits\.procs must be .* not "1.5"/],
    ['limits: {runtime_sec: -1}', /limits\.runtime_sec must be/],
    ['limits: {runtime_sec: 1e3}', /limits\.runtime_sec must be/],
    ['secrets: DB', /secrets must be a list/],
    ['secrets: ["A-B"]', /secrets: "A-B" is no name of a secret/],
    ['secrets: [../x]', /is no name of a secret/],
    ['- list', /the document must be a mapping/],
    ['text', /the document must be a mapping/],
    ['a: [', /failed to parse ol.yaml: .* \(line 1, column 5\)$/],
    ['limits:\n  mem_mb: 1: 2\n', /failed to parse ol.yaml: .* \(line 2, column \d+\)$/],
  ])('%j is refused', (text, message) => {
    expect(() => parseOlYaml(text)).toThrow(message);
  });

  test.each(['http: []', 'http:', 'http: null'])('%s denies every method', (http) => {
    const config = parseOlYaml(`triggers:\n  ${http}\n`);
    expect(isMethodAllowed(config, 'GET')).toBe(false);
  });

  test('methods are case-sensitive', () => {
    const config = parseOlYaml('triggers: {http: [{method: get}]}');
    expect([isMethodAllowed(config, 'GET'), isMethodAllowed(config, 'get')]).toEqual([false, true]);
    expect(isMethodAllowed(defaultLambdaConfig(), 'BREW')).toBe(true);
  });

  test('anchors are resolved', () => {
    expect(parseOlYaml('x: &e {A: 1}\nenvironment: *e\n').environment).toEqual({ A: '1' });
  });

  test('the JSON form is that of the original', () => {
    expect(JSON.stringify(configJson(defaultLambdaConfig()))).toBe(
      '{"Triggers":{"HTTP":[{"Method":"*"}],"Cron":null,"Kafka":null},"Environment":{},"ReuseSandbox":true}',
    );
  });
});
