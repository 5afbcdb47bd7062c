import { closest } from '../../../src/cli/closest';

test.each([
  ['instal', ['install', 'lock'], 'install'],
  ['wroker', ['worker', 'admin'], 'worker'],
  ['sl', ['ls', 'rm'], undefined],
  ['l', ['ls'], undefined],
  ['frobnicate', ['worker', 'admin', 'ls'], undefined],
  ['x', [], undefined],
])('%s of %j is %s', (name, names, meant) => {
  expect(closest(name, names)).toBe(meant);
});
