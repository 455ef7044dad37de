/** What topic reads may hold, out of their share of the broker's memory. */

const MIB = 2 ** 20;
/** More of them than this at a time only makes each slower. */
const RUNNING_MAX = 2;
/** One that has so much is bounded by nothing that people notice. */
const ENOUGH_BYTES = 64 * MIB;

/** Of one read. */
export interface TopicReadLimits {
  /** A batch that is larger when it is decompressed is not looked into. */
  readonly contentBytesMax: number;
  /** Of batches that are merged, or a table's keys, about; a table holds twice as much at times. */
  readonly heldBytesMax: number;
  /** Characters of a page's records, which are there as text and then as bytes. */
  readonly lengthMax: number;
}

/** How many reads run at a time, and what each may hold: half of it is one batch's content. */
export function topicReadLimitsOf(
  bytesMax: number,
): TopicReadLimits & { readonly runningMax: number } {
  const runningMax = bytesMax >= RUNNING_MAX * ENOUGH_BYTES ? RUNNING_MAX : 1;
  const share = Math.min(bytesMax / runningMax, ENOUGH_BYTES);
  return {
    runningMax,
    contentBytesMax: Math.floor(share / 2),
    heldBytesMax: Math.floor(share / 8),
    lengthMax: Math.floor(share / 8),
  };
}
