// It must run as root. Port 5000, which the scripts expect of the worker, must be free. test.py installs packages from
// the host's package index.
import { spawnSync } from 'node:child_process';
import { accessSync, constants, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const HOME = dirname(dirname(fileURLToPath(import.meta.url)));
const PORT = 5000;
const SCRIPT_MS = 1_500_000;

/** Reasons of deliberate failures, by script and test. docs/differences.md has details. */
const DELIBERATE = {
  'seccomp_test.py syslog_test enable_seccomp=false':
    'without the filter the original lets a function read the kernel log; it has no CAP_SYSLOG here',
  'package_tests.py': "the script sets limits.max_runtime_default, a key that the original's defaults lack as well",
};

function fail(message) {
  process.stderr.write(`make upstream: ${message}\n`);
  process.exit(1);
}

const original = resolve(process.argv[2] ?? '');
if (process.argv[2] === undefined) fail("name the original's checkout: make upstream DIR=…");
for (const name of ['ol', 'scripts/test.py', 'scripts/helper/__init__.py', 'python/src/open_lambda.py', 'examples']) {
  if (!existsSync(join(original, name))) fail(`${original} has no ${name}`);
}
try {
  accessSync(join(original, 'ol'), constants.X_OK);
} catch {
  fail(`${join(original, 'ol')} cannot be executed: build it there first`);
}
if (process.getuid() !== 0) fail('run it as root: the scripts start workers as root does');
if (spawnSync('python3', ['-c', 'import requests']).status !== 0)
  fail("python3 lacks requests, which the scripts' client uses");
await new Promise((done) => {
  const probe = createServer().once('error', () => fail(`port ${PORT} is in use; the scripts need it`));
  probe.listen(PORT, '127.0.0.1', () => probe.close(done));
});

const dir = mkdtempSync(join(tmpdir(), 'upstream-'));
const bin = join(dir, 'bin');
mkdirSync(bin);
for (const name of ['scripts', 'examples', 'python'])
  cpSync(join(original, name), join(dir, name), { recursive: true });
mkdirSync(join(dir, 'registry'));
// The scripts run ./ol, and `./ol boss` runs the original's beside it.
symlinkSync(join(HOME, 'bin/ol'), join(dir, 'ol'));
symlinkSync(join(original, 'ol'), join(dir, 'ol-boss'));
if (spawnSync('sudo', ['-V']).status !== 0) writeFileSync(join(bin, 'sudo'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
const env = { ...process.env, PATH: `${bin}:${process.env.PATH}`, PYTHONPATH: join(dir, 'python/src'), SUDO_UID: '0' };

function run(program, args, timeout = SCRIPT_MS) {
  const result = spawnSync(program, args, { cwd: dir, env, encoding: 'utf8', timeout, maxBuffer: 1 << 28 });
  writeFileSync(join(dir, 'last.log'), `${result.stdout}${result.stderr}`);
  return { code: result.status, out: result.stdout ?? '', err: result.stderr ?? '' };
}

const rows = [];
function row(script, test, passed, why) {
  const reason = passed ? '' : (DELIBERATE[`${script} ${test}`] ?? DELIBERATE[script]);
  rows.push({
    script,
    test,
    result: passed ? 'passed' : 'failed',
    deliberate: reason,
    why: passed ? '' : (reason ?? why),
  });
  process.stdout.write(`${passed ? 'passed' : 'failed'}  ${script} ${test}${passed ? '' : `: ${reason ?? why}`}\n`);
}

/** A script that writes its results to test.json. */
function suite(script) {
  rmSync(join(dir, 'test.json'), { force: true });
  rmSync(join(dir, 'test-dir'), { recursive: true, force: true });
  const { code, err } = run('python3', [join('scripts', script)]);
  if (!existsSync(join(dir, 'test.json'))) {
    row(script, 'as a whole', false, `ended with ${code}: ${err.trim().split('\n').at(-1)}`);
    return;
  }
  for (const { test, params, pass, conf, errors } of JSON.parse(readFileSync(join(dir, 'test.json'), 'utf8')).runs) {
    const options = Object.entries(params).map(([key, value]) => `${key}=${value}`);
    if (script === 'seccomp_test.py') options.push(`enable_seccomp=${conf.features.enable_seccomp}`);
    const last = (errors.flat().filter(Boolean).at(-1) ?? '').slice(0, 160);
    row(script, [test, ...options].join(' '), pass === true, last);
  }
}

const CLIENT = `
from open_lambda import OpenLambda
client = OpenLambda()
client.check_status()
assert client.run("echo", {"a": [1, "ü"]}) == {"a": [1, "ü"]}
assert client.run("echo", "x", json=False) == '"x"'
assert client.get_statistics()["web-request.cnt"] >= 2
try:
    client.run("nowhere", None)
    raise SystemExit("a function that is not there answered")
except Exception as error:
    assert "500" in str(error), error
`;

function clients() {
  rmSync(join(dir, 'test-dir'), { recursive: true, force: true });
  run('./ol', ['worker', 'init', '-p', 'test-dir']);
  run('./ol', ['bench', 'init', '-p', 'test-dir', '-n', '64']);
  run('./ol', ['worker', 'up', '-p', 'test-dir', '-d']);
  try {
    run(join(original, 'ol'), ['admin', 'install', '-p', 'test-dir', 'examples/echo']);
    const python = run('python3', ['-c', CLIENT]);
    row(
      'python/src/open_lambda.py',
      'run, statistics, status, errors',
      python.code === 0,
      python.err.trim().slice(-160),
    );
    writeFileSync(join(dir, 'trace.txt'), 'echo\nbench-py-1\n');
    for (const args of [['py64-seq'], ['py64-par'], ['play', '-f', 'trace.txt']]) {
      for (const [whose, program] of [
        ['its client', join(original, 'ol')],
        ['ours', './ol'],
      ]) {
        const { code, out, err } = run(program, ['bench', args[0], '-p', 'test-dir', '-s', '2', ...args.slice(1)]);
        const line = out.trim().split('\n').at(-1) ?? '';
        const fine = code === 0 && /^\{"benchmark": ".+","seconds": .*"errors": 0, "ops\/s": [\d.]+\}$/.test(line);
        row('ol bench', `${args[0]} (${whose})`, fine, `${code} ${line} ${err.trim()}`.slice(0, 160));
      }
    }
  } finally {
    run('./ol', ['worker', 'down', '-p', 'test-dir']);
  }
}

function boss() {
  const { code, out, err } = run('python3', ['scripts/boss_test.py', 'local'], 400_000);
  row('boss_test.py', 'local', code === 0 && out.includes('Test passed'), (err || out).trim().split('\n').at(-1));
  for (let i = 1; i < 8; i++) {
    if (existsSync(join(dir, `worker-${i}`))) run('./ol', ['worker', 'down', '-p', `worker-${i}`]);
  }
}

const PARTS = {
  clients,
  boss,
  sock: () => suite('sock_test.py'),
  seccomp: () => suite('seccomp_test.py'),
  test: () => suite('test.py'),
};
try {
  const wanted = process.argv.slice(3);
  for (const [name, part] of Object.entries(PARTS)) if (wanted.length === 0 || wanted.includes(name)) part();
} finally {
  run('./ol', ['worker', 'force-cleanup', '-p', 'test-dir']);
  if (process.env.KEEP === undefined) rmSync(dir, { recursive: true, force: true });
  else process.stdout.write(`kept ${dir}\n`);
}

const scripts = [...new Set(rows.map(({ script }) => script))];
process.stdout.write(
  '\n| script | passed | failed | of these deliberate | what failed, and why |\n| --- | --- | --- | --- | --- |\n',
);
for (const script of scripts) {
  const own = rows.filter((one) => one.script === script);
  const failed = own.filter(({ result }) => result === 'failed');
  const why = failed.map(({ test, why: text }) => `${test}: ${text}`).join('; ');
  const meant = failed.filter(({ deliberate }) => deliberate !== undefined).length;
  process.stdout.write(`| ${script} | ${own.length - failed.length} | ${failed.length} | ${meant} | ${why} |\n`);
}
process.exit(rows.some(({ result, deliberate }) => result === 'failed' && deliberate === undefined) ? 1 : 0);
