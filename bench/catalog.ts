import type { Goal } from './report';
import type { Subject } from './subject';
import { Docker, Runc } from './subjects/containers';
import { COLD_ECHO, COLD_PANDAS, Invocation, PANDAS_PINS, WARM_ECHO } from './subjects/invocations';
import { LiveWorker } from './subjects/live-worker';
import { BarePython, Bubblewrap, RawFork } from './subjects/programs';

/** Resident size of a zygote that has imported pandas. */
const PANDAS_ZYGOTE_MB = 80;

/** Spares that the worker keeps ready where the bench wants one at every call. */
const SPARES = 2;
const LIMITS = { procs: 32, mem_mb: 128 };
const TREE = { packages: [], children: [{ packages: [...PANDAS_PINS], children: [] }] };

/** Settings of the three workers that are measured side by side. */
function workers(root: string): { fresh: LiveWorker; forked: LiveWorker; spare: LiveWorker } {
  const tree = { limits: LIMITS, import_cache_tree: TREE, features: { import_cache: 'tree' } };
  return {
    fresh: new LiveWorker(root, { limits: LIMITS, features: { import_cache: '' } }),
    forked: new LiveWorker(root, { ...tree, argyle: { spares_per_zygote: 0 } }),
    spare: new LiveWorker(root, { ...tree, argyle: { spares_per_zygote: SPARES } }),
  };
}

/** All subjects, peers first. */
export function makeSubjects(root: string): Subject[] {
  const { fresh, forked, spare } = workers(root);
  const http = 'HTTP request to the head of the answer';
  return [
    new RawFork(root, 'raw fork', 0),
    new RawFork(root, 'raw fork 80 MB', PANDAS_ZYGOTE_MB),
    new BarePython(root),
    new Bubblewrap(root),
    new Runc(root),
    new Docker(root),
    new Invocation('cold: fresh', `${http}, a fresh lean container without zygotes`, fresh, COLD_ECHO),
    new Invocation('cold: forked', `${http}, forked from a zygote`, forked, COLD_ECHO),
    new Invocation('cold: spare', `${http}, a parked fork was ready`, spare, COLD_ECHO),
    new Invocation('warm: echo', `${http}, the instance was there`, spare, WARM_ECHO),
    new Invocation('cold pandas: fresh', `${http}, numpy and pandas imported afresh`, fresh, COLD_PANDAS),
    new Invocation('cold pandas: forked', `${http}, forked from a zygote with pandas`, forked, COLD_PANDAS),
    new Invocation('cold pandas: spare', `${http}, a parked fork with pandas was ready`, spare, COLD_PANDAS),
  ];
}

const goal = (about: string, of: string, kind: Goal['kind'], limit: number, to: string): Goal => {
  return { about, of, to, kind, limit };
};

/** The ratios that a run is judged by. */
export const GOALS: readonly Goal[] = [
  goal('cold start, forked, against a raw fork', 'cold: forked', 'atMost', 4, 'raw fork'),
  goal('cold start, spare ready, against a raw fork', 'cold: spare', 'atMost', 2, 'raw fork'),
  goal('pandas without zygotes against a spare', 'cold pandas: fresh', 'atLeast', 45, 'cold pandas: spare'),
  goal('pandas against nothing to import, spare ready', 'cold pandas: spare', 'atMost', 1.5, 'cold: spare'),
  goal('docker run against a lean container', 'docker run', 'atLeast', 18, 'cold: fresh'),
  goal('runc against a lean container', 'runc run', 'atLeast', 1, 'cold: fresh'),
  goal('bubblewrap against a lean container', 'bwrap', 'atLeast', 1, 'cold: fresh'),
];
