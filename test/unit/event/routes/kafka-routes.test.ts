import { parseTriggers } from '../../../../src/event/routes/kafka-routes';
import type { KafkaTrigger } from '../../../../src/lambda/code/lambda-config';
import type { TestWorker } from '../../../support/in-process-worker';
import { call, startWorker } from '../../../support/in-process-worker';

const CODE = 'def f(event): return event\n';
const YAML = 'triggers: {kafka: [{bootstrap_servers: ["a:1"], topics: [t], auto_offset_reset: earliest}]}\n';
const TRIGGER = { bootstrapServers: ['a:1'], topics: ['t'], autoOffsetReset: 'earliest' };

describe('the Kafka routes', () => {
  let worker: TestWorker;
  const registered = new Map<string, readonly KafkaTrigger[]>();
  beforeAll(async () => {
    worker = await startWorker({
      triggers: {
        register: (name, triggers) => Promise.resolve(void registered.set(name, triggers)),
        add: (name, triggers) =>
          Promise.resolve(void registered.set(name, [...(registered.get(name) ?? []), ...triggers])),
        unregister: (name) => Promise.resolve(void registered.delete(name)),
      },
    });
    await worker.deploy('with', { 'f.py': CODE, 'ol.yaml': YAML });
    await worker.deploy('without', { 'f.py': CODE });
  });
  afterAll(() => worker.close());
  beforeEach(() => {
    registered.clear();
  });

  const message = (text: string): object => ({ status: 'success', lambda: 'with', message: text });

  test('register and unregister the triggers of ol.yaml', async () => {
    const on = await call(worker, '/kafka/register/with', { method: 'POST' });
    expect([on.status, JSON.parse(on.body)]).toEqual([200, message('Kafka consumers registered for 1 trigger(s)')]);
    expect(registered.get('with')).toEqual([TRIGGER]);
    const off = await call(worker, '/kafka/register/with', { method: 'DELETE' });
    expect([off.status, JSON.parse(off.body)]).toEqual([200, message('Kafka consumers unregistered')]);
    expect(registered.size).toBe(0);
  });

  test.each([
    ['POST', '/kafka/register/nope', 404, 'lambda nope not found\n'],
    ['POST', '/kafka/register/without', 400, 'lambda has no Kafka triggers\n'],
    ['POST', '/kafka/register/', 400, 'lambda name required\n'],
    ['GET', '/kafka/register/with', 405, 'method not allowed\n'],
    ['GET', '/kafka-init/with', 405, 'method not allowed\n'],
    ['POST', '/kafka-init/with', 400, 'trigger is not valid JSON\n'],
  ])('%s %s answers %d', async (method, target, status, body) => {
    const reply = await call(worker, target, { method });
    expect([reply.status, reply.body]).toEqual([status, body]);
  });

  test("serve the boss's init and stop", async () => {
    const body = JSON.stringify({
      BootstrapServers: ['a:1'],
      Topics: ['t'],
      AutoOffsetReset: 'earliest',
      GroupId: 'g',
    });
    expect((await call(worker, '/kafka-init/with', { method: 'POST', body })).status).toBe(200);
    expect(registered.get('with')).toEqual([TRIGGER]);
    // The boss sends one request for each trigger.
    const other = JSON.stringify({ BootstrapServers: ['b:1'], Topics: ['t'], AutoOffsetReset: 'earliest' });
    expect((await call(worker, '/kafka-init/with', { method: 'POST', body: other })).status).toBe(200);
    expect(registered.get('with')).toEqual([TRIGGER, { ...TRIGGER, bootstrapServers: ['b:1'] }]);
    expect((await call(worker, '/kafka-stop/with', { method: 'POST' })).status).toBe(200);
    expect(registered.size).toBe(0);
  });

  test('report missing consumers in the answer', async () => {
    const bare = await startWorker();
    await bare.deploy('with', { 'f.py': CODE, 'ol.yaml': YAML });
    const reply = await call(bare, '/kafka/register/with', { method: 'POST' });
    expect([reply.status, reply.body]).toEqual([500, 'this worker has no Kafka consumers\n']);
    await bare.close();
  });
});

test.each([
  ['{"bootstrap_servers":["a:1"],"topics":["t"],"auto_offset_reset":"earliest"}', [TRIGGER]],
  ['[{"bootstrapServers":["a:1"],"topics":["t"],"autoOffsetReset":"earliest"}]', [TRIGGER]],
  ['[{"BootstrapServers":["a:1"],"Topics":["t"],"AutoOffsetReset":"earliest"}]', [TRIGGER]],
  [
    '{"HTTP":null,"Cron":null,"Kafka":[{"BootstrapServers":["a:1"],"Topics":["t"],"AutoOffsetReset":"earliest"}]}',
    [TRIGGER],
  ],
  ['{"Kafka":null}', []],
  ['null', []],
  ['{}', [{ bootstrapServers: [], topics: [], autoOffsetReset: '' }]],
  ['{"topics":"t"}', expect.stringMatching(/^invalid Kafka trigger: 0\.topics: /)],
  ['3', expect.stringMatching(/^invalid Kafka trigger/)],
])('trigger JSON %s', (body, expected) => {
  expect(parseTriggers(body)).toEqual(expected);
});
