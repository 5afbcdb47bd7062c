/**
 * Contract, sections 1 and 4: Kafka triggers of a live worker. /kafka/register and the boss's /kafka-init register the
 * triggers, and a local server speaks Kafka's protocol.
 */
import { Kafka, logLevel, type Producer } from 'kafkajs';
import { startBroker, whyNoBroker, type Broker } from '../support/kafka-broker';
import { argyleTest, describeContract, liveWorker } from '../support/contract-target';
import { sleep, until } from '../support/until';

jest.setTimeout(90_000);

/** A function that stores the messages of its calls. GET returns these messages. */
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
    answer = body.encode()
    start_response(status, headers + [("Content-Length", str(len(answer)))])
    return [answer]
`;

/** A function that records every request, and redirects as a message says. GET / returns the recorded requests. */
const REDIRECTOR = `import json

SEEN = []
MOVES = {"see": ("302 Found", "/landed"), "keep": ("307 Temporary Redirect", "/landed"), "loop": ("302 Found", "/again")}


def wsgi(environ, start_response):
    method, path = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
    if (method, path) == ("GET", "/"):
        answer = json.dumps(SEEN).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]
    if method == "PUT":
        start_response("200 OK", [("Content-Length", "0")])
        return []
    SEEN.append({"body": " ".join([method, path, body]).strip()})
    status, to = MOVES.get("loop" if path == "/again" else body if path == "/" else "", ("200 OK", ""))
    headers = [("Location", environ["SCRIPT_NAME"] + to), ("Set-Cookie", "a=b")] if to else []
    start_response(status, headers + [("Content-Length", "0")])
    return []
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
  // One instance only: each instance records its own calls.
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
  /** Deploys a recorder. Its ol.yaml has a trigger for a topic with the function's own name. */
  async function deployAs(name: string, yaml: string, source = RECORDER): Promise<string> {
    const deployed = await worker.deploy(name, { 'f.py': source, 'ol.yaml': yaml });
    // Makes an instance first, so that the first message does not start a second one.
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
   * Waits until the function has recorded the expected calls. The function is asked only after its calls were counted.
   * A request during a message would start another instance, which has recorded nothing.
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
        // The request itself is also counted. If other calls were counted meanwhile, the request is repeated.
        counted = count + 1;
        return holds;
      },
      40_000,
    );
  }
  const comes = (name: string, ...values: string[]) =>
    sees(`${values.join()} arrived`, name, (found) => found.join() === values.join());

  test('1 POST /kafka/register/<name> answers `Kafka consumers registered for N trigger(s)`', async () => {
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

  test('1 an upload registers no consumers; /kafka/register or the boss registers them', async () => {
    const name = await deploy('upload-only');
    await send(name, 'early');
    await sleep(2000);
    expect(await bodies(name)).toEqual([]);
    await post(`/kafka/register/${name}`);
    await comes(name, 'early');
  });

  test('1 DELETE /kafka/register/<name> ends the consumers; the group later resumes at its offset', async () => {
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
  ])("1 the boss's POST /kafka-init/<name> with %s is 200; messages arrive until /kafka-stop", async (what, shape) => {
    const name = await deployAs(`init-${what.replaceAll(/[^a-z]/gi, '')}`, 'environment:\n  OL_WSGI_ENTRY: wsgi\n');
    const trigger = { bootstrap_servers: [broker.address], topics: [name], auto_offset_reset: 'earliest' };
    await send(name, 'first');
    expect(await post(`/kafka-init/${name}`, shape(trigger))).toMatchObject({ status: 200 });
    await comes(name, 'first');
    expect(await post(`/kafka-stop/${name}`)).toMatchObject({ status: 200 });
    await send(name, 'second');
    await sleep(1500);
    expect(await bodies(name)).toEqual(['first']);
  });

  test('4 any auto_offset_reset other than earliest begins with new messages', async () => {
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

  test('4 the response header X-Kafka-Seek-Offset rewinds the partition', async () => {
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

  test('4 a Kafka call follows redirects to the function itself', async () => {
    const name = await deployAs('moved', yamlOf(worker.name('moved')), REDIRECTOR);
    await send(name, 'see', 'next');
    await post(`/kafka/register/${name}`);
    await comes(name, 'POST / see', 'GET /landed', 'POST / next');
  });

  argyleTest('4 a 307 of a Kafka call keeps the message; endless redirects fail the call', async () => {
    const name = await deployAs('circle', yamlOf(worker.name('circle')), REDIRECTOR);
    await send(name, 'keep', 'loop', 'next');
    await post(`/kafka/register/${name}`);
    await sees('it was tried again', name, (found) => found.filter((one) => one === 'POST / loop').length > 1);
    await unregister(name);
    const found = await bodies(name);
    expect(found.slice(0, 3)).toEqual(['POST / keep', 'POST /landed keep', 'POST / loop']);
    // The first request, and the ten requests of its redirects.
    expect(found.slice(3, 14)).toEqual([...Array<string>(10).fill('GET /again'), 'POST / loop']);
    expect(found).not.toContain('POST / next');
  });

  test('8 kafka-message-processing counts the messages', async () => {
    const name = await deploy('counted');
    const before = (await worker.stats())['kafka-message-processing.cnt'] ?? 0;
    await send(name, 'a');
    await post(`/kafka/register/${name}`);
    await comes(name, 'a');
    await until(
      'it is counted',
      async () => ((await worker.stats())['kafka-message-processing.cnt'] ?? 0) === before + 1,
    );
  });

  argyleTest('9 a failed message is not committed; it is delivered again, before later messages', async () => {
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

  argyleTest('9 names are exact: stopping `a` leaves `a-b` running', async () => {
    const [one, other] = [await deploy('a'), await deploy('a-b')];
    await post(`/kafka/register/${one}`);
    await post(`/kafka/register/${other}`);
    await unregister(one);
    await send(other, 'x');
    await comes(other, 'x');
  });

  test('1 registering without a reachable broker is 200, and the worker retries', async () => {
    const name = await deployAs('nowhere', yamlOf(worker.name('nowhere')).replace(broker.address, '127.0.0.1:1'));
    const start = Date.now();
    const reply = await post(`/kafka/register/${name}`);
    expect([reply.status, JSON.parse(reply.body)]).toEqual([200, expect.objectContaining({ status: 'success' })]);
    expect(Date.now() - start).toBeLessThan(2000);
    expect(await unregister(name)).toMatchObject({ status: 200 });
  });

  argyleTest('1 /debug and /metrics report the state of consumers', async () => {
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

  argyleTest('1 all triggers that the boss sends one by one are registered', async () => {
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

  argyleTest('1 a trigger without topics is 500 and names the field; invalid JSON is 400', async () => {
    const name = await deploy('incomplete');
    const empty = await post(`/kafka-init/${name}`, [{ bootstrap_servers: [broker.address], topics: [] }]);
    expect([empty.status, empty.body.includes('topics is empty')]).toEqual([500, true]);
    expect(await worker.call(`/kafka-init/${name}`, { body: 'not json' })).toMatchObject({ status: 400 });
  });

  argyleTest('9 registering an out-of-band or deleted function does not block other requests', async () => {
    const name = await deploy('gone');
    await post(`/kafka/register/${name}`);
    expect(await worker.call(`/registry/${name}`, { method: 'DELETE' })).toMatchObject({ status: 200 });
    expect(await post(`/kafka/register/${name}`)).toMatchObject({ status: 404 });
    expect(await worker.call('/status')).toMatchObject({ status: 200 });
  });
});
