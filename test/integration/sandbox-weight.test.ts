/** CPU weights of sandboxes: cpu.shares in cgroup v1, cpu.weight in v2. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Sandbox } from '../../src/sandbox/types';
import { cgroupsOf, v1Hierarchies } from '../support/cgroups';
import { describePrivileged } from '../support/privileged';
import { call, Rig } from '../support/real-sandboxes';

jest.setTimeout(120_000);

/** Computes for some seconds, and returns the processor time that it got. */
const COMPUTES = `import time


def f(event):
    began = time.process_time()
    end = time.monotonic() + event["s"]
    while time.monotonic() < end:
        pass
    return time.process_time() - began
`;
const SECONDS = 3;
const WEIGHT = 10;
const OTHER_WEIGHT = 50;
/** The ratio of the weights is five. The first ticks of a run count fully for the lighter sandbox. */
const LEAST_RATIO = 3;

describePrivileged(
  'two sandboxes that compute on one processor',
  () => {
    const rig = new Rig();
    const pair: Sandbox[] = [];

    beforeAll(async () => {
      for (let n = 0; n < 2; n++) {
        const sandbox = await rig.factory.fresh(rig.leaf(COMPUTES));
        pair.push(sandbox);
        expect((await call(sandbox, { s: 0 }, 60_000)).status).toBe(200);
        expect(spawnSync('taskset', ['-p', '-c', '0', `${sandbox.pid}`]).status).toBe(0);
      }
    });
    afterAll(() => rig.finish());

    /** The processor time of both, in s. */
    const compute = async (): Promise<number[]> => {
      const answers = await Promise.all(pair.map((sandbox) => call(sandbox, { s: SECONDS }, 60_000)));
      return answers.map(({ body }) => Number(body));
    };

    /** The weight that the kernel holds, by v2's scale. */
    const kernelWeight = ({ pid }: Sandbox): number => {
      const paths = cgroupsOf().get(pid) ?? {};
      const v1 = v1Hierarchies().find((name) => name.split(',').includes('cpu'));
      const [root, file, scale] = v1 === undefined ? ['', 'cpu.weight', 1] : [v1, 'cpu.shares', 10];
      return Number(readFileSync(join('/sys/fs/cgroup', root, paths[root] ?? '', file), 'utf8')) / scale;
    };

    test.each([
      { what: 'the second more by its weight', weights: [WEIGHT, OTHER_WEIGHT] },
      { what: 'the first more, once the weights are exchanged', weights: [OTHER_WEIGHT, WEIGHT] },
    ])('get $what', async ({ weights }) => {
      pair.forEach((sandbox, index) => sandbox.weigh?.(weights[index] ?? NaN));
      const [first = NaN, second = NaN] = await compute();
      expect(pair.map(kernelWeight)).toEqual(weights);
      const ratio = weights[0] === WEIGHT ? second / first : first / second;
      expect(ratio).toBeGreaterThan(LEAST_RATIO);
    });
  },
  ['taskset'],
);
