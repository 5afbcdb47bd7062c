/**
 * A helper on a small network: a host namespace, a peer at the other end of a veth pair, and probes in every kind of
 * guest.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ruleFields, type NetworkRules } from '../../../src/helper/network';
import { Flag, Pool, Role } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { Keeper } from '../../support/helper/keeper';
import { RawHelper } from '../../support/helper/raw';

export type Outcomes = Record<string, string>;
export type Place = Record<string, unknown>;

const PYTHON = '/usr/bin/python3';
/** Time limit in ms. A hanging probe takes 5 s, and probes hang only on an overloaded machine. */
const PATIENCE_MS = 60_000;

/** Two network namespaces, which exist until the process of this object ends. */
export class World {
  place: Place = {};
  private readonly child: ChildProcess = spawn('unshare', ['-n', PYTHON, '-I', join(__dirname, 'world.py')], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });

  async begin(): Promise<void> {
    this.child.stdin?.on('error', () => undefined);
    let text = '';
    this.place = await new Promise((resolve, reject) => {
      this.child.once('exit', (code) => reject(new Error(`world.py ended with ${code}`)));
      this.child.stdout?.on('data', (more: Buffer) => {
        text += more.toString();
        if (text.endsWith('\n')) resolve(JSON.parse(text) as Place);
      });
    });
  }

  /** Runs ip(8) with `words`, on the host or on the peer. @throws Error with the output of ip */
  ip(words: string, where: 'pid' | 'peer_pid' = 'pid'): void {
    execFileSync('nsenter', [`--net=/proc/${Number(this.place[where])}/ns/net`, 'ip', ...words.split(' ')], {
      stdio: 'pipe',
    });
  }

  end(): void {
    this.child.stdin?.end();
  }
}

export class NetworkRig {
  readonly fixture = new Fixture();
  private readonly keeper = new Keeper();
  private readonly helper: RawHelper;
  private lastSlot = 0;

  /** @param probes a Python file beside this one; run(place) returns outcomes by name */
  constructor(
    readonly place: Place,
    probes = 'probe.py',
  ) {
    const { fixture, keeper } = this;
    keeper.fixture(fixture);
    const probe = readFileSync(join(__dirname, probes), 'utf8');
    const task = JSON.stringify(place);
    fixture.write({
      'worker/code/1/f.py': probe,
      'packages/.store/evil==1/files/probe.py': probe,
      'packages/.store/evil==1/files/evil.py': `import json, probe\nprint("RESULT", json.dumps(probe.run(${task})), flush=True)\n`,
      // The installer runs this file as pip. A source package's own code could do the same.
      'packages/.store/setup==1/files/probe.py': probe,
      'packages/.store/setup==1/files/pip/__init__.py': '',
      'packages/.store/setup==1/files/pip/__main__.py': `import json, probe\nprint("RESULT", json.dumps(probe.run(${task})))\n`,
      'packages/staging/files/x': '',
    });
    const wrapper = ['nsenter', `--net=/proc/${Number(place['pid'])}/ns/net`];
    this.helper = new RawHelper(fixture, { wrapper });
  }

  /** @param endpoints reachable endpoints, IPv4 address << 16 | port; @param rules no rules when absent */
  async begin(mode: number, endpoints: readonly number[] = [], rules?: NetworkRules): Promise<void> {
    const { helper } = this;
    const hello = await helper.hello({ flags: Flag.HOST_USR });
    const fields = rules === undefined ? [] : [Pool.LAMBDA, Pool.INSTALL].flatMap((pool) => ruleFields(pool, rules));
    for (const reply of [
      hello,
      ...(await Promise.all(fields.map((one) => helper.call('RULE', one)))),
      await helper.call('NETWORK', { arg: [mode, Pool.LAMBDA, ...endpoints] }),
      await helper.call('NETWORK', { arg: [mode, Pool.INSTALL, ...endpoints] }),
    ])
      if (reply.code !== 0) throw new Error(`helper: ${JSON.stringify(reply)}`);
  }

  async leaf(isForked: boolean): Promise<Outcomes> {
    const slot = ++this.lastSlot;
    const source = isForked ? ++this.lastSlot : 0;
    if (isForked) await this.helper.zygote(source);
    await this.helper.slot(slot);
    const answer = this.helper.invoke(slot, this.place, PATIENCE_MS);
    const fields = { slot, source, role: Role.LEAF, name: ['1'] };
    const started = await this.helper.call(isForked ? 'FORK' : 'SPAWN', fields);
    if (started.code !== 0) throw new Error(`leaf: ${JSON.stringify(started)}`);
    return JSON.parse(await answer) as Outcomes;
  }

  async zygote(): Promise<Outcomes> {
    const slot = ++this.lastSlot;
    const imports = [{ spec: 'evil==1', modules: ['evil'] }];
    await this.helper.zygote(slot, { sys_path: ['/runtime/store/evil==1/files'], imports });
    return parse(this.helper.log(slot));
  }

  async installer(): Promise<Outcomes> {
    const slot = ++this.lastSlot;
    await this.helper.slot(slot, Pool.INSTALL);
    const env = { PYTHONPATH: '/runtime/store/setup==1/files' };
    const boot = { role: 'installer', spec: 'x==1', argv: ['install', 'x'], env, target: '/host/files' };
    const answer = this.helper.exchange(slot, boot, '', '\n', PATIENCE_MS);
    const started = await this.helper.call('SPAWN', { slot, role: Role.INSTALLER, name: ['', 'staging'] });
    if (started.code !== 0) throw new Error(`installer: ${JSON.stringify(started)}`);
    return parse((JSON.parse(await answer) as { output: string }).output);
  }

  async end(): Promise<void> {
    await this.helper.close();
    this.fixture.remove();
    await this.keeper.end();
  }
}

function parse(text: string): Outcomes {
  const line = text.split('\n').find((one) => one.startsWith('RESULT '));
  if (line === undefined) throw new Error(`no result in: ${text}`);
  return JSON.parse(line.slice(7)) as Outcomes;
}
