import type { BenchPackages } from './packages';
import type { Goal } from './report';
import type { Subject } from './subject';
import { Docker, Runc } from './subjects/containers';
import { COLD_ECHO, Invocation, WARM_ECHO } from './subjects/invocations';
import { LiveWorker } from './subjects/live-worker';
import { NodeHttp } from './subjects/node-http';
import { BarePython, Bubblewrap, LimitedBubblewrap, RawFork } from './subjects/programs';

/** Resident size of a zygote that has imported pandas, MB. */
const PANDAS_ZYGOTE_MB = 80;

/** Spares per zygote, for rows that need a spare at every call. */
const SPARES = 2;
export const LIMITS = { procs: 32, mem_mb: 128 };

/** Settings of the three workers that are measured together. */
function workers(root: string, { pins, settings }: BenchPackages): Record<'fresh' | 'forked' | 'spare', LiveWorker> {
  const child = { packages: [...pins], children: [] };
  const tree = { ...settings, limits: LIMITS, import_cache_tree: { packages: [], children: [child] } };
  const features = { import_cache: 'tree' };
  return {
    fresh: new LiveWorker(root, { ...settings, limits: LIMITS, features: { import_cache: '' } }),
    forked: new LiveWorker(root, { ...tree, features, argyle: { spares_per_zygote: 0 } }),
    spare: new LiveWorker(root, { ...tree, features, argyle: { spares_per_zygote: SPARES } }),
  };
}

/** All subjects, peers first. */
export function makeSubjects(root: string, packages: BenchPackages): Subject[] {
  const { fresh, forked, spare } = workers(root, packages);
  const { label, handler } = packages;
  const http = 'HTTP request to the first byte of the answer';
  return [
    new RawFork(root, 'raw fork', 0),
    new RawFork(root, 'raw fork 80 MB', PANDAS_ZYGOTE_MB),
    new NodeHttp(root),
    new BarePython(root),
    new Bubblewrap(root),
    new LimitedBubblewrap(root, LIMITS),
    new Runc(root),
    new Docker(root),
    new Invocation('cold: fresh', `${http}, a fresh lean container without zygotes`, fresh, COLD_ECHO, 'fresh'),
    new Invocation('cold: forked', `${http}, forked from a zygote`, forked, COLD_ECHO, 'fork'),
    new Invocation('cold: spare', `${http}, a parked fork was ready`, spare, COLD_ECHO, 'spare'),
    new Invocation('warm: echo', `${http}, the instance was there`, spare, WARM_ECHO, 'warm'),
    new Invocation('cold packages: fresh', `${http}, ${label} imported afresh`, fresh, handler, 'fresh'),
    new Invocation('cold packages: forked', `${http}, forked from a zygote with ${label}`, forked, handler, 'fork'),
    new Invocation('cold packages: spare', `${http}, a parked fork with ${label} was ready`, spare, handler, 'spare'),
  ];
}

const goal = (about: string, of: string, kind: Goal['kind'], limit: number, to: string): Goal => {
  return { about, of, to, kind, limit };
};

/** The goals of a run, as ratios of rows. */
export const GOALS: readonly Goal[] = [
  goal('cold start, forked, against a raw fork', 'cold: forked', 'atMost', 4, 'raw fork'),
  goal('cold start, spare ready, against a raw fork', 'cold: spare', 'atMost', 2, 'raw fork'),
  goal('large packages without zygotes against a spare', 'cold packages: fresh', 'atLeast', 45, 'cold packages: spare'),
  goal('large packages against nothing to import, spare ready', 'cold packages: spare', 'atMost', 1.5, 'cold: spare'),
  goal('docker run against a lean container', 'docker run', 'atLeast', 18, 'cold: fresh'),
  goal('runc against a lean container', 'runc run', 'atLeast', 1, 'cold: fresh'),
  goal('bubblewrap with the same limits against a lean container', 'bwrap with limits', 'atLeast', 1, 'cold: fresh'),
  goal('bubblewrap without limits against a lean container', 'bwrap', 'atLeast', 1, 'cold: fresh'),
];
