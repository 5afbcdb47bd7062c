import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InterruptBudget, V8_OPTIONS } from '../../../../src/compose/warmup/v8';
import { findNode24 } from '../../../support/node24';

/** Names of the options that a Node lists. */
function optionsOf(node: string): Set<string> {
  const text = execFileSync(node, ['--v8-options'], { encoding: 'utf8', maxBuffer: 4 << 20 });
  return new Set([...text.matchAll(/^\s+--([a-z0-9-]+) \(/gm)].map(([, name = '']) => name));
}

const later = findNode24();
const NODES: [string, string][] = [[process.execPath, process.versions.node]];
if ('node' in later) NODES.push([later.node, '24.0.0']);

test.each(NODES)('%s has the options of the table, except for the removed ones', (node, version) => {
  const known = optionsOf(node);
  const unknown = V8_OPTIONS.map(({ name }) => name).filter((name) => !known.has(name.replace(/^no-/, '')));
  expect(unknown).toEqual(new InterruptBudget(version).missing);
});

test('the first line of bin/ol has the options that V8 takes at the start only', () => {
  const [line = ''] = readFileSync(join(__dirname, '../../../../bin/ol'), 'utf8').split('\n');
  const wanted = V8_OPTIONS.filter(({ when }) => when === 'start');
  const flags = wanted.map(({ name, value }) => (value === undefined ? `--${name}` : `--${name}=${value}`));
  expect(line).toBe(`#!/usr/bin/env -S node ${flags.join(' ')}`);
});

test.each([
  ['20.19.0', ['--interrupt-budget=1000', '--interrupt-budget=8000'], []],
  ['24.0.0', [], ['interrupt-budget']],
])('Node %s gets only options that it has', (node, flags, missing) => {
  const set: string[] = [];
  const budget = new InterruptBudget(node, (flag) => set.push(flag));
  budget.setEager(true);
  budget.setEager(false);
  expect([set, budget.missing]).toEqual([flags, missing]);
});
