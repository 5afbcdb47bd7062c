import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { create } from 'tar';
import { Client } from 'undici';
import { SkipSubject } from '../subject';
import { Timer } from '../timer';
import { readFresh, ZygotesAnswer, zygoteOf } from './tiers';
import type { Tiers } from './tiers';

const execute = promisify(execFile);
const COMMAND_MS = 90_000;
/** Time limit of the wait for a spare before a measurement, and poll interval, ms. */
const SPARE_MS = 1000;
const SPARE_LOOK_MS = 5;
/** Time limit of the worker's warm-up, ms. After its start, a worker calls itself for several seconds. */
const WARMUP_MS = 120_000;
const WARMUP_POLL_MS = 100;

export type Json = Record<string, unknown>;

/** A free port. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Merges settings into others, recursively for objects. */
export function overlay(below: Json, above: Json): Json {
  const merged = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = merged[key];
    const both = typeof old === 'object' && typeof value === 'object' && old !== null && value !== null;
    merged[key] = both && !Array.isArray(value) ? overlay(old as Json, value as Json) : value;
  }
  return merged;
}

/** A worker for the bench, with its own directory and port. Several subjects may share it: start() counts the users. */
export class LiveWorker {
  private users = 0;
  private starting: Promise<void> | undefined;
  private folder: string | undefined;
  private client: Client | undefined;
  /** Sends calls from a separate process, so that the bench's own runtime is not measured. */
  private timer: Timer | undefined;
  private port = 0;
  private seen: Tiers | undefined;

  /**
   * @param root the built project's directory
   * @param settings merged into the config.json of `ol worker init`
   */
  constructor(
    private readonly root: string,
    private readonly settings: Json,
  ) {}

  /** @throws SkipSubject when the worker cannot be started on this machine */
  async start(): Promise<void> {
    this.users += 1;
    this.starting ??= this.startOnce();
    await this.starting;
  }

  /** URL of the worker. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Stops the worker when its last user calls this. */
  async stop(): Promise<void> {
    this.users -= 1;
    if (this.users > 0 || this.folder === undefined) return;
    try {
      await this.down();
    } finally {
      await rm(this.folder, { recursive: true, force: true });
    }
  }

  /** Stops the worker for all users and keeps its directory, so that its files can be read. */
  async down(): Promise<void> {
    this.timer?.stop();
    const { client } = this;
    this.client = this.timer = undefined;
    await client?.close();
    if (client !== undefined) await this.ol('worker', 'down', '-p', this.home);
  }

  /**
   * Uploads a function to the worker's registry.
   * @param when value of `?install=`; undefined for the worker's default
   */
  async install(name: string, files: Record<string, string>, when?: 'wait' | 'lazy'): Promise<void> {
    const folder = await mkdtemp(join(this.folder ?? '', 'function-'));
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
    const archive = join(folder, '..', `${name}.tar.gz`);
    await create({ gzip: true, file: archive, cwd: folder }, Object.keys(files));
    const answer = await this.connected().request({
      method: 'POST',
      path: `/registry/${name}${when === undefined ? '' : `?install=${when}`}`,
      body: await readFile(archive),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 201) throw new Error(`POST /registry/${name}: ${answer.statusCode} ${text}`);
  }

  /**
   * Reads the counters of sandbox starts. POLICY: read them seldom and only in part. A reading costs the worker more
   * than a cold start, and its garbage collection and code compilation delay the next call.
   *
   * @param withFresh whether to count fresh sandboxes, too, from all metrics
   */
  async look(withFresh = false): Promise<Tiers> {
    const { zygotes } = ZygotesAnswer.parse(JSON.parse(await this.get('/zygotes')));
    this.seen = { zygotes, fresh: withFresh ? readFresh(await this.get('/metrics')) : undefined };
    return this.seen;
  }

  /** The result of the last look(), if there was no call since. */
  get lastLook(): Tiers | undefined {
    return this.seen;
  }

  /** Waits until the zygote with these packages has a parked spare, at most SPARE_MS. */
  async awaitSpare(pins: readonly string[]): Promise<void> {
    const endMs = Date.now() + SPARE_MS;
    let tiers = this.seen ?? (await this.look());
    while ((zygoteOf(tiers, pins)?.spares ?? 0) === 0 && Date.now() < endMs) {
      await sleep(SPARE_LOOK_MS);
      tiers = await this.look();
    }
  }

  /** Invokes a function with a JSON body. elapsedMs is the time to the first byte of the answer. */
  async call(name: string, body: string): Promise<{ elapsedMs: number; text: string }> {
    if (this.timer === undefined) throw new Error('the worker is not started');
    this.seen = undefined;
    const { ms, output } = await this.timer.post(this.port, `/run/${name}`, body);
    return { elapsedMs: ms, text: output };
  }

  /** The text of GET /metrics. */
  metrics(): Promise<string> {
    return this.get('/metrics');
  }

  /** The worker's directory. Its last path component names the worker's cgroup, so it must be unique. */
  get home(): string {
    return join(this.folder ?? '', basename(this.folder ?? ''));
  }

  private async get(path: string): Promise<string> {
    const answer = await this.connected().request({ method: 'GET', path });
    const text = await answer.body.text();
    if (answer.statusCode !== 200) throw new Error(`GET ${path}: ${answer.statusCode} ${text}`);
    return text;
  }

  private connected(): Client {
    if (this.client === undefined) throw new Error('the worker is not started');
    return this.client;
  }

  private async startOnce(): Promise<void> {
    if (process.getuid?.() !== 0) throw new SkipSubject('needs root, or an installed setuid helper');
    const out = join(this.root, 'out');
    await mkdir(out, { recursive: true });
    this.folder = await mkdtemp(join(out, 'bench-worker-'));
    // The sandboxes' user must be able to traverse this directory.
    await execute('chmod', ['0755', this.folder]);
    const { home } = this;
    const port = await freePort();
    await this.ol('worker', 'init', '-p', home);
    const configFile = join(home, 'config.json');
    const config = JSON.parse(await readFile(configFile, 'utf8')) as Json;
    const settings = { ...this.settings, worker_port: String(port) };
    await writeFile(configFile, JSON.stringify(overlay(config, settings), null, 2));
    await this.ol('worker', 'up', '-d', '-p', home);
    await this.warmedUp();
    this.client = new Client(`http://127.0.0.1:${port}`);
    this.port = port;
    this.timer = await Timer.start(this.root);
  }

  /** Waits until the worker's warm-up has ended. @throws SkipSubject after WARMUP_MS */
  private async warmedUp(): Promise<void> {
    const endMs = Date.now() + WARMUP_MS;
    while (Date.now() < endMs) {
      if ((await readFile(join(this.home, 'worker.out'), 'utf8')).includes('"msg":"warm-up done"')) return;
      await sleep(WARMUP_POLL_MS);
    }
    throw new SkipSubject(`the warm-up still runs after ${WARMUP_MS / 1000} s`);
  }

  private async ol(...args: string[]): Promise<void> {
    await execute(join(this.root, 'bin/ol'), args, { timeout: COMMAND_MS, cwd: this.folder });
  }
}
