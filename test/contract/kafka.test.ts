/**
 * Contract, sections 1 and 4: Kafka triggers of a live worker, registered by /kafka/register and by the boss's
 * /kafka-init, with a server that speaks Kafka's protocol on this machine.
 */
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { startBroker, whyNoBroker, type Broker } from '../support/kafka-broker';
import { argyleTest, describeContract, liveWorker } from '../support/live-worker';
import { sleep, until } from '../support/until';

jest.setTimeout(90_000);

/** Remembers the messages that it was called for, and tells them when it is asked with GET. */
const RECORDER = `import json

SEEN = []
STATE = {"seek": None, "fail": False}


def wsgi(environ, start_response):
    headers = [("Content-Type", "application/json")]
    status = "200 OK"
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    if environ["REQUEST_METHOD"] == "GET":
        body = json.dumps(SEEN)
    elif environ["REQUEST_METHOD"] == "PUT":
        STATE.update(json.loads(body))
    else:
        kafka = {k[13:]: v for k, v in environ.items() if k.startswith("HTTP_X_KAFKA_")}
        SEEN.append({"body": body, "path": environ["SCRIPT_NAME"] + environ["PATH_INFO"], **kafka})
        if STATE["fail"]:
            status = "500 Internal Server Error"
        elif STATE["seek"] is not None:
            headers.append(("X-Kafka-Seek-Offset", STATE["seek"]))
            STATE["seek"] = None
    start_response(status, headers)
    return [body.encode()]
`;

interface Seen {
  body: string;
  path: string;
  TOPIC: string;
  PARTITION: string;
  OFFSET: string;
  GROUP_ID: string;
}

const noBroker = whyNoBroker();
const mustWork = process.env['ARGYLE_MUST_WORK'] === '1';
const withBroker =
  noBroker === undefined || mustWork
    ? describeContract
    : (name: string, body: () => void) => {
        describe.skip(`${name} (${noBroker})`, body);
      };

