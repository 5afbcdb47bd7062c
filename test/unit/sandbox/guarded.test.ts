import { ArgyleError } from '../../../src/errors';
import type { GuardedSandbox, GuardOptions } from '../../../src/sandbox/guarded';
import { Lease } from '../../../src/sandbox/lease';
import { MemoryPool, type Charge } from '../../../src/sandbox/memory/memory-pool';
import type { AnswerHandler } from '../../../src/sandbox/answer/guard';
import type { SandboxExit } from '../../../src/sandbox/types';
import { StatsRegistry } from '../../../src/metrics';
import { guard, ScriptedSandbox, settle } from '../../support/scripted-sandbox';

const REQUEST = { path: '/', method: 'GET' } as const;

/** Records the end of a request. */
class Answer implements AnswerHandler {
  text = '';
  ended = false;
  error: (Error & { code?: string }) | undefined;
  onStart(): void {
    // Nothing is aborted here.
  }
  onHead(): void {
    // answer/guard.ts handles heads.
  }
  onData(chunk: Buffer): void {
    this.text += chunk.toString();
  }
  onEnd(): void {
    this.ended = true;
  }
  onError(error: Error): void {
    this.error = error;
  }
}

describe('GuardedSandbox', () => {
  let pool: MemoryPool;
  let inner: ScriptedSandbox;
  let charge: Charge;
  let sandbox: GuardedSandbox;
  let evicted: number[];
  let destroyed: number;

  async function make(options: Partial<GuardOptions> = {}, timeoutMs = 1000): Promise<void> {
    const stats = new StatsRegistry();
    pool = new MemoryPool({ totalMb: 100, timeoutMs, stats });
    charge = await pool.acquire(50, 'instance', 'f');
    inner = new ScriptedSandbox();
    [evicted, destroyed] = [[], 0];
    sandbox = guard(inner, {
      pool,
      lease: new Lease(charge),
      stats,
      onEvicted: (mb) => evicted.push(mb),
      onDestroyed: () => destroyed++,
      ...options,
    });
  }
  beforeEach(() => make());

  const send = (): Answer => {
    const answer = new Answer();
    sandbox.dispatch(REQUEST, answer);
    return answer;
  };

  test('is charged its used memory while paused, and its full charge before a request reaches it', async () => {
    await sandbox.pause();
    expect([sandbox.life.isPaused, pool.usedMb, pool.tierMb.paused]).toEqual([true, 10, 10]);
    const answer = send();
    expect(inner.requests).toHaveLength(0);
    await settle();
    expect([inner.calls, pool.usedMb, pool.tierMb.instance]).toEqual([['pause', 'resume', 'dispatch'], 50, 50]);
    inner.requests[0]?.answer('hello');
    expect([answer.text, answer.ended]).toEqual(['hello', true]);
  });

  test('the pool evicts no other sandbox while a pause is about to return enough memory', async () => {
    const other = guard(new ScriptedSandbox(), {
      pool,
      lease: new Lease(await pool.acquire(40, 'instance', 'g')),
      stats: new StatsRegistry(),
    });
    await other.pause();
    let go: () => void = () => undefined;
    inner.hold = new Promise((resolve) => (go = resolve));
    const pausing = sandbox.pause();
    await settle();
    const acquired = pool.acquire(80, 'instance', 'h');
    await settle();
    go();
    await pausing;
    await acquired;
    expect([other.life.phase, sandbox.life.phase, pool.usedMb]).toEqual(['paused', 'paused', 100]);
  });

  test('memory that a failed pause does not return is no longer expected', async () => {
    await make({ evictable: false });
    inner.usage = () => Promise.reject(new ArgyleError('SANDBOX_STATE', 'no such slot'));
    await expect(sandbox.pause()).rejects.toThrow();
    expect([pool.usedMb, pool.hasRoom(51)]).toEqual([50, false]);
  });

  test('accepts a request when the thaw is ordered, and serves it after the thaw', async () => {
    await sandbox.pause();
    let thaw: () => void = () => undefined;
    inner.hold = new Promise((resolve) => (thaw = resolve));
    let ordered = false;
    const resuming = sandbox.resume(() => (ordered = true));
    await settle();
    expect([ordered, sandbox.life.isPaused, sandbox.candidate(Date.now() + 1000)]).toEqual([true, true, undefined]);
    const answer = send();
    expect(inner.calls).toEqual(['pause', 'resume', 'dispatch']);
    thaw();
    await resuming;
    inner.requests[0]?.answer('hello');
    expect([answer.text, sandbox.life.isPaused]).toEqual(['hello', false]);
  });

  test('stays paused after a refused thaw, and returns the memory for the thaw', async () => {
    await sandbox.pause();
    expect(pool.usedMb).toBe(10);
    inner.resume = () => Promise.reject(new ArgyleError('SANDBOX_STATE', 'no such slot'));
    await expect(sandbox.resume(() => undefined)).rejects.toMatchObject({ code: 'SANDBOX_STATE' });
    expect([sandbox.life.isPaused, pool.usedMb]).toEqual([true, 10]);
  });

  test('serves a request after a pause that has begun', async () => {
    let go: () => void = () => undefined;
    inner.hold = new Promise((resolve) => (go = resolve));
    const pausing = sandbox.pause();
    await settle();
    const answer = send();
    await settle();
    expect(inner.calls).toEqual(['pause']);
    go();
    await pausing;
    await settle();
    expect(inner.calls).toEqual(['pause', 'resume', 'dispatch']);
    inner.requests[0]?.answer('late');
    expect([answer.text, sandbox.life.isPaused]).toEqual(['late', false]);
  });

  test('skips a pause when a request arrives before the pause has begun', async () => {
    const pausing = sandbox.pause();
    const answer = send();
    await expect(pausing).rejects.toMatchObject({ code: 'SANDBOX_STATE' });
    await settle();
    inner.requests[0]?.answer('first');
    expect([answer.text, inner.calls]).toEqual(['first', ['dispatch']]);
  });

  test('is neither paused nor evicted while it serves', async () => {
    send();
    await expect(sandbox.pause()).rejects.toMatchObject({ code: 'SANDBOX_STATE' });
    expect(sandbox.candidate(Date.now() + 1000)).toBeUndefined();
    inner.requests[0]?.answer('done');
    expect(sandbox.candidate(Date.now() + 1000)).toMatchObject({ action: 'pause', freesMb: 50 });
    await sandbox.pause();
    expect(sandbox.candidate(Date.now() + 1000)).toMatchObject({ action: 'destroy', freesMb: 10 });
  });

  test('shows a pause by the pool, and the next request thaws it', async () => {
    await sandbox.reclaim('pause');
    expect([sandbox.life.isPaused, sandbox.life.end?.why]).toEqual([true, undefined]);
    send();
    await settle();
    expect([inner.calls, sandbox.life.isPaused]).toEqual([['pause', 'resume', 'dispatch'], false]);
  });

  test('waits for memory before a thaw', async () => {
    await sandbox.pause();
    const other = await pool.acquire(90);
    const answer = send();
    await settle();
    expect([inner.requests.length, sandbox.life.isPaused]).toEqual([0, true]);
    other.release();
    await settle();
    inner.requests[0]?.answer('thawed');
    expect([answer.text, pool.usedMb]).toEqual(['thawed', 50]);
  });

  test('fails a request as unsent when there is no memory, and stays paused', async () => {
    await make({ evictable: false }, 60);
    await sandbox.pause();
    const other = await pool.acquire(90);
    const answer = send();
    await new Promise((resolve) => setTimeout(resolve, 120));
    expect(answer.error).toMatchObject({ code: 'MEMORY_EXHAUSTED' });
    expect([inner.calls, sandbox.life.isPaused, sandbox.life.end?.why, pool.usedMb]).toEqual([
      ['pause'],
      true,
      undefined,
      100,
    ]);
    other.release();
    await sandbox.resume();
    expect(sandbox.life.isPaused).toBe(false);
  });

  test('fails its request when it is destroyed during a wait for memory, and leaves the queue', async () => {
    await make({ evictable: false });
    await sandbox.pause();
    const other = await pool.acquire(90);
    const answer = send();
    await settle();
    expect(pool.waiting).toBe(1);
    await sandbox.destroy('test');
    await settle();
    expect(answer.error).toMatchObject({ code: 'SANDBOX_DEAD' });
    expect([pool.waiting, pool.usedMb, inner.requests.length]).toEqual([0, 90, 0]);
    other.release();
  });

  test('reports an eviction, returns the memory once, and fails later requests', async () => {
    await sandbox.pause();
    await Promise.all([sandbox.reclaim('destroy'), sandbox.destroy('again')]);
    await sandbox.life.exited;
    expect(sandbox.life.end).toMatchObject({ by: 'eviction' });
    expect([evicted, destroyed, pool.usedMb, sandbox.life.end?.why]).toEqual([[10], 1, 0, 'evicted to free memory']);
    const answer = send();
    expect(answer.error).toBeUndefined();
    await settle();
    expect(answer.error).toMatchObject({ code: 'SANDBOX_DEAD' });
    await expect(sandbox.resume()).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    await expect(sandbox.usage()).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
  });

  test('reports its end as the error of a pause, also when the pause fails later for another reason', async () => {
    let fail: (error: Error) => void = () => undefined;
    inner.hold = new Promise((_, reject) => (fail = reject));
    inner.hold.catch(() => undefined);
    const pausing = sandbox.pause();
    await settle();
    inner.end();
    await settle();
    fail(new Error('no such cgroup'));
    await expect(pausing).rejects.toMatchObject({ code: 'SANDBOX_DEAD' });
    expect(sandbox.life.end?.why).toBe('its first process ended');
  });

  test('waits after a broken connection for the reason of the end, and names the reason', async () => {
    const answer = send();
    inner.requests[0]?.sent().fail('ECONNRESET');
    await settle();
    expect(answer.error).toBeUndefined();
    inner.end({ oomKills: 1 }, 'killed: it used more than limits.mem_mb');
    await settle();
    expect(answer.error).toMatchObject({
      code: 'SANDBOX_DEAD',
      message: expect.stringContaining('limits.mem_mb') as string,
    });
  });

  test('reports its exit once, with the first reason, when it is ended twice', async () => {
    const exits: SandboxExit[] = [];
    void sandbox.life.exited.then((exit) => exits.push(exit));
    sandbox.fail('it thrashes');
    sandbox.fail('again');
    await settle();
    expect([exits.length, sandbox.life.end?.why, destroyed, pool.usedMb]).toEqual([1, 'it thrashes', 1, 0]);
  });
});
