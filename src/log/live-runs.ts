/** Counts, for each WAL file, the runs of batches whose topic exists: a file without any can be recycled. */

import { assert } from "../core/assert.ts";
import { fileSequenceOf } from "../wal/wal-address.ts";

export class LiveRuns {
  readonly #countBySequence = new Map<number, number>();

  /** The oldest file that still has one; undefined if none has. */
  get oldestSequence(): number | undefined {
    let oldest: number | undefined;
    for (const sequence of this.#countBySequence.keys()) {
      if (oldest === undefined || sequence < oldest) oldest = sequence;
    }
    return oldest;
  }

  add(address: number): void {
    const sequence = fileSequenceOf(address);
    this.#countBySequence.set(sequence, (this.#countBySequence.get(sequence) ?? 0) + 1);
  }

  remove(address: number): void {
    const sequence = fileSequenceOf(address);
    const count = this.#countBySequence.get(sequence);
    assert(count !== undefined && count > 0, "a run is removed once");
    if (count === 1) this.#countBySequence.delete(sequence);
    else this.#countBySequence.set(sequence, count - 1);
  }
}
