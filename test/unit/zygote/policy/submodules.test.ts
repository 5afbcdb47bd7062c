import fc from 'fast-check';
import { SubmoduleBook, isSubmodule } from '../../../../src/zygote/policy/submodules';

const KEY = 'pillow==10.4';
const TOP = ['PIL'];

test("only dotted names below a package's top-level modules are submodules", () => {
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

test('a zygote never gets a name outside the package, for any report', () => {
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string(), fc.constantFrom('PIL.Image', 'handler', 'PIL.x\0'))), (names) => {
      const book = new SubmoduleBook();
      book.learn(KEY, TOP, names);
      expect(book.of(KEY).every((name) => /^PIL(\.[\p{L}\p{N}_]+)+$/u.test(name))).toBe(true);
      expect(book.of('other==1')).toEqual([]);
    }),
  );
});

test('names keep the order of the report, are reported as new once, and are limited', () => {
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

test("failed submodules are not tried again, and ban() removes a package's submodules for good", () => {
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
