/**
 * What compaction leaves of one batch: Apache Kafka's `Cleaner` and `MemoryRecords.filterTo` (4.3), batch by batch.
 *
 *   nothing goes, and no tombstone waits for its time   the batch as it is, byte for byte
 *   some records go, or tombstones get their time       a new batch of the rest: offsets, sequence, codec and
 *                                                       `lastOffsetDelta` as they were, times relative to the first
 *                                                       record that stays, or to the delete horizon
 *   all records go                                      nothing; but an empty batch where it is the last one of the
 *                                                       compacted log, or the last one of its producer
 *
 * A tombstone stays until the delete horizon of its batch, which the first compaction that meets it sets to its own
 * time plus `delete.retention.ms` (KIP-534). Records without a key go. Batches of transactions and control batches
 * stay as they are, and their records hide no others: whether they were committed is not known here. So do batches
 * that cannot be opened: Produce does not look into compressed ones.
 */

import { recordsOf } from "../protocol/batch-records.ts";
import {
  type CanonicalRecord,
  type CanonicalRecordBatch,
  decodeBatch,
  encodeBatch,
} from "../protocol/canonical-record.ts";
import { KafkaError } from "../protocol/errors.ts";
import type { RecordCursor } from "../protocol/record.ts";
import {
  type BatchHeader,
  NO_PRODUCER_ID,
  NO_TIMESTAMP_MS,
  verifyBatch,
} from "../protocol/record-batch.ts";
import type { KeyOffsetMap } from "./key-offset-map.ts";

export interface FilterOptions {
  readonly map: KeyOffsetMap;
  /** Exclusive end of what is compacted: the batch that ends there stays, be it empty. */
  readonly endOffset: number;
  readonly nowMs: number;
  readonly deleteRetentionMs: number;
  /** The last offset that each producer wrote. */
  readonly producerOffsets: ReadonlyMap<number, number>;
}

export interface FilteredBatch {
  /** Undefined if nothing is left. */
  readonly bytes: Uint8Array | undefined;
  /** Records that are gone, by offset, ascending. */
  readonly removedOffsets: readonly number[];
}

/** A batch whose records can be walked over. */
interface OpenedBatch {
  readonly header: BatchHeader;
  readonly cursor: RecordCursor;
}

/**
 * Takes the keys of a batch from `fromOffset` on into `map`.
 * @returns false if the map is full: its `latestOffset` is that of the last record it has taken
 */
export function addKeys(map: KeyOffsetMap, batch: Uint8Array, fromOffset: number): boolean {
  const header = verifyBatch(batch, 0, batch.length);
  const opened = openedBatch(batch, header);
  if (opened !== undefined) {
    const { cursor } = opened;
    while (cursor.next()) {
      const offset = header.baseOffset + cursor.offsetDelta;
      const key = cursor.key();
      if (key === null || offset < fromOffset) continue;
      if (!map.put(key, offset)) return false;
      map.latestOffset = offset;
    }
  }
  map.latestOffset = header.baseOffset + header.lastOffsetDelta;
  return true;
}

/** What is left of the batch that fills `batch`. @throws KafkaError CORRUPT_MESSAGE if it is damaged */
export function filterBatch(batch: Uint8Array, options: FilterOptions): FilteredBatch {
  const header = verifyBatch(batch, 0, batch.length);
  const asItIs = { bytes: batch, removedOffsets: [] };
  if (header.baseOffset > options.map.latestOffset) return asItIs;
  const opened = openedBatch(batch, header);
  if (opened === undefined) return asItIs;
  const { removedOffsets, hasTombstones, keptCount } = sortOut(opened, options);
  if (keptCount === 0) {
    const bytes = isEmptyKept(header, options) ? emptyBatch(header) : undefined;
    return { bytes, removedOffsets };
  }
  const isHorizonDue = hasTombstones && !header.hasDeleteHorizon;
  if (removedOffsets.length === 0 && !isHorizonDue) return asItIs;
  const horizonMs = isHorizonDue ? options.nowMs + options.deleteRetentionMs : undefined;
  return { bytes: batchWithout(batch, removedOffsets, horizonMs), removedOffsets };
}

