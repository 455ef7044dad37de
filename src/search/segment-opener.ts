/** The indexes of segments that a search Worker has open: a bounded number, those used last. */

import { closeIndex, NativeError } from "../core/native.ts";
import { openArchivedIndex } from "../core/native-segments.ts";
import type { PlannedSegment, SegmentFailure } from "./search-plan.ts";

/** Each holds a file open and its dictionaries' beginnings in memory. */
const OPEN_MAX = 128;
const MISSING = /No such file/;

interface OpenSegment {
  readonly lengthBytes: number;
  readonly indexNumber: number;
}

/** The segments of one search. */
export interface OpenedSegments {
  /** By the number of its index. */
  readonly segments: ReadonlyMap<number, PlannedSegment>;
  readonly failures: readonly SegmentFailure[];
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
   * The segments' indexes. They stay open until the next call.
   * @throws NativeError unless `toleratesMissing` if a file is gone, and with it perhaps the segment
   */
  open(
    segments: readonly PlannedSegment[],
    { toleratesMissing }: { readonly toleratesMissing: boolean },
  ): OpenedSegments {
    const opened = new Map<number, PlannedSegment>();
    const failures: SegmentFailure[] = [];
    let isChanged = false;
    try {
      for (const segment of segments) {
        const { segmentId, path, lengthBytes } = segment;
        let known = this.#open.get(segmentId);
        this.#open.delete(segmentId);
        if (known !== undefined && known.lengthBytes !== lengthBytes) {
          closeIndex(known.indexNumber);
          isChanged = true;
          known = undefined;
        }
        if (known === undefined) {
          try {
            known = { lengthBytes, indexNumber: openArchivedIndex({ path, lengthBytes }).number };
          } catch (thrown) {
            if (!(thrown instanceof NativeError)) throw thrown;
            if (!toleratesMissing && MISSING.test(thrown.message)) throw thrown;
            failures.push({ segment, reason: thrown.message });
            continue;
          }
          isChanged = true;
        }
        this.#open.set(segmentId, known);
        opened.set(known.indexNumber, segment);
      }
      const surplus = this.#open.size - Math.max(OPEN_MAX, segments.length);
      if (surplus > 0) this.#close([...this.#open.keys()].slice(0, surplus));
      return { segments: opened, failures };
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
