/**
 * Where each leader epoch of a partition began, so that a client can find out whether what it read is
 * still there (source: KIP-101, KIP-320, and Apache Kafka's LeaderEpochFileCache). It is rebuilt from the
 * leader epochs of WAL entries.
 */

import { assert } from "../core/assert.ts";

/** The end of an epoch, or of the nearest one below it; -1 and -1 if there is none. */
export interface EpochEnd {
  readonly leaderEpoch: number;
  /** Exclusive. */
  readonly endOffset: number;
}

/** The first offset of an epoch. */
export interface EpochStart {
  readonly leaderEpoch: number;
  readonly startOffset: number;
}

const UNDEFINED_END: EpochEnd = { leaderEpoch: -1, endOffset: -1 };

/** Epochs with their first offsets; both rise. */
export class LeaderEpochs {
  readonly #starts: EpochStart[] = [];

  /** What is written from `startOffset` on is of `leaderEpoch`. Repeated calls for one epoch do nothing. */
  assign(leaderEpoch: number, startOffset: number): void {
    const last = this.#starts.at(-1);
    if (last?.leaderEpoch === leaderEpoch) return;
    assert(last === undefined || last.leaderEpoch < leaderEpoch, "leader epochs rise");
    // An epoch in which nothing was written leaves no trace.
    if (last?.startOffset === startOffset) this.#starts.pop();
    this.#starts.push({ leaderEpoch, startOffset });
  }

  /** All of them, in order. */
  starts(): readonly EpochStart[] {
    return [...this.#starts];
  }

  /** The epoch in which `offset` was, or will be, written; -1 if none is known. */
  epochAt(offset: number): number {
    return this.#starts.findLast((start) => start.startOffset <= offset)?.leaderEpoch ?? -1;
  }

  /** Where `leaderEpoch` ended. @param logEndOffset the end of the epoch that goes on */
  endOf(leaderEpoch: number, logEndOffset: number): EpochEnd {
    const first = this.#starts[0];
    const last = this.#starts.at(-1);
    const isKnown = leaderEpoch >= 0 && leaderEpoch <= (last?.leaderEpoch ?? -1);
    if (first === undefined || last === undefined || !isKnown) {
      return UNDEFINED_END;
    }
    if (leaderEpoch === last.leaderEpoch) return { leaderEpoch, endOffset: logEndOffset };
    if (leaderEpoch < first.leaderEpoch) return { leaderEpoch, endOffset: first.startOffset };
    const nextIndex = this.#starts.findIndex((start) => start.leaderEpoch > leaderEpoch);
    const [at, next] = [this.#starts[nextIndex - 1], this.#starts[nextIndex]];
    assert(at !== undefined && next !== undefined, "the epoch lies between the first and the last");
    return { leaderEpoch: at.leaderEpoch, endOffset: next.startOffset };
  }
}
