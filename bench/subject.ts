/** What the harness measures: one way of getting a process or an answer. */
export interface Subject {
  readonly name: string;
  /** One line for the report: what exactly is timed. */
  readonly about: string;
  /** Makes ready; throws SkipSubject when this machine lacks what it needs. */
  setup(): Promise<void>;
  /** One measurement, in ms. Throws when the measured thing failed. */
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
