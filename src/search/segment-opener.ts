/** The indexes of segments that a search Worker has open: a bounded number, those used last. */

import { closeIndex } from "../core/native.ts";
import { openArchivedIndex } from "../core/native-segments.ts";
import type { PlannedSegment } from "./search-plan.ts";

/** Each holds a file open and its dictionaries' beginnings in memory. */
const OPEN_MAX = 128;

interface OpenSegment {
  readonly lengthBytes: number;
  readonly indexNumber: number;
}

/** Owns the indexes. */
export class SegmentOpener {
  readonly #onChanged: (indexNumbers: readonly number[]) => void;
  /** In the order of use. */
  readonly #open = new Map<string, OpenSegment>();

  /** @param onChanged is told all that is open */
  constructor(onChanged: (indexNumbers: readonly number[]) => void) {
    this.#onChanged = onChanged;
  }

  /**
   * The numbers of the segments' indexes. They stay open until the next call.
   * @throws NativeError if one can't be opened
   */
  open(segments: readonly PlannedSegment[]): number[] {
    let isChanged = false;
    try {
      const numbers = segments.map(({ segmentId, path, lengthBytes }) => {
        let known = this.#open.get(segmentId);
        this.#open.delete(segmentId);
        if (known !== undefined && known.lengthBytes !== lengthBytes) {
          closeIndex(known.indexNumber);
          known = undefined;
        }
        if (known === undefined) {
          known = { lengthBytes, indexNumber: openArchivedIndex({ path, lengthBytes }).number };
          isChanged = true;
        }
        this.#open.set(segmentId, known);
        return known.indexNumber;
      });
      const surplus = this.#open.size - Math.max(OPEN_MAX, segments.length);
      if (surplus > 0) this.#close([...this.#open.keys()].slice(0, surplus));
      return numbers;
    } finally {
      if (isChanged) this.#tell();
    }
  }

  /** Closes what is open of these segments. */
  forget(segmentIds: readonly string[]): void {
    const known = segmentIds.filter((segmentId) => this.#open.has(segmentId));
    if (known.length === 0) return;
    this.#close(known);
    this.#tell();
  }

  #close(segmentIds: readonly string[]): void {
    for (const segmentId of segmentIds) {
      const known = this.#open.get(segmentId);
      this.#open.delete(segmentId);
      if (known !== undefined) closeIndex(known.indexNumber);
    }
  }

  #tell(): void {
    this.#onChanged([...this.#open.values()].map(({ indexNumber }) => indexNumber));
  }
}
