/** Two tenants of one helper, the victim and the attacker. Both are fresh, or both are forked from the same zygote. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Pool, Role } from '../../../src/helper/protocol';
import { Fixture } from '../../support/helper/fixture';
import { Keeper } from '../../support/helper/keeper';
import { LIMITS, RawHelper } from '../../support/helper/raw';

export type Way = 'fresh' | 'forked';

/** The slot of the zygote that both tenants share. Both asked for its packages. */
export const ZYGOTE = 1000;

export class TenantRig {
  readonly fixture = new Fixture();
  private readonly keeper = new Keeper();
  readonly helper: RawHelper;
  private lastSlot = 0;

  constructor(readonly way: Way) {
    const { fixture, keeper } = this;
    keeper.fixture(fixture);
    const code = readFileSync(join(__dirname, 'tenant.py'), 'utf8');
    const counters = readFileSync(join(__dirname, 'counters.py'), 'utf8');
    fixture.write({
      'worker/code/victim/f.py': code,
      'worker/code/victim/secret.txt': 'code secret',
      'worker/code/attacker/f.py': code,
      'worker/code/counters/f.py': counters,
      'packages/.store/shared==1/files/shared/__init__.py': 'VALUE = "clean"\n',
      'packages/.store/shared==1/files/shared/__pycache__/__init__.cpython-311.pyc': 'compiled',
      'packages/.store/hostile==1/files/hostile/__init__.py': readFileSync(join(__dirname, 'hostile.py'), 'utf8'),
    });
    this.helper = new RawHelper(fixture);
  }

  async begin(flags?: number): Promise<void> {
    await this.helper.greet(flags);
    await this.zygote(ZYGOTE, 'shared');
  }

  /** Starts a zygote that imports one package. @returns the zygote's report */
  async zygote(slot: number, name: string, files: Record<string, string> = {}): Promise<string> {
    this.fixture.write(files);
    return this.helper.zygote(slot, importing(name));
  }

  /** Forks a zygote that imports one package from the zygote in slot `source`. @returns its host pid */
  async nested(slot: number, source: number, name: string, files: Record<string, string> = {}): Promise<number> {
    this.fixture.write(files);
    await this.helper.slot(slot, Pool.LAMBDA, [256 * 2 ** 20, 0, 0, 0, 0]);
    const report = this.helper.exchange(slot, { role: 'zygote', ...importing(name) }, '', '\n');
    const forked = await this.helper.call('FORK', { slot, source, role: Role.ZYGOTE });
    if (!/"ok": ?true/.test(await report)) throw new Error(`zygote of ${name}: ${JSON.stringify(forked)}`);
    return forked.value[0] ?? 0;
  }

  /** Starts a tenant's sandbox and sends its first event once. The answer ends where `end` matches. */
  async start(tenant: string, event: object, env: Record<string, string> = {}, end = END): Promise<Guest> {
    const slot = ++this.lastSlot;
    await this.helper.slot(slot, Pool.LAMBDA, [128 * 2 ** 20, ...LIMITS.slice(1)]);
    const body = JSON.stringify(event);
    const document = { role: 'leaf', name: 'x', entry_file: 'f.py', sys_path: ['/runtime/store/shared==1/files'], env };
    const answer = this.helper.exchange(slot, document, request(body), end, 60_000);
    const fields = { slot, role: Role.LEAF, name: [tenant] };
    const started = await (this.way === 'forked'
      ? this.helper.call('FORK', { ...fields, source: ZYGOTE })
      : this.helper.call('SPAWN', fields));
    if (started.code !== 0) throw new Error(`start of ${tenant}: ${JSON.stringify(started)}`);
    return { slot, pid: started.value[0] ?? 0, raw: await answer };
  }

  /** Sends one event to a function in a new sandbox, which lives on. @returns the answer */
  async run(tenant: string, event: object, env: Record<string, string> = {}): Promise<unknown> {
    return bodyOf((await this.start(tenant, event, env)).raw);
  }

  async end(): Promise<void> {
    await this.helper.close();
    this.fixture.remove();
    await this.keeper.end();
  }
}

export interface Guest {
  slot: number;
  pid: number;
  /** All bytes until the function closed the connection. */
  raw: string;
}

function importing(name: string): { sys_path: string[]; imports: object[] } {
  return { sys_path: [`/runtime/store/${name}==1/files`], imports: [{ spec: `${name}==1`, modules: [name] }] };
}

/** The function closes the connection after its answer. */
const END = /\r\n\r\n$^/;

function request(body: string): string {
  return `POST /run/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`;
}

export function bodyOf(raw: string): unknown {
  const text = raw.slice(raw.indexOf('\r\n\r\n') + 4);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new Error(`no answer but: ${raw}`);
  }
}
