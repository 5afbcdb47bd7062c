/**
 * Two functions of different owners, one of them malicious. No data passes between them, whether they are fresh or
 * forked from one zygote.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';
import { TenantRig, ZYGOTE, bodyOf, type Way } from './rig';

jest.setTimeout(120_000);

const PYTHON = '/usr/bin/python3';
const SECRET = ['victim-', 'secret-9f3a'] as const;
const NEEDLE = ['attackers-', 'own-77'] as const;

describePrivileged('a malicious function', () => {
  describe.each(['fresh', 'forked'] as Way[])('(%s)', (way) => {
    const rig = new TenantRig(way);
    const secret = SECRET.join('');
    let victim: Awaited<ReturnType<TenantRig['start']>>;

    beforeAll(async () => {
      await rig.begin();
      victim = await rig.start('victim', { do: 'keep_secret', secret }, { TENANT: secret });
      expect(bodyOf(victim.raw)).toBe(secret);
    });
    afterAll(() => rig.end());

    /** Checks that the victim's process still runs and that a new instance of it works. */
    async function victimLives(): Promise<void> {
      expect(rig.helper.events.filter((event) => event.slot === victim.slot || event.slot === ZYGOTE)).toEqual([]);
      expect(await rig.run('victim', { do: 'inspect_modules' })).toEqual(['clean', 'clean', ['a', 'b'], false]);
    }

    it('cannot read files that the other function wrote or received', async () => {
      const event = { do: 'look_for_traces', secret };
      expect(await rig.run('attacker', event)).toEqual([]);
      // The control: within one function, all traces are found.
      const both = `import f as g\ndef f(event):\n    g.keep_secret(event)\n    return g.look_for_traces(event)\n`;
      rig.fixture.write({ 'worker/code/both/f.py': both });
      cpSync(join(__dirname, 'tenant.py'), join(rig.fixture.dir, 'worker/code/both/g.py'));
      rig.fixture.write({ 'worker/code/both/f.py': both.replace('import f as g', 'import g') });
      expect(await rig.run('both', event, { TENANT: secret })).toEqual([
        '/tmp/secret',
        '/dev/shm/secret',
        'SysV memory',
        'TENANT',
      ]);
    });

    it('has no data of the other function in its memory', async () => {
      const found = await rig.run(
        'attacker',
        { do: 'scan_memory', needles: [SECRET, NEEDLE] },
        { OWN: NEEDLE.join('') },
      );
      expect(found).toEqual([1]);
    });

    it('changes modules only for itself', async () => {
      expect(await rig.run('attacker', { do: 'poison_memory' })).toBe('poisoned');
      await victimLives();
    });

    it('cannot change compiled files', async () => {
      const [ours, usr] = ['/runtime/store/shared==1/files/shared', '/usr/lib/python3.11/json'];
      const told = (await rig.run('attacker', { do: 'poison_files', places: [ours, usr] })) as Record<string, string[]>;
      for (const errors of [told[ours], told[usr]]) expect(errors).not.toContain(null);
      expect(told[usr]).not.toContain(null);
      const place = mkdtempSync(join(rig.fixture.dir, 'outside-'));
      cpSync(join(rig.fixture.dir, 'packages/.store/shared==1/files/shared'), place, { recursive: true });
      const event = JSON.stringify({ do: 'poison_files', places: [place] });
      const out = execFileSync(PYTHON, [join(__dirname, 'tenant.py'), event], { encoding: 'utf8' });
      expect((JSON.parse(out) as Record<string, string[]>)[place]?.slice(0, 3)).toEqual([null, null, null]);
      rmSync(place, { recursive: true });
    });

    it('cannot kill another process', async () => {
      expect(await rig.run('attacker', { do: 'kill_everybody' })).toEqual([]);
      await victimLives();
    });

    it('leaves no daemon behind', async () => {
      const attacker = await rig.start('attacker', { do: 'leave_daemon' }, {}, /\r\n\r\n\d+$/);
      expect(bodyOf(attacker.raw)).toBeGreaterThan(1);
      const processes = async () => (await rig.helper.call('USAGE', { slot: attacker.slot })).value[1] ?? 0;
      // A v1 controller counts a forked guest some milliseconds after its start, and a dead one some milliseconds after
      // its end.
      await until('all are counted', async () => (await processes()) > 1);
      expect((await rig.helper.call('KILL', { slot: attacker.slot })).code).toBe(0);
      await until('all are dead', async () => (await processes()) === 0);
      expect((await rig.helper.call('DESTROY', { slot: attacker.slot })).code).toBe(0);
      await victimLives();
    });

    it('has only its own descriptors', async () => {
      const attacker = await rig.start('attacker', { do: 'list_descriptors' });
      const sockets = `${attacker.slot}.sock`;
      expect(bodyOf(attacker.raw)).toEqual([
        '0 c',
        '1 p',
        '2 p',
        '3 s SOCK_SEQPACKET',
        `4 s SOCK_STREAM ${sockets}`,
        `5 s SOCK_STREAM ${sockets}`,
      ]);
    });

    it('can forge only its own answers', async () => {
      const attacker = await rig.start('attacker', { do: 'forge_answer' });
      expect(attacker.raw).toMatch(/^HTTP\/1.1 200 OK\r\ncontent-length: 8\r\n\r\n"forged"HTTP[^]*"genuine"$/);
      await victimLives();
    });
  });

  it('leaves a daemon behind without a sandbox, as a control', async () => {
    const event = JSON.stringify({ do: 'leave_daemon' });
    const child = spawn(PYTHON, [join(__dirname, 'tenant.py'), event], { stdio: ['ignore', 'pipe', 'ignore'] });
    let isClosed = false;
    let text = '';
    child.stdout.on('close', () => (isClosed = true)).on('data', (more: Buffer) => (text += more.toString()));
    await new Promise((resolve) => child.once('exit', resolve));
    await until('its number is told', () => text.endsWith('\n'));
    // The daemon holds the pipe open.
    expect(isClosed).toBe(false);
    process.kill(Number(text), 'SIGKILL');
    await until('it has ended', () => isClosed);
  });
});
