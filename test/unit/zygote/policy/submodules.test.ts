import fc from 'fast-check';
import { SubmoduleLearner } from '../../../../src/zygote/learn/learner';
import type { ZygoteRenewal } from '../../../../src/zygote/fleet/renewal';
import { SubmoduleBook, isSubmodule } from '../../../../src/zygote/policy/submodules';
import type { LeafSpec } from '../../../../src/sandbox/types';

const KEY = 'pillow==10.4';
const TOP = ['PIL'];

test('only dotted names below the own top-level modules are submodules', () => {
  for (const name of ['PIL.Image', 'PIL._imaging', 'PIL.a.b.c', 'PIL.été']) expect(isSubmodule(name, TOP)).toBe(true);
  const refused = [
    'PIL',
    'os',
    'os.path',
    'PILL.Image',
    'PIL.',
    '.PIL',
    'PIL..a',
    'PIL.a b',
    'PIL.a\n',
    'PIL.1',
    'f.x',
  ];
  for (const name of [...refused, `PIL.${'x'.repeat(200)}`, 'PIL/../f', '']) expect(isSubmodule(name, TOP)).toBe(false);
});

test('whatever is reported, a zygote is told nothing outside the package', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom('PIL.Image', 'handler', 'PIL.x\0'))), (names) => {
      const book = new SubmoduleBook();
      book.learn(KEY, TOP, names);
      expect(book.of(KEY).every((name) => /^PIL(\.[\p{L}\p{N}_]+)+$/u.test(name))).toBe(true);
      expect(book.of('other==1')).toEqual([]);
    }),
  );
});

test('names are kept in the order of the report, told as news once, and bounded', () => {
  const book = new SubmoduleBook();
  expect(book.learn(KEY, TOP, ['PIL.Image', 'PIL.ImageMode'])).toBe(true);
  expect(book.learn(KEY, TOP, ['PIL.ImageMode', 'PIL.Image'])).toBe(false);
  expect(book.of(KEY)).toEqual(['PIL.Image', 'PIL.ImageMode']);
  book.learn(
    KEY,
    TOP,
    Array.from({ length: 1000 }, (_, index) => `PIL.m${index}`),
  );
  expect(book.of(KEY)).toHaveLength(256);
});

test('what failed is not tried again, and a package can lose its submodules for good', () => {
  const book = new SubmoduleBook();
  book.learn(KEY, TOP, ['PIL.Image', 'PIL.broken']);
  book.drop(KEY, ['PIL.broken', 'PIL.never-told']);
  expect(book.learn(KEY, TOP, ['PIL.broken'])).toBe(false);
  expect(book.of(KEY)).toEqual(['PIL.Image']);
  expect(book.ban('unknown==1')).toBe(false);
  expect(book.ban(KEY)).toBe(true);
  expect(book.ban(KEY)).toBe(false);
  expect(book.learn(KEY, TOP, ['PIL.ImageDraw'])).toBe(false);
  expect(book.of(KEY)).toEqual([]);
});

test('a function is asked until its reports bring nothing new, and only its own packages count', () => {
  const book = new SubmoduleBook();
  let scheduled = 0;
  const renewal = { schedule: () => scheduled++, look: () => Promise.resolve(), stop: () => Promise.resolve() };
  const learner = new SubmoduleLearner(book, renewal as unknown as ZygoteRenewal);
  const packages = [{ spec: 'Pillow==10.4.0', modules: TOP }];
  const leaf = { codeName: '1-thumbnail', packages, boot: { role: 'leaf' } } as unknown as LeafSpec;
  const pins = [{ name: 'pillow', version: '10.4.0', spec: 'Pillow==10.4.0', key: KEY }];
  expect(learner.learn(leaf).boot.learn).toBe(true);
  learner.record(leaf, pins, {
    'Pillow==10.4.0': ['PIL.Image'],
    'numpy==2.1.0': ['numpy.linalg'],
    constructor: ['x.y'],
  });
  expect([book.of(KEY), scheduled]).toEqual([['PIL.Image'], 1]);
  for (let quiet = 0; quiet < 2; quiet++) {
    expect(learner.learn(leaf).boot.learn).toBe(true);
    learner.record(leaf, pins, {});
  }
  expect(learner.learn(leaf)).toBe(leaf);
  expect(scheduled).toBe(1);
  // Another state of the code is asked anew, and none for ever.
  const next = { ...leaf, codeName: '2-thumbnail' };
  let asked = 0;
  for (let call = 0; call < 50; call++) {
    if (learner.learn(next).boot.learn === true) asked++;
    learner.record(next, pins, { 'Pillow==10.4.0': [`PIL.m${call}`] });
  }
  expect(asked).toBe(12);
});
