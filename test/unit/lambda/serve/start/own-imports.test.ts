import { importedAhead } from '../../../../../src/lambda/serve/start/own-imports';

const PACKAGES = [
  { spec: 'numpy==2.1.0', modules: ['numpy'] },
  { spec: 'polars==1.0', modules: ['polars', '_polars'] },
];

test.each<[string, boolean]>([
  ['OMP_NUM_THREADS', false],
  ['OPENBLAS_NUM_THREADS', false],
  ['MKL_DYNAMIC', false],
  ['NUMEXPR_MAX_THREADS', false],
  ['POLARS_MAX_THREADS', false],
  ['POLARS_VERBOSE', false],
  ['NUMPY_EXPERIMENTAL', false],
  ['GREETING', true],
  ['POLARSTERN', true],
  ['TZ', true],
  ['HOME', true],
])('with %s, whether zygotes may import for the function: %s', (name, ahead) => {
  expect(importedAhead(PACKAGES, { A: '1', [name]: '4' })).toEqual(ahead ? PACKAGES : []);
});

test('no package is imported ahead for a function without packages', () => {
  expect(importedAhead([], { OMP_NUM_THREADS: '4' })).toEqual([]);
});
