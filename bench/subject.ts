/** What the harness measures: one way of getting a process or an answer. */
export interface Subject {
  readonly name: string;
  /** One line for the report: what exactly is timed. */
  readonly about: string;
  /** Makes ready; throws SkipSubject when this machine lacks what it needs. */
  setup(): Promise<void>;
  /** What clean-up goes on after a measurement, ms, where it is longer than the pause between any two. */
  readonly cleanupMs?: number;
  /** Waits until the next measurement finds what it is about, a parked spare for example. Not timed. */
  ready?(): Promise<void>;
  /** One measurement, in ms. Throws when the measured thing failed, Strayed when something else was measured. */
  run(): Promise<number>;
  /** Removes all that setup() made; called also after a failed setup. */
  teardown(): Promise<void>;
}

/** Thrown by setup(): the row stays in the report and says why it is empty. */
export class SkipSubject extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'SkipSubject';
  }
}

/** Thrown by run(): the call succeeded, but by another way than the row is about; its time counts for nothing. */
export class Strayed extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Strayed';
  }
}
