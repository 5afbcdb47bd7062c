/**
 * A helper.conf that is malformed, or that another user than root may write, ends the helper before any other action.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { Stage } from '../../../src/helper/protocol';
import { CALLER, CALLERS_GROUP, Fixture } from '../../support/helper/fixture';
import { RawHelper, type Ending } from '../../support/helper/raw';
import { installSetuid } from '../../support/helper/setuid';
import { describePrivileged } from '../../support/privileged';

jest.setTimeout(30_000);

describePrivileged('helper.conf', () => {
  const conf = installSetuid.conf;

  const good = (): string => readFileSync(conf, 'utf8');
  async function refused(): Promise<Ending> {
    const setuid = installSetuid(fixture);
    const wrapper = ['setpriv', `--reuid=${CALLER}`, `--regid=${CALLERS_GROUP}`, '--clear-groups'];
    const helper = new RawHelper(fixture, { ...setuid, wrapper });
    const timer = setTimeout(() => helper.child.kill('SIGKILL'), 5000);
    const ending = await helper.ended;
    clearTimeout(timer);
    await helper.close();
    return ending;
  }

  let fixture: Fixture;
  beforeEach(() => {
    chmodSafely(dirname(conf));
    fixture = new Fixture({ owner: CALLER, confPath: conf });
  });
  afterEach(() => {
    expect(fixture.cgroups()).toEqual([]);
    fixture.remove();
  });

  it.each<[string, () => void]>([
    ['missing', () => rmSync(conf)],
    ['writable for a group', () => chmodSync(conf, 0o664)],
    ['writable for all', () => chmodSync(conf, 0o646)],
    ["not root's", () => chownSync(conf, CALLER, 0)],
    ['a symbolic link', () => void execFileSync('sh', ['-c', 'mv $0 $0.real && ln -s $0.real $0', conf])],
    ['a directory', () => void execFileSync('sh', ['-c', 'rm $0 && mkdir $0', conf])],
    ['a pipe', () => void execFileSync('sh', ['-c', 'rm $0 && mkfifo $0', conf])],
    ['in a directory that others write', () => chmodSync(dirname(conf), 0o777)],
    ["in a directory that is not root's", () => chownSync(dirname(conf), CALLER, 0)],
    ['too long', () => writeFileSync(conf, '#'.repeat(70_000))],
    ['with a NUL', () => writeFileSync(conf, `${good()}\0`)],
    ['empty', () => writeFileSync(conf, '')],
    ['with an unknown key', () => writeFileSync(conf, `${good()}shell /bin/sh\n`)],
    ['with a relative root', () => writeFileSync(conf, `${good()}root tmp\n`)],
    ['with .. in a root', () => writeFileSync(conf, `${good()}root /tmp/../etc\n`)],
    ['without ids of sandboxes', () => writeFileSync(conf, good().replace(/sandbox_uids.*/, ''))],
    ['with root among the ids', () => writeFileSync(conf, `${good()}sandbox_uids 0 8192\n`)],
    ['with an id out of range', () => writeFileSync(conf, `${good()}sandbox_uids 4294967295 8192\n`)],
    ['with ids that end out of range', () => writeFileSync(conf, `${good()}sandbox_uids 4294960000 8192\n`)],
    ['with a negative id', () => writeFileSync(conf, `${good()}sandbox_uids -1 8192\n`)],
    ['with too few ids', () => writeFileSync(conf, `${good()}sandbox_uids 2000000000 8191\n`)],
    ['with ids and no number of them', () => writeFileSync(conf, `${good()}sandbox_uids 2000000000\n`)],
    ['with the one id of all sandboxes that was there before', () => writeFileSync(conf, `${good()}sandbox_uid 990\n`)],
    ['with too many roots', () => writeFileSync(conf, good() + 'root /a\n'.repeat(20))],
  ])('%s', async (_name, spoil) => {
    spoil();
    const ending = await refused();
    chmodSafely(dirname(conf));
    rmSync(conf, { recursive: true, force: true });
    rmSync(`${conf}.real`, { force: true });
    expect(ending).toMatchObject({ code: Stage.CONFIG, signal: null });
  });
});

/** Restores a directory that only root may write, whatever a case did to it. */
function chmodSafely(dir: string): void {
  mkdirSync(dir, { recursive: true });
  chmodSync(dir, 0o755);
  chownSync(dir, 0, 0);
}
