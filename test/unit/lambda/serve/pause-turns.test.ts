import { PauseTurns } from '../../../../src/lambda/serve/pause-turns';

describe('PauseTurns', () => {
  test('runs two pauses at a time, oldest first, each once', async () => {
    const turns = new PauseTurns();
    const begun: number[] = [];
    const ends: (() => void)[] = [];
    for (let n = 0; n < 5; n++) {
      turns.add(() => {
        begun.push(n);
        return new Promise((resolve) => ends.push(resolve));
      });
    }
    expect(begun).toEqual([0, 1]);
    for (let ended = 0; ended < 5; ended++) {
      ends[ended]?.();
      await new Promise(setImmediate);
      expect(begun).toHaveLength(Math.min(5, ended + 3));
    }
    expect(begun).toEqual([0, 1, 2, 3, 4]);
    turns.add(() => {
      begun.push(5);
      return Promise.resolve();
    });
    expect(begun).toContain(5);
  });
});
