/**
 * Contract, sections 3 and 9: the cgroups of a live worker, below a cgroup that another program made for the worker.
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { deploy } from '../support/deploy';
import { describeContract, localTest } from '../support/contract-target';
import { ask, OlDir } from '../support/ol';
import { freePort } from '../support/ports';

jest.setTimeout(120_000);

const MOUNT = '/sys/fs/cgroup';
const V1 = ['memory', 'pids', 'cpu', 'freezer', 'unified'];
const MB = 2 ** 20;
const SWAP_BYTES = 16_384;

/** The roots of this machine's hierarchies: one with cgroup v2, several on a hybrid host. */
function hierarchies(): string[] {
  if (existsSync(join(MOUNT, 'cgroup.controllers'))) return [MOUNT];
  return V1.map((name) => join(MOUNT, name)).filter((dir) => existsSync(join(dir, 'cgroup.procs')));
}

function below(dir: string): string[] {
  if (!existsSync(dir)) return [];
  const children = readdirSync(dir, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return children.flatMap(({ name }) => [join(dir, name), ...below(join(dir, name))]);
}

describeContract('contract: cgroups', () => {
  const delegated = `argyle-contract-${process.pid}`;
  const roots = hierarchies().map((root) => join(root, delegated));
  let dir: OlDir;
  let url: string;
  const made = () => roots.flatMap(below);

  beforeAll(async () => {
    for (const root of roots) mkdirSync(root);
    dir = new OlDir();
    await dir.ol(['worker', 'init', '-p', 'w']);
    appendFileSync(dir.path('w/helper.conf'), `cgroup_root ${delegated}\n`);
    const port = String(await freePort());
    url = `http://127.0.0.1:${port}`;
    const settings = `worker_port=${port},limits.swappiness=${SWAP_BYTES}`;
    const { code, err } = await dir.ol(['worker', 'up', '-p', 'w', '-d', '-o', settings]);
    if (code !== 0) throw new Error(`${err}${dir.read('w/worker.out')}`);
    await deploy(url, { 'f.py': 'def f(event):\n    return 1\n' }, 'one');
    expect(await ask(`${url}/run/one`, { method: 'POST' })).toEqual({ status: 200, body: '1' });
  });
  afterAll(async () => {
    await dir.dispose();
    for (const root of roots) for (const path of [...below(root).reverse(), root]) rmdirSync(path);
  });

  localTest('9 every cgroup of the worker is made below a custom cgroup_root, and functions run there', () => {
    const name = dir.read('w/worker/cgroup.name');
    expect(made().some((path) => path.endsWith(`${delegated}/${name}`))).toBe(true);
    expect(made().some((path) => /\/cg-[^/]+$/.test(path))).toBe(true);
    for (const root of hierarchies()) expect(existsSync(join(root, name))).toBe(false);
  });

  localTest('3 limits.swappiness is the swap of a sandbox in bytes, despite its name', () => {
    const limits = made().flatMap((path) => {
      const v2 = join(path, 'memory.swap.max');
      const v1 = join(path, 'memory.memsw.limit_in_bytes');
      if (!/\/cg-[^/]+$/.test(path)) return [];
      if (existsSync(v2)) return [Number(readFileSync(v2, 'utf8'))];
      return existsSync(v1) ? [Number(readFileSync(v1, 'utf8')) - 50 * MB] : [];
    });
    // A kernel without swap accounting has neither file.
    if (limits.length > 0) expect(limits).toContain(SWAP_BYTES);
  });

  localTest('2 a stopped worker leaves no cgroup of a sandbox', async () => {
    await dir.ol(['worker', 'down', '-p', 'w']);
    expect(made().filter((path) => /\/cg-[^/]+$/.test(path))).toEqual([]);
  });
});
