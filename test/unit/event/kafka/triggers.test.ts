import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Registrations } from '../../../../src/event/kafka/registrations';
import { byBrokers, joined, kafkaSettings, KafkaTriggers } from '../../../../src/event/kafka/triggers';
import { freePort } from '../../../support/ports';
import { until } from '../../../support/until';

const trigger = (servers: string[], topics: string[], reset = '') => ({
  bootstrapServers: servers,
  topics,
  autoOffsetReset: reset,
});

describe('byBrokers', () => {
  it('joins triggers on the same brokers, in any order', () => {
    const found = byBrokers([
      trigger(['b:1', 'a:1'], ['x'], 'earliest'),
      trigger(['a:1', 'b:1'], ['y'], 'latest'),
      trigger(['c:1'], ['z'], 'Earliest'),
    ]);
    expect([...found].map(([key, topics]) => [key, [...topics]])).toEqual([
      [
        'a:1,b:1',
        [
          ['x', true],
          ['y', false],
        ],
      ],
      ['c:1', [['z', false]]],
    ]);
  });

  it.each([
    [trigger([], ['x']), 'kafka[0].bootstrap_servers'],
    [trigger(['a:1'], []), 'kafka[0].topics'],
  ])('names the missing field of a trigger', (lacking, field) => {
    expect(() => byBrokers([lacking])).toThrow(expect.objectContaining({ code: 'TRIGGER', field }) as Error);
  });
});

it('times come from config.json, and missing times from the defaults', () => {
  const kafka = {
    cache_enabled: false,
    cache_size: 9,
    session_timeout_sec: 20,
    heartbeat_interval_sec: 0,
    poll_timeout_sec: 2,
    commit_failed: true,
  };
  expect(kafkaSettings(kafka)).toEqual({
    cacheSize: 0,
    sessionTimeoutMs: 20_000,
    heartbeatIntervalMs: 3000,
    pollTimeoutMs: 2000,
    commitFailed: true,
  });
  expect(kafkaSettings({ ...kafka, cache_enabled: true }).cacheSize).toBe(9);
});

describe('joined', () => {
  it('adds triggers, and replaces those for the same topics of the same brokers', () => {
    const [a, b] = [trigger(['a:1', 'b:1'], ['x']), trigger(['a:1'], ['x', 'y'])];
    expect(joined([], [a])).toEqual([a]);
    expect(joined([a], [b])).toEqual([a, b]);
    const again = trigger(['b:1', 'a:1'], ['x', 'z'], 'earliest');
    expect(joined([a, b], [again])).toEqual([b, again]);
    expect(joined([b], [trigger(['a:1'], ['x'])])).toHaveLength(2);
  });
});

describe('without a broker', () => {
  const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };
  const settings = {
    cacheSize: 1,
    sessionTimeoutMs: 6000,
    heartbeatIntervalMs: 500,
    pollTimeoutMs: 100,
    commitFailed: false,
  };
  const invoker = { invoke: () => Promise.resolve(), debug: () => Promise.resolve([]) };
  let dir: string;
  beforeEach(() => (dir = mkdtempSync(join(tmpdir(), 'triggers-'))));
  afterEach(() => {
    rmSync(dir, { recursive: true });
  });
  const host = () =>
    new KafkaTriggers({ settings, log: LOG, invoker, kept: new Registrations(join(dir, 'kafka.json')) });

  it('register() succeeds at once, the state names the reason, and stop() is fast', async () => {
    const triggers = host();
    const address = `127.0.0.1:${await freePort()}`;
    const start = performance.now();
    await triggers.register('fn', [trigger([address], ['t'])]);
    expect(performance.now() - start).toBeLessThan(1000);
    expect(triggers.status).toEqual([{ lambda: 'fn', brokers: [address], topics: ['t'], state: 'waiting' }]);
    await until('it has failed once', () => triggers.status[0]?.error !== undefined, 20_000);
    expect(triggers.debug()[0]).toMatch(
      new RegExp(`^KAFKA fn\nBROKERS: ${address}\nTOPICS: t\nSTATE: waiting\nERROR: .+\n$`),
    );
    const stop = performance.now();
    await triggers.close();
    expect(performance.now() - stop).toBeLessThan(3000);
  });

  it('registrations persist until they are ended, and are restored for existing functions', async () => {
    const [t, u] = [trigger(['127.0.0.1:1'], ['t'], 'earliest'), trigger(['127.0.0.1:1'], ['u'])];
    const first = host();
    await Promise.all([
      first.register('a', [t]),
      first.add('b', [t]),
      first.register('gone', [t]),
      first.register('x', [t]),
    ]);
    await first.add('b', [u]);
    await first.unregister('x');
    await first.close();
    expect(readdirSync(dir)).toEqual(['kafka.json']);
    const second = host();
    await second.restore((name) => Promise.resolve(name !== 'gone'));
    expect(second.status.map(({ lambda, topics }) => [lambda, topics])).toEqual([
      ['a', ['t']],
      ['b', ['t', 'u']],
    ]);
    await second.close();
  });

  it('an unreadable file is logged, and nothing is restored', async () => {
    writeFileSync(join(dir, 'kafka.json'), '{"a": [{"topics": 1}]}');
    const triggers = host();
    await triggers.restore(() => Promise.resolve(true));
    expect(triggers.status).toEqual([]);
    await triggers.close();
  });
});
