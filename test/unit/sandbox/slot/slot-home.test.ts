import type { Argyle, SlotFds } from '../../../../src/helper/ffi';
import { MAX_SLOTS } from '../../../../src/helper/protocol';
import { SlotHome } from '../../../../src/sandbox/slot/slot-home';

const FDS: SlotFds = { listen: 10, logWrite: 11, logRead: 12, errWrite: 13, errRead: 14 };

/** Opens nothing, because the tests are about numbers and names. */
function home(slotFds: (dirFd: number, name: string) => SlotFds = () => FDS): SlotHome {
  return new SlotHome({ openDir: () => 5, slotFds } as unknown as Argyle, '/somewhere');
}

test('gives each slot a unique number, and reuses numbers', () => {
  const slots = home();
  expect([slots.take().id, slots.take().id]).toEqual([1, 2]);
  slots.give(1);
  expect([slots.take().id, slots.take().id]).toEqual([1, 3]);
});

test('never gives two sockets the same name, even with one number', () => {
  const names: string[] = [];
  const slots = home((_dirFd, name) => {
    names.push(name);
    return FDS;
  });
  const { id, socketPath } = slots.take();
  expect(socketPath).toBe(`/proc/self/fd/5/${names[0] ?? ''}`);
  slots.give(id);
  expect(slots.take().id).toBe(id);
  expect(new Set(names).size).toBe(2);
});

test('fails when no number is left, and continues when one is free', () => {
  const slots = home();
  for (let i = 0; i < MAX_SLOTS; i++) slots.take();
  expect(() => slots.take()).toThrow(`all ${MAX_SLOTS} slots are in use`);
  expect(() => slots.take()).toThrow(`all ${MAX_SLOTS} slots are in use`);
  slots.give(7);
  expect(slots.take().id).toBe(7);
});

test('returns the number when the sockets cannot be made', () => {
  let broken = true;
  const slots = home(() => {
    if (broken) throw new Error('no descriptors left');
    return FDS;
  });
  expect(() => slots.take()).toThrow('no descriptors left');
  broken = false;
  expect(slots.take().id).toBe(1);
});
