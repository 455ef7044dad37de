/** Fetch requests that wait for records: each is woken by its partitions, its time limit, or its client's end. */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Partition } from "./partition.ts";

/** What to wait for. */
export interface DelayedFetch {
  readonly partitions: readonly Partition[];
  readonly maxWaitMs: number;
  /** Checked whenever one of the partitions moved on. */
  isSatisfied(): boolean;
  /** Registers for the end of the client. @returns removes the registration. */
  onAbandon(listener: () => void): () => void;
}

/** Counts who waits, and lets them all go at the end. */
export class Purgatory {
  readonly #clock: Clock;
  readonly #waiting = new Set<() => void>();
  #isClosed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get waitingCount(): number {
    return this.#waiting.size;
  }

  /** Resolves when the fetch is satisfied, its time is up, its client is gone, or the broker stops. */
  wait(fetch: DelayedFetch): Promise<void> {
    if (this.#isClosed) return Promise.resolve();
    const { partitions, maxWaitMs } = fetch;
    return new Promise((resolve) => {
      let cancelTimer: CancelTimer = () => {};
      let removeAbandon = (): void => {};
      const finish = (): void => {
        cancelTimer();
        removeAbandon();
        this.#waiting.delete(finish);
        for (const partition of partitions) partition.waiters.delete(onMoved);
        resolve();
      };
      const onMoved = (): void => {
        if (fetch.isSatisfied()) finish();
      };
      this.#waiting.add(finish);
      for (const partition of partitions) partition.waiters.add(onMoved);
      cancelTimer = this.#clock.after(maxWaitMs, finish);
      removeAbandon = fetch.onAbandon(finish);
      if (!this.#waiting.has(finish)) removeAbandon();
    });
  }

  /** Ends every wait; from now on nobody waits. */
  close(): void {
    this.#isClosed = true;
    for (const finish of [...this.#waiting]) finish();
  }
}
