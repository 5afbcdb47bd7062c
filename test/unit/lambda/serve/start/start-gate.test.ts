import fc from 'fast-check';
import { StartGate } from '../../../../../src/lambda/serve/start/start-gate';

describe('the bound on starts after a death of the helper', () => {
  let nowMs = 0;
  const gate = (most: number): StartGate => {
    nowMs = 1_000;
    return new StartGate(most, () => nowMs);
  };

  it('does not apply before a death, and ends 5 s after the death', () => {
    const one = gate(1);
    expect([one.enter(), one.enter(), one.enter()]).toEqual([true, true, true]);
    one.lost();
    expect([one.enter(), one.enter()]).toEqual([true, false]);
    nowMs += 5_000;
    expect([one.enter(), one.enter()]).toEqual([true, true]);
  });

  it("admits the next start after an instance's first request, or after 1 s", () => {
    const one = gate(1);
    one.lost();
    expect([one.enter(), one.enter()]).toEqual([true, false]);
    one.leave();
    expect([one.enter(), one.enter()]).toEqual([true, false]);
    nowMs += 999;
    expect(one.enter()).toBe(false);
    nowMs += 1;
    expect(one.enter()).toBe(true);
  });

  it('ignores starts before the last death', () => {
    const one = gate(2);
    one.lost();
    expect([one.enter(), one.enter(), one.enter()]).toEqual([true, true, false]);
    one.lost();
    expect([one.enter(), one.enter(), one.enter()]).toEqual([true, true, false]);
  });

  it('never admits more starts than allowed, in any sequence, and always opens again', () => {
    const step = fc.oneof(fc.constantFrom('enter', 'leave', 'lost'), fc.integer({ min: 1, max: 600 }));
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 8 }), fc.array(step, { maxLength: 200 }), (most, steps) => {
        const one = gate(most);
        one.lost();
        let untilMs = nowMs + 5_000;
        let inside: number[] = [];
        for (const next of steps) {
          if (typeof next === 'number') nowMs += next;
          else if (next === 'leave') {
            one.leave();
            inside.shift();
          } else if (next === 'lost') {
            one.lost();
            untilMs = nowMs + 5_000;
            inside = [];
          } else if (one.enter() && nowMs < untilMs) {
            inside = inside.filter((at) => nowMs - at < 1_000);
            inside.push(nowMs);
            expect(inside.length).toBeLessThanOrEqual(most);
          }
        }
        nowMs += 1_000;
        expect(one.enter()).toBe(true);
      }),
    );
  });
});
