/**
 * What the log needs of the segments: sealed batches, found by offset and by time, and their bytes. Declared
 * here because the log comes before the segments; `segment/segment-store.ts` is it.
 */

/** The sealed batches of one partition that lie together in one segment. */
export interface SealedRange {
  readonly topicId: string;
  readonly partition: number;
  readonly segmentId: string;
  readonly startOffset: number;
  /** Exclusive. */
  readonly endOffset: number;
  /** Of its batches together. */
  readonly sizeBytes: number;
  readonly maxTimestampMs: number;
}

/** Names one partition for good. */
export interface PartitionPlace {
  readonly topicId: string;
  readonly partition: number;
}

/** Everything that was sealed. Lookups are synchronous and cheap. */
export interface SealedLog {
  /** Exclusive end of what is sealed; 0 if nothing is. */
  endOffset(place: PartitionPlace): number;
  /** The range that holds `offset`, or the next one behind it. */
  rangeAt(place: PartitionPlace, offset: number): SealedRange | undefined;
  /** The first range that ends behind `fromOffset` and has a record at or after `timestampMs`. */
  rangeSince(
    place: PartitionPlace,
    since: { readonly timestampMs: number; readonly fromOffset: number },
  ): SealedRange | undefined;
  /** The first range with the largest timestamp of those that end behind `fromOffset`. */
  rangeOfMaxTimestamp(place: PartitionPlace, fromOffset: number): SealedRange | undefined;
  /** An offset of `range` at or before the first record that is not earlier than `timestampMs`. Throws as `read`. */
  startSince(range: SealedRange, timestampMs: number): Promise<number>;
  /**
   * Whole batches of `range` in offset order, the first being the one that holds `offset` or the next: at most
   * `maxBytes`, but one batch at least, every CRC checked.
   * @throws RangeMovedError; KafkaError KAFKA_STORAGE_ERROR if the segment is damaged or can't be read
   */
  read(range: SealedRange, offset: number, maxBytes: number): Promise<Uint8Array>;
  /** Memory that `read` takes at most while it runs, beside what it returns. */
  readonly readOverheadBytes: number;
}

/** The range is in another segment by now: look it up again. */
export class RangeMovedError extends Error {
  override readonly name = "RangeMovedError";
}

/** Where nothing is ever sealed. */
export const NOTHING_SEALED: SealedLog = {
  endOffset: () => 0,
  rangeAt: () => undefined,
  rangeSince: () => undefined,
  rangeOfMaxTimestamp: () => undefined,
  startSince: () => Promise.reject(new RangeMovedError()),
  read: () => Promise.reject(new RangeMovedError()),
  readOverheadBytes: 0,
};
