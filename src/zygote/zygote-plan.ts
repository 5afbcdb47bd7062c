/** Decides which zygotes exist. Each mode of features.import_cache has one plan; without zygotes there is no plan. */
import type { LeafSpec } from '../sandbox/types';
import type { Group } from './fleet/group';
import type { PackagePin } from './policy/types';

export interface ZygotePlan {
  /** Makes the first zygotes. */
  start(): void;
  stop(): void;
  /** Called for a cold start with these packages, outside the request path. */
  asked(leaf: LeafSpec, pins: readonly PackagePin[]): void;
  /** Called when a function with these packages was deployed. */
  deployed?(pins: readonly PackagePin[]): void;
  /** Called after the measurement of a start. */
  measured(): void;
  /** Called before a zygote of the group starts a leaf. */
  used(group: Group): void;
  /** Called every 10 s. */
  maintain(): void;
}
