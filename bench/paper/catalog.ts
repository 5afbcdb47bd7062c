import { SkipSubject } from '../subject';
import type { Subject } from '../subject';
import { Docker, Runc } from '../subjects/containers';
import { COLD_ECHO, Invocation } from '../subjects/invocations';
import { LiveWorker } from '../subjects/live-worker';
import { Bubblewrap } from '../subjects/programs';
import { primitiveName } from './primitives';
import type { BenchPackages } from '../packages';
import { PILLOW_PINS, Thumbnail } from './thumbnail';

/** A ratio of two rows' medians, and the paper's ratio for its own two rows. */
export interface Claim {
  about: string;
  /** The paper's number; undefined when it gives no single number. */
  paper: number | undefined;
  of: string;
  to: string;
}

/** One figure of the report: several rows, and the paper's claims about them. */
export interface Figure {
  file: string;
  title: string;
  rows: string[];
  claims: Claim[];
}

const LIMITS = { procs: 32, mem_mb: 128 };
const SPARES = 2;

/** A peer of the paper that cannot run on one machine without its own installation. */
class Absent implements Subject {
  constructor(
    readonly name: string,
    readonly about: string,
    private readonly reason: string,
  ) {}

  setup(): Promise<void> {
    return Promise.reject(new SkipSubject(this.reason));
  }

  run(): Promise<number> {
    return Promise.reject(new Error(this.reason));
  }

  teardown(): Promise<void> {
    return Promise.resolve();
  }
}

/** All subjects except the primitives, peers first. */
export function makePaperSubjects(root: string, packages: BenchPackages): Subject[] {
  const { real, label, handler, pins, settings } = packages;
  const child = (names: readonly string[]): object => ({ packages: [...names], children: [] });
  const tree = { packages: [], children: [child(pins), ...(real ? [child(PILLOW_PINS)] : [])] };
  const zygotes = { ...settings, limits: LIMITS, import_cache_tree: tree, features: { import_cache: 'tree' } };
  const fresh = new LiveWorker(root, { ...settings, limits: LIMITS, features: { import_cache: '' } });
  const forked = new LiveWorker(root, { ...zygotes, argyle: { spares_per_zygote: 0 } });
  const spare = new LiveWorker(root, { ...zygotes, argyle: { spares_per_zygote: SPARES } });
  const http = 'HTTP request to the head of the answer';
  const overhead = 'request time less the work itself';
  return [
    new Docker(root),
    new Runc(root),
    new Bubblewrap(root),
    new Invocation('lean container', `${http}, a fresh lean container without zygotes`, fresh, COLD_ECHO, 'fresh'),
    new Invocation('forked from a zygote', `${http}, nothing imported`, forked, COLD_ECHO, 'fork'),
    new Invocation('spare of a zygote', `${http}, a parked fork was ready`, spare, COLD_ECHO, 'spare'),
    new Invocation(`${label}: no cache`, `${http}, a fresh lean container imports it`, fresh, handler, 'fresh'),
    new Invocation(`${label}: forked`, `${http}, forked from a zygote that has it`, forked, handler, 'fork'),
    new Invocation(`${label}: spare`, `${http}, a parked fork that has it was ready`, spare, handler, 'spare'),
    new Absent('AWS Lambda', 'peer of the paper', 'a cloud service, not measured here'),
    new Absent('OpenWhisk', 'peer of the paper', 'not installed'),
    new Thumbnail(root, 'resize cold: lean', `${overhead}, no zygote`, fresh, { way: 'fresh', real }),
    new Thumbnail(root, 'resize cold: forked', `${overhead}, zygote has Pillow`, forked, { way: 'fork', real }),
    new Thumbnail(root, 'resize cold: spare', `${overhead}, a parked fork was ready`, spare, { way: 'spare', real }),
    new Thumbnail(root, 'resize warm', `${overhead}, the instance was there`, spare, { way: 'warm', real }),
  ];
}

const claim = (about: string, paper: number | undefined, of: string, to: string): Claim => ({ about, paper, of, to });

/** The figures for makePaperSubjects(), with the numbers of the SOCK paper (USENIX ATC 2018). */
export function paperFigures(label: string): Figure[] {
  return [
    {
      file: '1-lean-containers',
      title: 'Lean container against the container engine',
      rows: ['docker run', 'runc run', 'bwrap', 'lean container'],
      claims: [
        claim('Docker / lean', 18, 'docker run', 'lean container'),
        claim('runc / lean', undefined, 'runc run', 'lean container'),
        claim('bwrap / lean', undefined, 'bwrap', 'lean container'),
      ],
    },
    {
      file: '2-zygotes',
      title: 'Zygotes added to lean containers',
      rows: ['lean container', 'forked from a zygote', 'spare of a zygote'],
      claims: [
        claim('lean / forked', 3, 'lean container', 'forked from a zygote'),
        claim('lean / spare', undefined, 'lean container', 'spare of a zygote'),
      ],
    },
    {
      file: '3-package-aware-caching',
      title: `Package-aware caching against none: ${label}`,
      rows: [`${label}: no cache`, `${label}: forked`, `${label}: spare`],
      claims: [
        claim('none / forked', 45, `${label}: no cache`, `${label}: forked`),
        claim('none / spare', 45, `${label}: no cache`, `${label}: spare`),
      ],
    },
    {
      file: '5-image-resizing',
      title: 'Image resizing: platform overhead',
      rows: [
        'AWS Lambda',
        'OpenWhisk',
        'resize cold: lean',
        'resize cold: forked',
        'resize cold: spare',
        'resize warm',
      ],
      claims: [
        claim('AWS Lambda / SOCK', 2.8, 'AWS Lambda', 'resize cold: forked'),
        claim('OpenWhisk / SOCK', 5.3, 'OpenWhisk', 'resize cold: forked'),
        claim('lean / forked', undefined, 'resize cold: lean', 'resize cold: forked'),
        claim('lean / spare', undefined, 'resize cold: lean', 'resize cold: spare'),
      ],
    },
  ];
}

/** The paper's claim about primitives: reusing a cgroup is at least twice as fast as making one. */
export const PRIMITIVE_CLAIMS: readonly Claim[] = [
  claim('new / reused cgroup', 2, primitiveName('cgroup-new', 1), primitiveName('cgroup-reuse', 1)),
  claim('… 8 at once', 2, primitiveName('cgroup-new', 8), primitiveName('cgroup-reuse', 8)),
];