withBroker('contract: Kafka', () => {
  // What a function has seen is in one instance only.
  const worker = liveWorker({ config: { argyle: { max_instances: 1 }, kafka: { poll_timeout_sec: 1 } } });
  let broker: Broker;
  let producer: Producer;

  beforeAll(async () => {
    broker = await startBroker();
    const createPartitioner =
      () =>
      ({ message }: { message: { partition?: number } }) =>
        message.partition ?? 0;
    producer = new Kafka({ brokers: [broker.address], logLevel: logLevel.NOTHING }).producer({ createPartitioner });
    await producer.connect();
  });
  afterAll(async () => {
    await producer.disconnect();
    await broker.close();
  });

  const send = (topic: string, ...values: string[]) =>
    producer.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) });
  const yamlOf = (topic: string, more = '') => `environment:
  OL_WSGI_ENTRY: wsgi
triggers:
  kafka:
    - bootstrap_servers: ["${broker.address}"]
      topics: ["${topic}"]
      auto_offset_reset: earliest
${more}`;
  /** Deploys a recorder whose ol.yaml has a trigger for a topic of the function's own name. */
  async function deployAs(name: string, yaml: string): Promise<string> {
    const deployed = await worker.deploy(name, { 'f.py': RECORDER, 'ol.yaml': yaml });
    // An instance to begin with, so that the first message makes no second one.
    await tell(deployed, {});
    return deployed;
  }
  const deploy = (name: string, more = '') => deployAs(name, yamlOf(worker.name(name), more));
  const post = (path: string, body?: unknown) =>
    worker.call(path, { method: 'POST', ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const unregister = (name: string) => worker.call(`/kafka/register/${name}`, { method: 'DELETE' });
  const seen = async (name: string) => JSON.parse((await worker.call(`/run/${name}`)).body) as Seen[];
  const bodies = async (name: string) => (await seen(name)).map(({ body }) => body);
  const tell = (name: string, state: object) =>
    worker.call(`/run/${name}`, { method: 'PUT', body: JSON.stringify(state) });
  /**
   * Waits until what the function has seen is as wanted. It is asked only after calls of functions were counted: asking
   * it while it handles a message would start another instance, which has seen nothing.
   */
  async function sees(what: string, name: string, wanted: (bodies: string[]) => boolean): Promise<void> {
    let counted = -1;
    await until(
      what,
      async () => {
        const count = (await worker.stats())['LambdaFunc.Invoke.cnt'] ?? 0;
        if (count === counted) return sleep(50).then(() => false);
        await sleep(100);
        const holds = wanted(await bodies(name));
        // With the question itself; whatever else has come meanwhile makes it be asked again.
        counted = count + 1;
        return holds;
      },
      40_000,
    );
  }
  const comes = (name: string, ...values: string[]) =>
    sees(`${values.join()} arrived`, name, (found) => found.join() === values.join());

  test('1 POST /kafka/register/<name> is `Kafka consumers registered for N trigger(s)`, and messages arrive', async () => {
    const name = await deploy('register');
    await send(name, '{"n":1}', '{"n":2}');
    const reply = await post(`/kafka/register/${name}`);
    expect(reply.status).toBe(200);
    expect(reply.headers['content-type']).toBe('application/json');
    const message = 'Kafka consumers registered for 1 trigger(s)';
    expect(JSON.parse(reply.body)).toEqual({ status: 'success', lambda: name, message });
    await comes(name, '{"n":1}', '{"n":2}');
  });

  test('4 Kafka calls POST /run/<name>/ with topic, partition, offset and the group lambda-<name>', async () => {
    const name = await deploy('headers');
    await send(name, '{}');
    await post(`/kafka/register/${name}`);
    await comes(name, '{}');
    expect(await seen(name)).toEqual([
      { body: '{}', path: `/run/${name}/`, TOPIC: name, PARTITION: '0', OFFSET: '0', GROUP_ID: `lambda-${name}` },
    ]);
  });

  test('1 an upload registers no consumers by itself: /kafka/register or the boss does', async () => {
    const name = await deploy('upload-only');
    await send(name, 'early');
    await sleep(2000);
    expect(await bodies(name)).toEqual([]);
    await post(`/kafka/register/${name}`);
    await comes(name, 'early');
  });

  test('1 DELETE /kafka/register/<name> ends the consumers, and the group goes on where it was', async () => {
    const name = await deploy('delete');
    await send(name, 'a');
    await post(`/kafka/register/${name}`);
    await comes(name, 'a');
    expect(await unregister(name)).toMatchObject({ status: 200 });
    await send(name, 'b');
    await sleep(1500);
    expect(await bodies(name)).toEqual(['a']);
    await post(`/kafka/register/${name}`);
    await comes(name, 'a', 'b');
  });

  argyleTest.each([
    ['a list with the names of ol.yaml', (t: object) => [t]],
    [
      "Go's names",
      ({ bootstrap_servers, topics, auto_offset_reset }: Record<string, unknown>) => [
        { BootstrapServers: bootstrap_servers, Topics: topics, AutoOffsetReset: auto_offset_reset },
      ],
    ],
  ])(
    "1 the boss's POST /kafka-init/<name> with %s is 200, and messages arrive until /kafka-stop",
    async (what, shape) => {
      const name = await deployAs(`init-${what.replaceAll(/[^a-z]/gi, '')}`, 'environment:\n  OL_WSGI_ENTRY: wsgi\n');
      const trigger = { bootstrap_servers: [broker.address], topics: [name], auto_offset_reset: 'earliest' };
      await send(name, 'first');
      expect(await post(`/kafka-init/${name}`, shape(trigger))).toMatchObject({ status: 200 });
      await comes(name, 'first');
      expect(await post(`/kafka-stop/${name}`)).toMatchObject({ status: 200 });
      await send(name, 'second');
      await sleep(1500);
      expect(await bodies(name)).toEqual(['first']);
    },
  );

  test('4 auto_offset_reset other than earliest begins with new messages', async () => {
    const name = await deployAs('latest', yamlOf(worker.name('latest')).replace('earliest', 'none'));
    await send(name, 'old');
    await post(`/kafka/register/${name}`);
    await until('a new message arrives', async () => {
      await send(name, 'new');
      await sleep(300);
      return (await bodies(name)).length > 0;
    });
    expect(new Set(await bodies(name))).toEqual(new Set(['new']));
  });

  test('4 the response header X-Kafka-Seek-Offset rewinds', async () => {
    const name = await deploy('seek');
    await tell(name, { seek: '0' });
    await send(name, 'a', 'b');
    await post(`/kafka/register/${name}`);
    await comes(name, 'a', 'a', 'b');
    await tell(name, { seek: '1' });
    await send(name, 'c');
    await comes(name, 'a', 'a', 'b', 'c', 'b', 'c');
  });

  test('4 method restrictions apply to Kafka calls', async () => {
    const name = await deploy('restricted', '  http:\n    - method: GET\n');
    await send(name, 'a');
    expect(await post(`/kafka/register/${name}`)).toMatchObject({ status: 200 });
    await sleep(1500);
    expect(await bodies(name)).toEqual([]);
    expect(await unregister(name)).toMatchObject({ status: 200 });
  });

  argyleTest('9 a failed message is not committed: it comes again, and before later ones', async () => {
    const name = await deploy('failing');
    await tell(name, { fail: true });
    await send(name, 'bad', 'good');
    await post(`/kafka/register/${name}`);
    await sees('it was tried again', name, (found) => found.length > 1);
    expect(new Set(await bodies(name))).toEqual(new Set(['bad']));
    await tell(name, { fail: false });
    await sees('the next one arrives', name, (found) => found.at(-1) === 'good');
    expect((await bodies(name)).filter((body) => body === 'good')).toHaveLength(1);
  });

  argyleTest('9 names are exact: stopping `a` leaves `a-b` alone', async () => {
    const [one, other] = [await deploy('a'), await deploy('a-b')];
    await post(`/kafka/register/${one}`);
    await post(`/kafka/register/${other}`);
    await unregister(one);
    await send(other, 'x');
    await comes(other, 'x');
  });

  test('1 with the broker away, registering is 200 all the same, and it is tried again', async () => {
    const name = await deployAs('nowhere', yamlOf(worker.name('nowhere')).replace(broker.address, '127.0.0.1:1'));
    const start = Date.now();
    const reply = await post(`/kafka/register/${name}`);
    expect([reply.status, JSON.parse(reply.body)]).toEqual([200, expect.objectContaining({ status: 'success' })]);
    expect(Date.now() - start).toBeLessThan(2000);
    expect(await unregister(name)).toMatchObject({ status: 200 });
  });

  argyleTest('1 the state of consumers is told by /debug and /metrics', async () => {
    const [away, there] = [await deploy('away'), await deploy('there')];
    const nowhere = { bootstrap_servers: ['127.0.0.1:1'], topics: ['t'] };
    expect(await post(`/kafka-init/${away}`, nowhere)).toMatchObject({ status: 200 });
    await post(`/kafka/register/${there}`);
    const blockOf = async (name: string) =>
      (await worker.call('/debug')).body.split('--------\n').find((text) => text.startsWith(`KAFKA ${name}\n`)) ?? '';
    await until('it has failed', async () => (await blockOf(away)).includes('\nERROR: '), 20_000);
    expect(await blockOf(away)).toContain('BROKERS: 127.0.0.1:1\nTOPICS: t\nSTATE: waiting\n');
    await until('it runs', async () => (await blockOf(there)).includes('\nSTATE: running\n'), 20_000);
    const metrics = (await worker.call('/metrics')).body;
    expect(metrics).toMatch(/^argyle_kafka_consumers\{state="waiting"\} [1-9]/m);
    expect(metrics).toMatch(/^argyle_kafka_consumers\{state="running"\} [1-9]/m);
    await post(`/kafka-stop/${away}`);
    expect(await blockOf(away)).toBe('');
  });

  argyleTest('1 the boss sends the triggers of a function one by one: all of them hold', async () => {
    const name = await deployAs('several', 'environment:\n  OL_WSGI_ENTRY: wsgi\n');
    const trigger = (topic: string) => ({
      BootstrapServers: [broker.address],
      Topics: [topic],
      AutoOffsetReset: 'earliest',
    });
    await send(`${name}-1`, 'one');
    await send(`${name}-2`, 'two');
    for (const topic of [`${name}-1`, `${name}-2`]) await post(`/kafka-init/${name}`, trigger(topic));
    await sees('both came', name, (found) => [...found].sort().join() === 'one,two');
  });

  argyleTest('1 a trigger without topics is 500 and names the field, what is no JSON 400', async () => {
    const name = await deploy('incomplete');
    const empty = await post(`/kafka-init/${name}`, [{ bootstrap_servers: [broker.address], topics: [] }]);
    expect([empty.status, empty.body.includes('topics is empty')]).toEqual([500, true]);
    expect(await worker.call(`/kafka-init/${name}`, { body: 'not json' })).toMatchObject({ status: 400 });
  });

  argyleTest(
    '9 registering a function that came into the registry by another way, or is deleted, blocks nobody',
    async () => {
      const name = await deploy('gone');
      await post(`/kafka/register/${name}`);
      expect(await worker.call(`/registry/${name}`, { method: 'DELETE' })).toMatchObject({ status: 200 });
      expect(await post(`/kafka/register/${name}`)).toMatchObject({ status: 404 });
      expect(await worker.call('/status')).toMatchObject({ status: 200 });
    },
  );
});
