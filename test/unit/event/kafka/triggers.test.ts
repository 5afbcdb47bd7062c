import { byBrokers, kafkaSettings } from '../../../../src/event/kafka/triggers';

const trigger = (servers: string[], topics: string[], reset = '') => ({
  bootstrapServers: servers,
  topics,
  autoOffsetReset: reset,
});

describe('byBrokers', () => {
  it('joins triggers on the same brokers, whatever their order', () => {
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
  ])('names what a trigger lacks', (lacking, field) => {
    expect(() => byBrokers([lacking])).toThrow(expect.objectContaining({ code: 'TRIGGER', field }) as Error);
  });
});

it('takes times from config.json, and the defaults for those that are not set', () => {
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
