import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeepWarm } from '../../../../src/lambda/serve/keep-warm';
import { KeptNames } from '../../../../src/lambda/serve/kept-names';
import type { Sandbox } from '../../../../src/sandbox/types';
import { until } from '../../../support/until';
import { call, startWorker } from '../../../support/in-process-worker';

jest.setTimeout(60_000);

describe('KeepWarm', () => {
  let nowMs = 0;
  const sandbox = (): Sandbox & { kept?: boolean } => {
    const made = { keep: (kept: boolean) => (made.kept = kept) } as unknown as Sandbox & { kept?: boolean };
    return made;
  };

  test('requests one instance at a time while some are missing and there is room', () => {
    const warm = new KeepWarm(() => nowMs);
    const view = { min: 2, sandboxes: [sandbox()], starting: 0, hasRoom: () => true };
    expect(warm.look(view)).toBe(true);
    expect(warm.look({ ...view, starting: 1 })).toBe(false);
    expect(warm.look({ ...view, hasRoom: () => false })).toBe(false);
    expect(warm.look({ ...view, min: 0 })).toBe(false);
  });

  test('marks the number of instances that are to be kept', () => {
    const sandboxes = [sandbox(), sandbox(), sandbox()];
    new KeepWarm(() => nowMs).look({ min: 2, sandboxes, starting: 0, hasRoom: () => true });
    expect(sandboxes.map(({ kept }) => kept)).toEqual([true, true, false]);
  });

  test('waits longer after each failed start, up to one minute', () => {
    const warm = new KeepWarm(() => nowMs);
    const view = { min: 1, sandboxes: [], starting: 0, hasRoom: () => true };
    const waits = Array.from({ length: 8 }, () => {
      warm.failed();
      // Failures during the wait count once.
      warm.failed();
      const beganMs = nowMs;
      while (!warm.look(view)) nowMs += 500;
      return nowMs - beganMs;
    });
    expect(waits).toEqual([1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
    warm.failed();
    warm.reset();
    expect(warm.look(view)).toBe(true);
  });
});

test('names are kept for the next worker, and a file without a list of names counts as empty', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'kept-'));
  const warned: string[] = [];
  const names = new KeptNames(join(dir, 'scale.json'), { warn: (_fields, message) => warned.push(message) });
  expect(names.load()).toEqual([]);
  await names.save(['a', 'b']);
  expect(names.load()).toEqual(['a', 'b']);
  expect(warned).toEqual([]);
  writeFileSync(join(dir, 'scale.json'), '{"a": 1}');
  expect(names.load()).toEqual([]);
  expect(warned).toHaveLength(1);
  rmSync(dir, { recursive: true });
});

test('instances are made without a call, after a death, and for new code', async () => {
  const worker = await startWorker({ settings: { registryCacheMs: 100 } });
  const source = 'def f(event): return 1\n';
  await worker.deploy('f', { 'f.py': source, 'ol.yaml': 'scale: {min: 2}\n' });
  await worker.manager.prepare('f');
  const alive = () => [...worker.provider.live].map(({ id }) => id);
  await until('two', () => worker.manager.counts.idle + worker.manager.counts.paused === 2);
  const [first] = [...worker.provider.live];
  process.kill(first?.pid ?? 0, 'SIGKILL');
  await until('two again', () => alive().length === 2 && !alive().includes(first?.id ?? ''));
  expect((await call(worker, '/run/f', { method: 'POST', body: '{}' })).body).toBe('1');
  const old = alive();
  await worker.deploy('f', { 'f.py': `${source}# new\n`, 'ol.yaml': 'scale: {min: 1}\n' });
  await until('one of the new code', () => alive().length === 1 && !old.includes(alive()[0] ?? ''));
  await worker.manager.prepare('nobody');
  expect(worker.manager.size).toBe(1);
  await worker.close();
});
