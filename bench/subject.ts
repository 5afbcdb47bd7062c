/** A subject of the harness: one way to start a process or to get an answer. */
export interface Subject {
  readonly name: string;
  /** What exactly is measured, in one line for the report. */
  readonly about: string;
  /** Prepares the measurements. @throws SkipSubject when this machine lacks a requirement */
  setup(): Promise<void>;
  /** Duration of clean-up after a measurement, ms, if it is longer than the pause between measurements. */
  readonly cleanupMs?: number;
  /** Waits until the next measurement is possible, e.g. until a spare is parked. Not timed. */
  ready?(): Promise<void>;
  /** Makes one measurement, ms. Throws when the measured call failed, Strayed when it had another kind of start. */
  run(): Promise<number>;
  /** Removes everything that setup() made. Also called after a failed setup(). */
  teardown(): Promise<void>;
}

/** Thrown by setup(). The report then shows the reason in place of figures. */
export class SkipSubject extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'SkipSubject';
  }
}

/**
 * Thrown by run(): the call succeeded, but with another kind of start than the row is about. The measurement is
 * discarded.
 */
export class Strayed extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'Strayed';
  }
}
