#!/usr/bin/env node
/**
 * Stand-in for the original's boss in tests. It is called as `ol-boss boss up` and does to local workers what the
 * contract says of the boss. In its working directory it runs `./ol worker init`, writes each config.json as Go's
 * encoder would, runs `./ol worker up -d`, checks pids, polls /status, and reports the started workers. At SIGINT it
 * runs `./ol worker down` and ends. The output of a command is kept only for errors: the exit code decides.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clearInterval, setInterval } from 'node:timers';

/** Longest command, and longest wait for an answer of /status, in ms. */
const COMMAND_MS = 240_000;
const READY_MS = 60_000;

/** Resolves once the command has ended and no process holds its output. Go's exec.Command waits for the same. */
function ol(...args) {
  return new Promise((done, fail) => {
    execFile('./ol', args, { timeout: COMMAND_MS }, (error, out, err) => {
      if (error === null) done(out);
      else fail(new Error(`./ol ${args.join(' ')}: exit code ${error.code}: ${out}${err}`));
    });
  });
}

/** Go's json.MarshalIndent: tabs for indentation, and escaped HTML characters. */
function goJson(value) {
  const escape = (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(value, null, '\t').replace(/[<>&\u2028\u2029]/g, escape);
}

/** The settings as a Go struct with only the original's keys. An empty map is nil. */
function asStruct(config) {
  if (config.argyle === undefined) throw new Error('not a config.json of the worker under test');
  const known = JSON.parse(JSON.stringify(config));
  delete known.argyle;
  delete known.limits.scratch_mb;
  delete known.installer_limits.scratch_mb;
  delete known.kafka.commit_failed;
  return { ...known, sandbox_config: null };
}

async function ready(url) {
  for (const end = Date.now() + READY_MS; ; await new Promise((done) => setTimeout(done, 100))) {
    const answer = await fetch(`${url}/status`).catch(() => undefined);
    if (answer?.status === 200 && (await answer.text()) === 'ready\n') return;
    if (Date.now() > end) throw new Error(`${url}/status does not answer`);
  }
}

/** Starts one worker. The boss numbers its workers. */
async function start(id, port, registry) {
  await ol('worker', 'init', '-p', id, '-i', 'ol-min');
  const file = join(id, 'config.json');
  const config = asStruct(JSON.parse(readFileSync(file, 'utf8')));
  writeFileSync(file, goJson({ ...config, worker_port: port, registry }), { mode: 0o644 });
  await ol('worker', 'up', '-p', id, '-d');
  const pid = Number(readFileSync(join(config.worker_dir, 'worker.pid'), 'utf8'));
  process.kill(pid, 0);
  const url = `http://localhost:${port}`;
  await ready(url);
  return { id, pid, url };
}

async function main() {
  const [command, verb, registry, ...ports] = process.argv.slice(2);
  if (command !== 'boss' || verb !== 'up') throw new Error(`unexpected arguments: ${process.argv.slice(2).join(' ')}`);
  // This timer keeps the process alive while it waits for the signal.
  const alive = setInterval(() => undefined, 60_000);
  const stop = new Promise((done) => process.once('SIGINT', done));
  const workers = await Promise.all(ports.map((port, i) => start(`worker-${i + 1}`, port, registry)));
  process.stdout.write(`${JSON.stringify(workers)}\n`);
  await stop;
  clearInterval(alive);
  await Promise.all(workers.map(({ id }) => ol('worker', 'down', '-p', id)));
  process.stdout.write('stopped\n');
}

main().catch((error) => {
  process.stderr.write(`${error.stack}\n`);
  process.exitCode = 1;
});
