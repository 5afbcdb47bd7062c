import { containerOptions, type ContainerRequest } from '../../../../src/sandbox/docker/options';

const SETTINGS = {
  image: 'ol-min',
  runtime: '',
  workerDir: '/w/worker',
  guestDir: '/opt/guest',
  storeDir: '/w/packages/.store',
};
const LIMITS = { memMb: 50, procs: 10, cpuPercent: 100, swapBytes: 0, scratchMb: 20 };
const LEAF: ContainerRequest = {
  role: 'leaf',
  limits: LIMITS,
  socketPath: '/w/worker/scratch/docker-1.guest',
  network: 'bridge',
  user: { uid: 65534, gid: 65534 },
  codeDir: '/w/worker/code/1-f',
  viewDir: '/w/worker/code/packages-1',
};
const MB = 1 << 20;

const mountsOf = (request: ContainerRequest): string[] =>
  containerOptions(SETTINGS, request).HostConfig.Mounts.map(
    ({ Source, Target, ReadOnly }) => `${Source} ${Target} ${ReadOnly ? 'ro' : 'rw'}`,
  );

test('a leaf has its code, packages, the runtime and its socket, all read-only', () => {
  expect(mountsOf(LEAF)).toEqual([
    '/opt/guest /runtime ro',
    '/w/packages/.store /runtime/store ro',
    '/w/worker/scratch/docker-1.guest /run/argyle.sock ro',
    '/w/worker/code/1-f /handler ro',
    '/w/worker/code/packages-1 /packages ro',
  ]);
  const { HostConfig: host, Entrypoint: entrypoint, User: user } = containerOptions(SETTINGS, LEAF);
  const memory = 'rw,exec,nosuid,nodev,uid=65534,gid=65534,mode=1777,size=20m';
  expect(host.Tmpfs).toEqual({ '/tmp': memory, '/host': memory });
  expect(entrypoint).toEqual(['python3', '-I', '-S', '/runtime/main.py', 'leaf', '/run/argyle.sock']);
  expect(user).toBe('65534:65534');
});

test('an installer can write only to its staging directory', () => {
  const { limits, socketPath, network, user } = LEAF;
  const hostDir = '/w/packages/.stage-1';
  const request: ContainerRequest = { role: 'installer', limits, socketPath, network, user, hostDir };
  expect(mountsOf(request).filter((mount) => mount.endsWith(' rw'))).toEqual(['/w/packages/.stage-1 /host rw']);
  expect(Object.keys(containerOptions(SETTINGS, request).HostConfig.Tmpfs)).toEqual(['/tmp']);
});

test('every container is unprivileged and labelled, and has no log in the engine', () => {
  const { HostConfig: host, Labels: labels } = containerOptions(SETTINGS, LEAF);
  expect(host).toMatchObject({
    ReadonlyRootfs: true,
    CapDrop: ['ALL'],
    SecurityOpt: ['no-new-privileges'],
    NetworkMode: 'bridge',
    LogConfig: { Type: 'none' },
  });
  expect(host).not.toHaveProperty('Runtime');
  expect(labels).toEqual({ 'argyle.worker': '/w/worker', 'argyle.role': 'leaf' });
});

test('docker.runtime is set', () => {
  expect(containerOptions({ ...SETTINGS, runtime: 'runsc' }, LEAF).HostConfig.Runtime).toBe('runsc');
});

test.each([
  ['as given', {}, { Memory: 50 * MB, MemorySwap: 50 * MB, PidsLimit: 10, CpuPeriod: 100_000, CpuQuota: 100_000 }],
  ['with swap', { swapBytes: 4096 }, { Memory: 50 * MB, MemorySwap: 50 * MB + 4096 }],
  ['a share of a CPU', { cpuPercent: 12 }, { CpuQuota: 12_000 }],
  ['no limit of processes', { procs: 0 }, { PidsLimit: -1 }],
])('limits: %s', (_what, limits, expected) => {
  const request = { ...LEAF, limits: { ...LIMITS, ...limits } };
  expect(containerOptions(SETTINGS, request).HostConfig).toMatchObject(expected);
});

test('limits of 0 mean no limits', () => {
  const request = { ...LEAF, limits: { ...LIMITS, memMb: 0, cpuPercent: 0 } };
  const host = containerOptions(SETTINGS, request).HostConfig;
  for (const key of ['Memory', 'MemorySwap', 'CpuPeriod', 'CpuQuota']) expect(host).not.toHaveProperty(key);
});
