/**
 * Test support, not product code: sandboxes that are plain child processes, for tests of the layers above. They die,
 * hang and freeze like real sandboxes, but are not isolated.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from 'node:net';
import type { Dispatcher } from 'undici';
import { ArgyleError } from '../../src/errors';
import type { AnswerHandler } from '../../src/sandbox/answer/guard';
import { GuestHttp } from '../../src/sandbox/guest-http';
import { Life } from '../../src/sandbox/life';
import type {
  LeafSpec,
  Sandbox,
  SandboxLimits,
  SandboxProvider,
  SandboxUsage,
  StartKind,
} from '../../src/sandbox/types';

const GUEST = path.join(__dirname, 'mini_guest.py');

export class LocalSandbox implements Sandbox {
  readonly parentPid = undefined;
  readonly start: StartKind = 'fresh';
  readonly life = new Life();
  frozen = false;
  pauses = 0;
  /** Simulated wait for memory in resume(), ms. */
  resumeMs = 0;
  private client: GuestHttp | undefined;
  private readonly ended: Promise<void>;

  constructor(
    readonly id: string,
    readonly child: ChildProcess,
    readonly spec: LeafSpec,
    private readonly socket: string,
    private readonly onGone: (sandbox: LocalSandbox) => void,
  ) {
    this.ended = new Promise((resolve) => {
      child.once('exit', () => {
        resolve();
      });
    });
    void this.ended.then(() => {
      const exit = { oomKills: 0, status: child.exitCode ?? undefined };
      if (this.life.finish('itself', 'process ended', exit)) onGone(this);
    });
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get limits(): SandboxLimits {
    return this.spec.limits;
  }

  dispatch(options: Dispatcher.DispatchOptions, handler: AnswerHandler): void {
    this.client ??= this.connect();
    this.client.dispatch(options, handler);
  }

  pause(): Promise<void> {
    if (!this.life.isAlive) return Promise.reject(this.death());
    this.pauses++;
    this.frozen = true;
    this.child.kill('SIGSTOP');
    if (this.life.phase === 'running') this.life.move('pausing');
    this.life.move('paused');
    return Promise.resolve();
  }

  async resume(): Promise<void> {
    if (this.frozen) await sleep(this.resumeMs);
    if (!this.life.isAlive) throw this.death();
    if (!this.frozen) return;
    this.frozen = false;
    this.child.kill('SIGCONT');
    for (const phase of ['waking', 'thawing', 'running'] as const) this.life.move(phase);
  }

  usage(): Promise<SandboxUsage> {
    const none = { memBytes: 0, pids: 1, oomKills: 0, cpuUsec: 0, threads: 1 };
    return Promise.resolve({ ...none, frozen: this.frozen, pid: this.pid });
  }

  async destroy(reason: string): Promise<void> {
    if (this.life.finish('owner', reason)) this.onGone(this);
    this.child.kill('SIGKILL');
    await this.ended;
    this.client?.destroy(this.death());
  }

  private death(): ArgyleError {
    return new ArgyleError('SANDBOX_DEAD', this.life.end?.why ?? 'unknown');
  }

  private connect(): GuestHttp {
    const http = new GuestHttp(() => connect(this.socket));
    http.boot(Buffer.alloc(0), {
      onFault: (error) => {
        void this.destroy(error.message);
      },
    });
    return http;
  }

  debugString(): Promise<string> {
    const { end } = this.life;
    const text = end === undefined ? `SOCK ${this.id}\n` : `SANDBOX ${this.id} is DEAD: ${end.why}\n`;
    return Promise.resolve(text);
  }
}

export class LocalProvider implements SandboxProvider {
  readonly live = new Set<LocalSandbox>();
  created = 0;
  /** Error of create(); undefined lets create() succeed. */
  failure: Error | undefined;
  private dir: string | undefined;

  /** @param codeDir the equivalent of <worker_dir>/code */
  constructor(private readonly codeDir: string) {}

  async create(spec: LeafSpec): Promise<Sandbox> {
    if (this.failure !== undefined) throw this.failure;
    this.dir ??= mkdtempSync(path.join(tmpdir(), 'local-')); // synchronous, since two sandboxes may be created at the same time
    const id = String(++this.created);
    const socket = path.join(this.dir, `${id}.sock`);
    const args = [GUEST, socket, path.join(this.codeDir, spec.codeName), spec.boot.entry_file];
    const child = spawn('/usr/bin/python3', ['-I', '-S', ...args], { env: spec.boot.env, stdio: 'ignore' });
    const sandbox = new LocalSandbox(id, child, spec, socket, (gone) => this.live.delete(gone));
    this.live.add(sandbox);
    while (!existsSync(socket) && child.exitCode === null && child.signalCode === null) await sleep(2);
    return sandbox;
  }

  async close(): Promise<void> {
    await Promise.all([...this.live].map((sandbox) => sandbox.destroy('test ended')));
    if (this.dir !== undefined) await rm(this.dir, { recursive: true, force: true });
  }
}
