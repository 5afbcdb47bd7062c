import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { freezer } from '../../../../src/lambda/sock/sock-parts';

describe('freezer', () => {
  test('freezes and thaws in turns, repeats nothing, and orders nothing of a dead zygote', async () => {
    type Step = 'pause' | 'resume' | 'turn' | 'fail' | 'die';
    const step = fc.constantFrom<Step>('pause', 'pause', 'resume', 'resume', 'turn', 'fail', 'die');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        let [isFrozen, fails, running] = [false, false, 0];
        const order = (frozen: boolean) => async (): Promise<void> => {
          // An order that would change nothing is not given, nor is one before the last one has ended.
          expect([isFrozen, running++, slot.isUsable]).toEqual([!frozen, 0, true]);
          await turn();
          running--;
          if (fails) throw new Error('no');
          isFrozen = frozen;
        };
        const slot = { isUsable: true, pause: order(true), resume: order(false) };
        const frozen = freezer(slot, '1');
        const ends: Promise<unknown>[] = [];
        for (const next of steps) {
          if (next === 'turn') await turn();
          else if (next === 'fail') fails = !fails;
          else if (next === 'die') slot.isUsable = false;
          else ends.push(frozen[next]().catch((error: unknown) => error));
        }
        const errors = (await Promise.all(ends)).filter((error) => error !== undefined);
        for (const error of errors) {
          if ((error as Error).message !== 'no') expect(error).toMatchObject({ code: 'SANDBOX_DEAD' });
        }
        expect(frozen.isPaused()).toBe(isFrozen);
      }),
      { numRuns: 200 },
    );
  });
});
