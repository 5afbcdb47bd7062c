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
/** Longest wait for a spare before a measurement, and between two looks, ms. */
const SPARE_MS = 1000;
const SPARE_LOOK_MS = 5;
/** A worker makes calls to itself for some seconds after its start. */
const REHEARSAL_MS = 60_000;
const REHEARSAL_LOOK_MS = 100;

export type Json = Record<string, unknown>;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Settings laid over others, objects key by key. */
export function overlay(below: Json, above: Json): Json {
  const merged = { ...below };
  for (const [key, value] of Object.entries(above)) {
    const old = merged[key];
    const both = typeof old === 'object' && typeof value === 'object' && old !== null && value !== null;
    merged[key] = both && !Array.isArray(value) ? overlay(old as Json, value as Json) : value;
  }
  return merged;
}

/** A worker of our own for the time of the bench, with its own directory and port. Shared: start() counts. */
export class LiveWorker {
  private users = 0;
  private starting: Promise<void> | undefined;
  private folder: string | undefined;
  private client: Client | undefined;
  /** Calls from a process of its own, so that the bench's runtime is not measured too. */
  private timer: Timer | undefined;
  private port = 0;
  private seen: Tiers | undefined;

  /**
   * @param root the project's directory, built
   * @param settings laid over the config.json that `ol worker init` writes
   */
  constructor(
    private readonly root: string,
    private readonly settings: Json,
  ) {}

  /** @throws SkipSubject when the worker cannot be started here */
  async start(): Promise<void> {
    this.users += 1;
    this.starting ??= this.startOnce();
    await this.starting;
  }

  /** Stops with the last of its users. */
  async stop(): Promise<void> {
    this.users -= 1;
    if (this.users > 0 || this.folder === undefined) return;
    try {
      this.timer?.stop();
      await this.client?.close();
      if (this.client !== undefined) await this.ol('worker', 'down', '-p', this.home);
    } finally {
      await rm(this.folder, { recursive: true, force: true });
    }
  }

  /** Uploads a function to the worker's registry. */
  async install(name: string, files: Record<string, string>): Promise<void> {
    const folder = await mkdtemp(join(this.folder ?? '', 'function-'));
    for (const [file, text] of Object.entries(files)) await writeFile(join(folder, file), text);
    const archive = join(folder, '..', `${name}.tar.gz`);
    await create({ gzip: true, file: archive, cwd: folder }, Object.keys(files));
    const answer = await this.connected().request({
      method: 'POST',
      path: `/registry/${name}`,
      body: await readFile(archive),
    });
    const text = await answer.body.text();
    if (answer.statusCode !== 201) throw new Error(`POST /registry/${name}: ${answer.statusCode} ${text}`);
  }

  /**
   * Asks which ways sandboxes have come into being. POLICY: seldom, and no more than needed: the answers cost the
   * worker more than a cold start does, and what they leave behind (garbage, code to compile) falls on the next one.
   *
   * @param withFresh whether to count fresh sandboxes too, from all metrics
   */
  async look(withFresh = false): Promise<Tiers> {
    const { zygotes } = ZygotesAnswer.parse(JSON.parse(await this.get('/zygotes')));
    this.seen = { zygotes, fresh: withFresh ? readFresh(await this.get('/metrics')) : undefined };
    return this.seen;
  }

  /** What the last look() saw, if no call has been made since. */
  get lastLook(): Tiers | undefined {
    return this.seen;
  }

  /** Waits until the zygote with these packages has a spare parked, at most SPARE_MS. */
  async awaitSpare(pins: readonly string[]): Promise<void> {
    const endMs = Date.now() + SPARE_MS;
    let tiers = this.seen ?? (await this.look());
    while ((zygoteOf(tiers, pins)?.spares ?? 0) === 0 && Date.now() < endMs) {
      await sleep(SPARE_LOOK_MS);
      tiers = await this.look();
    }
  }

  /** Invokes a function with a JSON body; elapsedMs ends with the first byte of the answer. */
  async call(name: string, body: string): Promise<{ elapsedMs: number; text: string }> {
    if (this.timer === undefined) throw new Error('the worker is not started');
    this.seen = undefined;
    const { ms, output } = await this.timer.post(this.port, `/run/${name}`, body);
    return { elapsedMs: ms, text: output };
  }

  /** Its last part names the worker's cgroup, so that no two workers may share it. */
  private get home(): string {
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
    // The sandboxes' own user has to pass through.
    await execute('chmod', ['0755', this.folder]);
    const { home } = this;
    const port = await freePort();
    await this.ol('worker', 'init', '-p', home);
    const configFile = join(home, 'config.json');
    const config = JSON.parse(await readFile(configFile, 'utf8')) as Json;
    const settings = { ...this.settings, worker_port: String(port) };
    await writeFile(configFile, JSON.stringify(overlay(config, settings), null, 2));
    await this.ol('worker', 'up', '-d', '-p', home);
    await this.rehearsed();
    this.client = new Client(`http://127.0.0.1:${port}`);
    this.port = port;
    this.timer = await Timer.start(this.root);
  }

  /** Waits until the worker has nothing to do by itself any more. @throws SkipSubject after REHEARSAL_MS */
  private async rehearsed(): Promise<void> {
    const endMs = Date.now() + REHEARSAL_MS;
    while (Date.now() < endMs) {
      if ((await readFile(join(this.home, 'worker.out'), 'utf8')).includes('"msg":"rehearsed"')) return;
      await sleep(REHEARSAL_LOOK_MS);
    }
    throw new SkipSubject(`the worker still rehearses after ${REHEARSAL_MS / 1000} s`);
  }

  private async ol(...args: string[]): Promise<void> {
    await execute(join(this.root, 'bin/ol'), args, { timeout: COMMAND_MS, cwd: this.folder });
  }
}
