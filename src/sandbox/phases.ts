/** A state machine: the current phase, and a table of the permitted moves. */
export type Moves<P extends string> = Readonly<Record<P, readonly P[]>>;

export class Phases<P extends string> {
  /** @param what its name in the message of a fault */
  constructor(
    private readonly what: string,
    private readonly moves: Moves<P>,
    private current: P,
  ) {}

  get phase(): P {
    return this.current;
  }

  /** Makes a move of the table. @throws Error for any other move, which is a fault of the worker */
  move(to: P): void {
    if (!this.tryMove(to)) throw new Error(`${this.what} cannot go from ${this.current} to ${to}`);
  }

  /** Makes a move of the table. Any other move has no effect. @returns whether the move was made */
  tryMove(to: P): boolean {
    const may = this.moves[this.current].includes(to);
    if (may) this.current = to;
    return may;
  }
}
