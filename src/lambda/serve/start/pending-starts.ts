/** Pending starts of one function: starts that wait for their turn, and starts that run. */
import type { StartWish } from '../../../sandbox/types';

export interface PendingStart {
  readonly wish: StartWish;
  /** Time at which the start's turn came. Before the turn: time of the request for the start. */
  readonly sinceMs: number;
  /** Ends the start. It has become an instance, or has failed. */
  end(): void;
}

export class PendingStarts {
  /** All pending starts. */
  count = 0;
  /** Pending starts whose turn has come. */
  begun = 0;

  constructor(private readonly now: () => number) {}

  /** @param isWanted whether the function needs an instance in addition to those that the begun starts make */
  add(isWanted: () => boolean): PendingStart {
    this.count++;
    let sinceMs = this.now();
    let hadTurn = false;
    const onTurn = (): void => {
      hadTurn = true;
      this.begun++;
      sinceMs = this.now();
    };
    return {
      wish: { isWanted, onTurn },
      get sinceMs() {
        return sinceMs;
      },
      end: () => {
        this.count--;
        if (hadTurn) this.begun--;
      },
    };
  }
}
