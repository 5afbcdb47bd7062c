/** The types that the pure parts of the zygote layer share with the provider. */

/** One package that a function requires or a zygote has imported. */
export interface PackagePin {
  /** PEP 503 name. */
  readonly name: string;
  /** The exact installed version; undefined when the requirement pins none and no lookup was done. */
  readonly version: string | undefined;
  /** The requirement as written; also the name of the directory below Pkgs_dir. */
  readonly spec: string;
  /**
   * Equal keys mean the same files. A key is `name==version` in PEP 440's normal form, or the literal spec when the
   * version is unknown.
   */
  readonly key: PinKey;
}

export type PinKey = string;

/** The cost of importing one package without its dependencies. */
export interface ImportCost {
  /** Elapsed time, in ms. */
  readonly ms: number;
  /** Memory that the importing process holds afterwards, in MB. */
  readonly mb: number;
}

export type CostOf = (key: PinKey) => ImportCost;

/** Returns the names that a package needs for its import, direct or transitive; undefined when unknown. */
export type RequiresOf = (key: PinKey) => readonly string[] | undefined;

/** The rate of cold starts with one set of packages. */
export interface Demand {
  /** Sorted, without repeats. */
  readonly pins: readonly PinKey[];
  /** Cold starts per second, decayed. */
  readonly ratePerSec: number;
  /** Measured import time of handlers with these pins and no imports by a zygote, in ms. */
  readonly importMs?: number;
}

/** A desired zygote. Parents come before their children; the first one is the root. */
export interface DesiredZygote {
  /** Id of the set of packages: sorted keys joined by `,`; '' for the root. */
  readonly id: string;
  readonly parent: string | undefined;
  /** All its packages, including those of its ancestors. Sorted. */
  readonly pins: readonly PinKey[];
  /** Number of processes with this content; forks use the least loaded one. */
  readonly replicas: number;
  /** Number of parked children of all replicas together. */
  readonly spares: number;
  /** Expected saving over the best alternative in the tree, in ms per second. */
  readonly gainMsPerSec: number;
  /** Memory that it adds to its parent's, without spares and replicas, in MB. */
  readonly mb: number;
  /** Expected forks per second. */
  readonly forksPerSec: number;
}

export interface DesiredTree {
  readonly zygotes: readonly DesiredZygote[];
  /** Memory of all zygotes, replicas and spares, in MB. */
  readonly mb: number;
  /** Expected saving against fresh starts of all sandboxes, in ms per second. */
  readonly savedMsPerSec: number;
}

/** A live zygote, as the provider reports it. */
export interface LiveZygote {
  readonly id: string;
  readonly parent: string | undefined;
  readonly pins: readonly PinKey[];
  readonly replicas: number;
  readonly spares: number;
  /** True when calls waited for this zygote recently; the policy must not retire the zygote yet. */
  readonly held?: boolean;
  /** `draining`: the zygote serves no new forks, and some descendant still lives. */
  readonly state: 'creating' | 'ready' | 'draining';
}

/** The actions from the live zygotes to the desired zygotes, in this order. */
export type ZygoteAction =
  | { readonly kind: 'spares'; readonly id: string; readonly count: number }
  | { readonly kind: 'retire'; readonly id: string }
  | { readonly kind: 'revive'; readonly id: string }
  | {
      readonly kind: 'create';
      readonly id: string;
      readonly parent: string | undefined;
      readonly pins: readonly PinKey[];
    }
  | { readonly kind: 'replicas'; readonly id: string; readonly count: number };

/** One node in the answer to `GET /zygotes`; `ol zygote show` draws these nodes. */
export interface ZygoteInfo {
  readonly id: string;
  readonly parent: string | null;
  /** Packages that this node adds to its parent's. */
  readonly packages: readonly string[];
  /** Number of sandboxes forked from it so far, including used spares. */
  readonly forks: number;
  /** Number of these sandboxes that were spares. */
  readonly fromSpares: number;
  /** Import time that these forks saved, in ms. */
  readonly savedMs: number;
  /** Memory in addition to its parent's, in MB. */
  readonly mb: number;
  readonly spares: number;
  readonly replicas: number;
  readonly state: LiveZygote['state'];
}

/** Body of `GET /zygotes`. */
export interface ZygoteReport {
  readonly mode: '' | 'tree' | 'multitree' | 'popularity';
  /** Memory that zygotes and spares hold, and its limit, in MB; limit 0 means no limit. */
  readonly memory: { readonly usedMb: number; readonly limitMb: number };
  readonly zygotes: readonly ZygoteInfo[];
}
