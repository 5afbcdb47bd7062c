/** Kafka triggers against a server of the real protocol. A fake invoker stands in for functions. */
import { existsSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { KafkaTriggers } from '../../src/event/kafka/triggers';
import type { KafkaSettings } from '../../src/event/kafka/consumer';
import { startWorker, type TestWorker } from '../support/in-process-worker';
import { until } from '../support/until';
import { startBroker, whyNoBroker, type Broker } from '../support/kafka-broker';

const real = whyNoBroker() === undefined || process.env.ARGYLE_MUST_WORK !== undefined ? describe : describe.skip;
const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined };
const SETTINGS: KafkaSettings = {
  cacheSize: 16,
  sessionTimeoutMs: 6000,
  heartbeatIntervalMs: 500,
  pollTimeoutMs: 100,
  commitFailed: false,
};

interface Call {
  name: string;
  value: string;
  headers: Record<string, string>;
}

real('Kafka triggers', () => {
  jest.setTimeout(60_000);
  let broker: Broker;
  let kafka: Kafka;
  let producer: Producer;
  let calls: Call[];
  let triggers: KafkaTriggers;
  /** The function's answer to a call: the status, and the offset that the function wants next. */
  let answer: (call: Call) => { status?: number; seek?: string };

  const host = (settings: Partial<KafkaSettings> = {}): KafkaTriggers =>
    new KafkaTriggers({
      settings: { ...SETTINGS, ...settings },
      log: LOG,
      invoker: {
        debug: () => Promise.resolve([]),
        invoke: (name, { headers: sent, body, sink, method, uri }) => {
          expect({ method, uri }).toEqual({ method: 'POST', uri: `/run/${name}/` });
          const pairs: Record<string, string> = {};
          for (let i = 0; i < sent.length; i += 2) pairs[sent[i] ?? ''] = sent[i + 1] ?? '';
          const made = { name, value: (body.open() as Buffer).toString(), headers: pairs };
          calls.push(made);
          const { status = 200, seek } = answer(made);
          const headers = seek === undefined ? [] : ['X-Kafka-Seek-Offset', seek];
          sink.start({ status, reason: '', headers, length: undefined, bodiless: false });
          sink.end();
          return Promise.resolve();
        },
      },
    });
  const on = (...topics: string[]) => [{ bootstrapServers: [broker.address], topics, autoOffsetReset: 'earliest' }];
  const send = (topic: string, ...values: string[]) =>
    producer.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) });
  const values = (): string[] => calls.map(({ value }) => value);

  beforeAll(async () => {
    broker = await startBroker();
    kafka = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING });
    producer = kafka.producer({
      createPartitioner:
        () =>
        ({ message }) =>
          message.partition ?? 0,
    });
    await producer.connect();
  });
  beforeEach(() => {
    calls = [];
    answer = () => ({});
    triggers = host();
  });
  afterEach(async () => {
    await triggers.close();
  });
  afterAll(async () => {
    await producer.disconnect();
    await broker.close();
  });

  it('call the function with topic, partition, offset and group', async () => {
    await send('plain', '{"n":1}', '{"n":2}');
    await triggers.register('fn', on('plain'));
    await until('both came', () => calls.length === 2, 20_000);
    expect(values()).toEqual(['{"n":1}', '{"n":2}']);
    expect(calls[1]?.headers).toEqual({
      'X-Request-Id': expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      'Content-Type': 'application/json',
      'Content-Length': '7',
      'X-Kafka-Topic': 'plain',
      'X-Kafka-Partition': '0',
      'X-Kafka-Offset': '1',
      'X-Kafka-Group-Id': 'lambda-fn',
    });
  });

  it("continue after the group's committed offset", async () => {
    await send('again', 'a', 'b');
    await triggers.register('again', on('again'));
    await until('both came', () => calls.length === 2, 20_000);
    await triggers.unregister('again');
    await send('again', 'c');
    await triggers.register('again', on('again'));
    await until('the third came', () => calls.length === 3, 20_000);
    expect(values()).toEqual(['a', 'b', 'c']);
  });

  it('begin with new messages unless auto_offset_reset is earliest', async () => {
    await send('late', 'old');
    await triggers.register('late', [{ bootstrapServers: [broker.address], topics: ['late'], autoOffsetReset: '' }]);
    await until('it runs', () => triggers.status[0]?.state === 'running', 20_000);
    await new Promise((resolve) => setTimeout(resolve, 1500));
    await send('late', 'new');
    await until('one came', () => calls.length > 0, 20_000);
    expect(values()).toEqual(['new']);
  });

  it.each([16, 0])('rewind when the function requests it, with %i messages cached', async (cacheSize) => {
    triggers = host({ cacheSize });
    const topic = `seek${cacheSize}`;
    await send(topic, 'a', 'b', 'c', 'd');
    answer = ({ value }) => (value === 'c' && values().filter((v) => v === 'c').length === 1 ? { seek: '1' } : {});
    await triggers.register(topic, on(topic));
    await until('all came', () => calls.length >= 6, 20_000);
    expect(values()).toEqual(['a', 'b', 'c', 'b', 'c', 'd']);
  });

  it('retry a failed message and commit neither it nor a later one', async () => {
    await send('fails', 'bad', 'good');
    answer = () => ({ status: 500 });
    await triggers.register('fails', on('fails'));
    await until('it was tried twice', () => calls.length >= 2, 20_000);
    await triggers.unregister('fails');
    expect(new Set(values())).toEqual(new Set(['bad']));
    calls = [];
    answer = () => ({});
    await triggers.register('fails', on('fails'));
    await until('both came', () => calls.length === 2, 20_000);
    expect(values()).toEqual(['bad', 'good']);
  });

  it('continue after a failed message with kafka.commit_failed', async () => {
    triggers = host({ commitFailed: true });
    await send('skips', 'bad', 'good');
    answer = ({ value }) => ({ status: value === 'bad' ? 500 : 200 });
    await triggers.register('skips', on('skips'));
    await until('both came', () => calls.length === 2, 20_000);
    expect(values()).toEqual(['bad', 'good']);
  });

  it('belong to one function, by its exact name', async () => {
    await triggers.register('a', on('exact-a'));
    await triggers.register('a-b', on('exact-ab'));
    await triggers.unregister('a');
    await send('exact-ab', 'x');
    await until('a-b still listens', () => calls.length === 1, 20_000);
    expect(calls[0]?.name).toBe('a-b');
  });

  it('wait for a broker that starts later', async () => {
    const late = await startBroker();
    const port = Number(late.address.split(':')[1]);
    await late.close();
    await triggers.register('fn', [{ bootstrapServers: [late.address], topics: ['t'], autoOffsetReset: 'earliest' }]);
    await until('it has failed once', () => triggers.status[0]?.error !== undefined, 20_000);
    // A server of the protocol starts at a free port. It forwards connections to the real broker.
    const [host = '', real] = broker.address.split(':');
    const server = createServer((near) => {
      const far = connect(Number(real), host);
      near.pipe(far).pipe(near);
      for (const socket of [near, far]) socket.on('error', () => socket.destroy());
    }).listen(port, '127.0.0.1');
    await send('t', 'x');
    await until('the message came', () => values().includes('x'), 30_000);
    expect(triggers.status).toMatchObject([{ state: 'running' }]);
    server.close();
  });

  it('fail with a clear error for a missing topic and when the worker stops', async () => {
    await expect(triggers.register('fn', on())).rejects.toMatchObject({ code: 'TRIGGER', field: 'kafka[0].topics' });
    await triggers.close();
    await expect(triggers.register('fn', on('plain'))).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
  });

  it('call a function through the worker, within its method restrictions', async () => {
    const worker: TestWorker = await startWorker();
    const refusals: object[] = [];
    const log = { ...LOG, warn: (fields: object) => refusals.push(fields) };
    const through = new KafkaTriggers({ invoker: worker.manager, settings: SETTINGS, log });
    const file = join(worker.dir, 'seen');
    try {
      await worker.deploy('writes', { 'f.py': `def f(event):\n    open("${file}", "a").write(str(event["x"]))\n` });
      await worker.deploy('gets', {
        'f.py': 'def f(event):\n    pass\n',
        'ol.yaml': 'triggers:\n  http:\n    - method: GET\n',
      });
      await send('writes', '{"x":1}', '{"x":2}');
      await send('gets', '{}');
      await through.register('writes', on('writes'));
      await through.register('gets', on('gets'));
      await until('the function was called', () => existsSync(file) && readFileSync(file, 'utf8') === '12', 15_000);
      await until('the method was refused', () => refusals.length > 0, 15_000);
      expect(refusals[0]).toMatchObject({
        topic: 'gets',
        why: expect.stringContaining('HTTP method not allowed. Sent: POST, Allowed: [GET]') as string,
      });
    } finally {
      await through.close();
      await worker.close();
    }
  });
});
