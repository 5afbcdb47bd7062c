/** What the zygote layer's pure parts and the provider that acts on them say to each other. */

/** One package that a lambda asks for or a zygote has imported. */
export interface PackagePin {
  /** PEP 503 name. */
  readonly name: string;
  /** The exact version that is installed; undefined when the requirement does not pin one and nobody looked. */
  readonly version: string | undefined;
  /** As written, which is also the directory below Pkgs_dir. */
  readonly spec: string;
  /**
   * Equal keys mean the same files: `name==version` in PEP 440's normal form, or the literal spec where no version is
   * known. The policy treats keys as opaque.
   */
  readonly key: PinKey;
}

export type PinKey = string;

/** What importing one package costs, its dependencies not included. */
export interface ImportCost {
  /** Wall-clock ms. */
  readonly ms: number;
  /** MB of memory that the importing process holds afterwards. */
  readonly mb: number;
}

export type CostOf = (key: PinKey) => ImportCost;

/** Names that a package needs to be importable, direct or transitive; undefined when nobody knows. */
export type RequiresOf = (key: PinKey) => readonly string[] | undefined;

/** How often one set of packages is asked for by cold starts. */
export interface Demand {
  /** Sorted, without repeats. */
  readonly pins: readonly PinKey[];
  /** Cold starts per second, decayed. */
  readonly ratePerSec: number;
  /** What handlers with these pins were seen to spend on imports when nothing was imported for them. */
  readonly importMs?: number;
}

/** A zygote as the policy wants it. Parents stand before their children; the first one is the root. */
export interface DesiredZygote {
  /** Names the set of packages: sorted keys joined by `,`; '' for the root. */
  readonly id: string;
  readonly parent: string | undefined;
  /** Everything it has imported, its ancestors' packages included. Sorted. */
  readonly pins: readonly PinKey[];
  /** Processes with this content; forks go to the least loaded one. */
  readonly replicas: number;
  /** Children kept forked and parked, over all replicas. */
  readonly spares: number;
  /** Expected ms saved per second by holding it, over the best alternative in the tree. */
  readonly gainMsPerSec: number;
  /** MB that it adds to what its parent holds, without spares and replicas. */
  readonly mb: number;
  /** Expected forks per second. */
  readonly forksPerSec: number;
}

export interface DesiredTree {
  readonly zygotes: readonly DesiredZygote[];
  /** MB for all of it: zygotes, replicas and spares. */
  readonly mb: number;
  /** Expected ms saved per second against starting every sandbox fresh. */
  readonly savedMsPerSec: number;
}

/** A zygote as it is, reported by whoever runs it. */
export interface LiveZygote {
  readonly id: string;
  readonly parent: string | undefined;
  readonly pins: readonly PinKey[];
  readonly replicas: number;
  readonly spares: number;
  /** `draining`: serves no new forks, but some descendant still lives. */
  readonly state: 'creating' | 'ready' | 'draining';
}

/** What has to be done, in this order, to get from the live zygotes to the desired ones. */
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

/** One node in the answer to `GET /zygotes`, from which `ol zygote show` draws. */
export interface ZygoteInfo {
  readonly id: string;
  readonly parent: string | null;
  /** Packages that this node adds to its parent's. */
  readonly packages: readonly string[];
  /** Sandboxes forked from it so far, spares included once they are used. */
  readonly forks: number;
  /** Of these, sandboxes that a spare became. */
  readonly fromSpares: number;
  /** Import ms that those forks did not have to spend. */
  readonly savedMs: number;
  /** Memory that it holds beyond its parent's. */
  readonly mb: number;
  readonly spares: number;
  readonly replicas: number;
  readonly state: LiveZygote['state'];
}

/** Body of `GET /zygotes`. */
export interface ZygoteReport {
  readonly mode: '' | 'tree' | 'multitree' | 'popularity';
  /** MB that zygotes and spares hold, and may hold; limit 0 means that nothing limits them. */
  readonly memory: { readonly usedMb: number; readonly limitMb: number };
  readonly zygotes: readonly ZygoteInfo[];
}
