import { Bases, type Base } from '../../../../src/compose/sandboxes/bases';
import type { Plan } from '../../../../src/packages/plan';
import type { LeafSpec, Sandbox } from '../../../../src/sandbox/types';

const SANDBOX = (id: string) => ({ id }) as unknown as Sandbox;
const LEAF = (base?: string) => ({ ...(base === undefined ? {} : { base }) }) as unknown as LeafSpec;

/** A base whose answers contain its name. */
function fake(name: string, log: string[] = []): Base {
  const plan: Plan = { pins: [{ spec: `${name}==1`, hashes: [] }], complete: true };
  return {
    provider: { create: () => Promise.resolve(SANDBOX(name)) },
    plans: {
      plan: () => Promise.resolve(plan),
      planVersion: () => Promise.resolve(plan),
      install: (given) => {
        log.push(`${name} installs ${given.pins.map(({ spec }) => spec).join()}`);
        return Promise.resolve({ imports: [], plan: { pins: given.pins, complete: true } });
      },
      remember: (fn) => Promise.resolve(void log.push(`${name} remembers ${fn}`)),
    },
    close: () => Promise.resolve(void log.push(`${name} closes`)),
  };
}

test('sandboxes and packages come from the named base, which is started once', async () => {
  const log: string[] = [];
  const starts: string[] = [];
  const bases = new Bases(fake('own', log), (name) => {
    starts.push(name);
    return Promise.resolve(fake(name, log));
  });
  expect((await bases.create(LEAF())).id).toBe('own');
  expect(starts).toEqual([]);
  expect((await Promise.all([bases.create(LEAF('new')), bases.create(LEAF('new'))])).map(({ id }) => id)).toEqual([
    'new',
    'new',
  ]);
  const request = { kind: 'pins' as const, pins: [], complete: true, base: 'new' };
  const plan = await bases.planVersion('fn', '1', request);
  expect(plan).toMatchObject({ base: 'new', pins: [{ spec: 'new==1' }] });
  expect(await bases.plan(request)).toMatchObject({ base: 'new' });
  const { plan: done } = await bases.install(plan);
  await bases.remember('fn', '1', done);
  expect((await bases.plan({ kind: 'pins', pins: [], complete: true })).base).toBeUndefined();
  expect(log).toEqual(['new installs new==1', 'new remembers fn']);
  expect(starts).toEqual(['new']);
  expect(bases.running().map(([name]) => name)).toEqual(['new']);
  await bases.close();
  expect(log.at(-1)).toBe('new closes');
  await expect(bases.create(LEAF('new'))).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
});

test('a base whose start failed is started again at the next call', async () => {
  let attempts = 0;
  const bases = new Bases(fake('own'), (name) =>
    ++attempts === 1 ? Promise.reject(new Error('denied')) : Promise.resolve(fake(name)),
  );
  await expect(bases.create(LEAF('new'))).rejects.toThrow('denied');
  expect((await bases.create(LEAF('new'))).id).toBe('new');
});
