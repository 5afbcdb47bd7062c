import fc from 'fast-check';
import { callsPerSecond } from '../../../bench/loops/simulate';

const CALLS = 3000;

describe('the simulation of several loops', () => {
  const costs = fc.record({
    frontUs: fc.integer({ min: 20, max: 300 }),
    coreUs: fc.integer({ min: 0, max: 300 }),
    guestUs: fc.integer({ min: 20, max: 300 }),
  });
  const machines = fc.record({
    processors: fc.integer({ min: 1, max: 16 }),
    loops: fc.integer({ min: 1, max: 8 }),
    clients: fc.integer({ min: 1, max: 32 }),
  });

  it('never exceeds the bounds of processors, loops and clients', () => {
    fc.assert(
      fc.property(costs, machines, (cost, machine) => {
        const { frontUs, coreUs, guestUs } = cost;
        const allUs = frontUs + coreUs + guestUs;
        const bounds = [
          machine.processors / allUs,
          machine.loops / frontUs,
          machine.clients / allUs,
          coreUs === 0 ? Infinity : 1 / coreUs,
        ];
        // Times are random, so their mean differs a little from the expected one.
        const most = 1.15e6 * Math.min(...bounds);
        expect(callsPerSecond(cost, { ...machine, calls: CALLS })).toBeLessThan(most);
      }),
      { numRuns: 50 },
    );
  });

  it('approaches the bound of one loop, and of all processors', () => {
    const cost = { frontUs: 80, coreUs: 0, guestUs: 40 };
    const one = callsPerSecond(cost, { processors: 16, loops: 1, clients: 64, calls: CALLS });
    expect(one).toBeGreaterThan(0.9 * (1e6 / 80));
    const eight = callsPerSecond(cost, { processors: 4, loops: 8, clients: 64, calls: CALLS });
    expect(eight).toBeGreaterThan(0.9 * (4e6 / 120));
  });

  it('is limited by the core that all calls pass', () => {
    const cost = { frontUs: 60, coreUs: 50, guestUs: 40 };
    const rate = callsPerSecond(cost, { processors: 16, loops: 8, clients: 128, calls: CALLS });
    expect(rate).toBeGreaterThan(0.85 * (1e6 / 50));
  });
});