/** Undefined for a batch that stays as it is whatever is in it. */
function openedBatch(batch: Uint8Array, header: BatchHeader): OpenedBatch | undefined {
  if (header.isControl || header.isTransactional) return undefined;
  try {
    const cursor = recordsOf(batch, 0, header);
    // All of it, so that what is wrong with it shows before anything is done.
    while (cursor.next()) while (cursor.nextHeader());
    return { header, cursor: recordsOfAgain(cursor, batch, header) };
  } catch (thrown) {
    if (thrown instanceof KafkaError) return undefined;
    throw thrown;
  }
}

/** Starts over; what was decompressed is not decompressed again. */
function recordsOfAgain(
  walked: RecordCursor,
  batch: Uint8Array,
  header: BatchHeader,
): RecordCursor {
  if (walked.bytes === batch) return recordsOf(batch, 0, header);
  walked.reset(walked.bytes, header.recordCount);
  return walked;
}

function sortOut({ header, cursor }: OpenedBatch, { map, nowMs }: FilterOptions) {
  const removedOffsets: number[] = [];
  let hasTombstones = false;
  let keptCount = 0;
  const isPastHorizon = header.hasDeleteHorizon && nowMs >= header.baseTimestampMs;
  while (cursor.next()) {
    const offset = header.baseOffset + cursor.offsetDelta;
    const isTombstone = cursor.valueStart < 0;
    if (offset <= map.latestOffset && !isKept(cursor, offset, map, isTombstone && isPastHorizon)) {
      removedOffsets.push(offset);
      continue;
    }
    keptCount += 1;
    hasTombstones ||= isTombstone;
  }
  return { removedOffsets, hasTombstones, keptCount };
}

function isKept(
  cursor: RecordCursor,
  offset: number,
  map: KeyOffsetMap,
  isDueTombstone: boolean,
): boolean {
  const key = cursor.key();
  return key !== null && !isDueTombstone && offset >= map.offsetOf(key);
}

function isEmptyKept(
  { baseOffset, lastOffsetDelta, producerId }: BatchHeader,
  { endOffset, producerOffsets }: FilterOptions,
): boolean {
  const lastOffset = baseOffset + lastOffsetDelta;
  if (lastOffset + 1 === endOffset) return true;
  return producerId > NO_PRODUCER_ID && producerOffsets.get(producerId) === lastOffset;
}

/** As Kafka's `writeEmptyHeader`: the fields that producers and offsets need. */
function emptyBatch(header: BatchHeader): Uint8Array {
  return encodeBatch({
    ...fieldsOf(header),
    compression: "none",
    hasDeleteHorizon: false,
    baseTimestampMs: NO_TIMESTAMP_MS,
    maxTimestampMs: header.maxTimestampMs,
    records: [],
  });
}

/** As Kafka's `buildRetainedRecordsInto`. */
function batchWithout(
  batch: Uint8Array,
  removedOffsets: readonly number[],
  newHorizonMs: number | undefined,
): Uint8Array {
  const decoded = decodeBatch(batch);
  const removed = new Set(removedOffsets);
  const isAppendTime = decoded.timestampType === "LogAppendTime";
  const records = decoded.records
    .filter(({ offset }) => !removed.has(offset))
    .map((record): CanonicalRecord => {
      const timestampMs = isAppendTime ? decoded.maxTimestampMs : record.timestampMs;
      return { ...record, timestampMs, attributes: 0 };
    });
  const horizonMs =
    newHorizonMs ?? (decoded.hasDeleteHorizon ? decoded.baseTimestampMs : undefined);
  const maxTimestampMs = records.reduce(
    (most, { timestampMs }) => Math.max(most, timestampMs),
    NO_TIMESTAMP_MS,
  );
  return encodeBatch({
    ...decoded,
    unusedAttributes: 0,
    hasDeleteHorizon: horizonMs !== undefined,
    baseTimestampMs: horizonMs ?? records[0]?.timestampMs ?? NO_TIMESTAMP_MS,
    maxTimestampMs,
    records,
  });
}

function fieldsOf(
  header: BatchHeader,
): Omit<
  CanonicalRecordBatch,
  "compression" | "hasDeleteHorizon" | "baseTimestampMs" | "maxTimestampMs" | "records"
> {
  return {
    magic: 2,
    baseOffset: header.baseOffset,
    lastOffsetDelta: header.lastOffsetDelta,
    partitionLeaderEpoch: header.partitionLeaderEpoch,
    timestampType: header.timestampType,
    isTransactional: header.isTransactional,
    isControl: header.isControl,
    unusedAttributes: 0,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
  };
}
