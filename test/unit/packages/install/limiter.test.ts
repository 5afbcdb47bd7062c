import { Limiter } from '../../../../src/packages/install/limiter';

/** Runs tasks of these askers and returns the order in which they began. */
async function order(most: number, askers: string[]): Promise<string[]> {
  const limiter = new Limiter(most);
  const began: string[] = [];
  const task = (asker: string, n: number) => async (): Promise<void> => {
    began.push(`${asker}${n}`);
    await new Promise(setImmediate);
  };
  await Promise.all(askers.map((asker, n) => limiter.run(task(asker, n), asker)));
  return began;
}

test('tasks take turns by asker, and keep their order within one asker', async () => {
  expect(await order(1, ['a', 'a', 'a', 'a', 'b'])).toEqual(['a0', 'a1', 'b4', 'a2', 'a3']);
});

test('the number of running tasks is limited, and a failed task frees its place', async () => {
  const limiter = new Limiter(2);
  let running = 0;
  let most = 0;
  const task = async (): Promise<void> => {
    most = Math.max(most, ++running);
    await new Promise(setImmediate);
    running--;
    throw new Error('failed');
  };
  const all = await Promise.allSettled(Array.from({ length: 10 }, (_, n) => limiter.run(task, `${n % 3}`)));
  expect([most, all.every(({ status }) => status === 'rejected')]).toEqual([2, true]);
  await expect(limiter.run(() => Promise.resolve(7))).resolves.toBe(7);
});
