/** A worker under Node 24: the native module loads, the worker serves calls, and its warm-up reports no errors. */
import { deploy } from '../../support/deploy';
import { E2eWorker } from '../../support/spawned-worker';
import { findNode24 } from '../../support/node24';
import { describePrivileged } from '../../support/privileged';
import { until } from '../../support/until';

jest.setTimeout(120_000);

const found = findNode24();

describePrivileged('a worker under Node 24', () => {
  let worker: E2eWorker | undefined;
  afterAll(() => worker?.remove());

  const title = 'serves a function, and logs once which options this Node lacks';
  if ('why' in found) {
    it.skip(`${title} [optional] (${found.why})`, () => undefined);
    return;
  }

  it(title, async () => {
    const started = new E2eWorker({ node: found.node, config: { argyle: { warmup_calls: 40 } } });
    worker = started;
    await started.init();
    await started.up();
    await deploy(started.url, { 'f.py': 'def f(event):\n    return event\n' }, 'echo');
    const answer = await fetch(`${started.url}/run/echo`, { method: 'POST', body: '[1]' });
    expect([answer.status, await answer.text()]).toEqual([200, '[1]']);
    await until('its warm-up has ended', () => started.output().includes('"msg":"warm-up done"'), 60_000);
    expect(started.output()).not.toMatch(/unrecognized|Error:|failed/);
    const lines = started.output().split('\n');
    expect(lines.filter((line) => line.includes('"options":["interrupt-budget"]'))).toHaveLength(1);
    expect(started.output()).toMatch('"node":"v24.');
  });
});
