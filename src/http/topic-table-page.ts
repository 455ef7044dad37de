/**
 * One page of a topic's table as JSON: what `GET /api/topics/{topic}/table` answers with. The whole topic is read for
 * each page, up to the asked time, without holding more than the page.
 */

import type { Clock } from "../core/clock.ts";
import { recordsOf } from "../protocol/batch-records.ts";
import { KafkaError } from "../protocol/errors.ts";
import { RecordCursor } from "../protocol/record.ts";
import { type BatchHeader, readBatchHeader } from "../protocol/record-batch.ts";
import { SearchError } from "../search/elasticsearch-error.ts";
import { encodeTableCursor } from "./topic-records-cursor.ts";
import {
  largeRecordJsonOf,
  RECORD_BYTES_MAX,
  recordJsonOf,
  skippedPart,
} from "./topic-records-json.ts";
import {
  type ReadBatches,
  SKIPPED_MAX,
  type SkippedBatch,
  timestampOf,
} from "./topic-records-walk.ts";
import { type FoldedRecord, type FoldLimits, keyTextOf, TableFold } from "./topic-table-fold.ts";

/** What of a partition makes the table. */
export interface TableRange {
  readonly partition: number;
  readonly startOffset: number;
  /** Exclusive. */
  readonly endOffset: number;
}

/** A page to be made. */
export interface TableJob {
  readonly topic: string;
  readonly topicId: string;
  /** In the order of partitions. */
  readonly ranges: readonly TableRange[];
  /** A partition counts up to its first record after this time; undefined: to the end of its range. */
  readonly untilMs: number | undefined;
  /** The time of the table, for the answer. */
  readonly atMs: number;
  /** Only this one. */
  readonly key: Uint8Array | undefined;
  /** Exclusive. */
  readonly afterKey: Uint8Array | undefined;
}

export interface TableLimits extends FoldLimits {
  /** A batch that is larger than this when it is decompressed is not looked into. */
  readonly contentBytesMax: number;
  readonly elapsedMsMax: number;
}

/** Longer keys are left out, but for one that is asked for: a cursor could not hold them. */
const KEY_BYTES_MAX = 1024;
const READ_BYTES_MAX = 1024 * 1024;

/** The answer's body. @throws KafkaError if the log cannot be read, SearchError 504 */
export async function pageOfTable(
  job: TableJob,
  read: ReadBatches,
  { elapsedMsMax, contentBytesMax, clock, ...limits }: TableLimits & { readonly clock: Clock },
): Promise<Uint8Array> {
  const reading = new TableReading(job, new TableFold(limits, job.afterKey), contentBytesMax);
  const deadlineMs = clock.monotonicMs() + elapsedMsMax;
  for (const range of job.ranges) {
    for await (const batch of batchesIn(range, read)) {
      if (!reading.take(range, batch)) break;
      if (clock.monotonicMs() > deadlineMs) throw timeoutError(elapsedMsMax);
    }
  }
  return reading.answer();
}

/** Reads the topic into one page. */
class TableReading {
  readonly #job: TableJob;
  readonly #fold: TableFold;
  readonly #contentBytesMax: number;
  readonly #keyText: string | undefined;
  readonly #skipped: SkippedBatch[] = [];
  /** By partition, exclusive: what makes the table. */
  readonly #endOffsets: Map<number, number>;
  #longKeyCount = 0;

  constructor(job: TableJob, fold: TableFold, contentBytesMax: number) {
    this.#job = job;
    this.#contentBytesMax = contentBytesMax;
    this.#fold = fold;
    this.#keyText = job.key && keyTextOf(job.key);
    this.#endOffsets = new Map(
      job.ranges.map(({ partition, endOffset }) => [partition, endOffset]),
    );
  }

  /** @returns whether the partition's next batch counts, too */
  take(range: TableRange, batch: Uint8Array): boolean {
    const header = readBatchHeader(batch, 0);
    if (header.isControl) return true;
    try {
      return this.#takeRecords(range, header, recordsOf(batch, 0, header, this.#contentBytesMax));
    } catch (thrown) {
      if (!(thrown instanceof KafkaError)) throw thrown;
      const { baseOffset, lastOffsetDelta } = header;
      const lastOffset = baseOffset + lastOffsetDelta;
      const { partition } = range;
      if (this.#skipped.length < SKIPPED_MAX) {
        this.#skipped.push({ partition, baseOffset, lastOffset, reason: thrown.message });
      }
      return true;
    }
  }

  answer(): Uint8Array {
    const { topic, topicId, atMs } = this.#job;
    const { records, boundKey } = this.#fold.page();
    const shown = records.map(([key, record]) => foldedJson(topic, key, record));
    const cursor =
      boundKey === undefined
        ? null
        : encodeTableCursor({ topicId, endOffsets: this.#endOffsets, atMs, afterKey: boundKey });
    const tail = JSON.stringify({
      cursor,
      at_end: cursor === null,
      ...(this.#longKeyCount === 0 ? {} : { long_key_records: this.#longKeyCount }),
      ...skippedPart(this.#skipped),
    });
    const head = `{"topic":${JSON.stringify(topic)},"at":${atMs}`;
    const body = `${head},"records":[${shown.join(",")}],${tail.slice(1)}\n`;
    return new TextEncoder().encode(body);
  }

  #takeRecords(range: TableRange, header: BatchHeader, cursor: RecordCursor): boolean {
    const { partition, startOffset, endOffset } = range;
    const { untilMs } = this.#job;
    while (cursor.next()) {
      const offset = header.baseOffset + cursor.offsetDelta;
      if (offset < startOffset) continue;
      if (offset >= endOffset) return false;
      const timestampMs = timestampOf(header, cursor);
      if (untilMs !== undefined && timestampMs > untilMs) {
        this.#endOffsets.set(partition, offset);
        return false;
      }
      const key = this.#wantedKeyAt(cursor);
      if (key !== undefined) {
        this.#fold.add(key, { partition, offset, timestampMs, stored: storedOf(cursor) });
      }
    }
    return true;
  }

  /** The record's key, if it is looked for. */
  #wantedKeyAt(cursor: RecordCursor): string | undefined {
    const bytes = cursor.key();
    if (bytes === null) return undefined;
    if (this.#keyText === undefined && bytes.length > KEY_BYTES_MAX) {
      this.#longKeyCount += 1;
      return undefined;
    }
    const key = keyTextOf(bytes);
    const isWanted = this.#keyText === undefined ? this.#fold.wants(key) : key === this.#keyText;
    return isWanted ? key : undefined;
  }
}

function storedOf(cursor: RecordCursor): FoldedRecord["stored"] {
  if (cursor.valueStart < 0) return undefined;
  const sizeBytes = cursor.recordEnd - cursor.recordStart;
  if (sizeBytes > RECORD_BYTES_MAX) return sizeBytes;
  return cursor.bytes.slice(cursor.recordStart, cursor.recordEnd);
}

function foldedJson(topic: string, key: Uint8Array, record: FoldedRecord): string {
  const { partition, offset, timestampMs, stored } = record;
  const place = { topic, partition, offset, timestampMs };
  if (!(stored instanceof Uint8Array))
    return largeRecordJsonOf(place, { key, sizeBytes: stored ?? 0 });
  const cursor = new RecordCursor(stored, 1);
  cursor.next();
  return recordJsonOf(cursor, place);
}

/** The partition's batches in order; the next ones are being read while the caller works on these. */
async function* batchesIn(
  { partition, startOffset, endOffset }: TableRange,
  read: ReadBatches,
): AsyncGenerator<Uint8Array> {
  const readFrom = (offset: number): Promise<readonly Uint8Array[]> =>
    offset >= endOffset
      ? Promise.resolve([])
      : read(partition, { offset, endOffset, maxBytes: READ_BYTES_MAX });
  let batches = await readFrom(startOffset);
  for (let last = batches.at(-1); last !== undefined; last = batches.at(-1)) {
    const { baseOffset, lastOffsetDelta } = readBatchHeader(last, 0);
    const following = readFrom(baseOffset + lastOffsetDelta + 1);
    following.catch(() => {}); // Awaited below, unless the caller has had enough.
    yield* batches;
    batches = await following;
  }
}

function timeoutError(elapsedMsMax: number): SearchError {
  const reason = `the table took over ${elapsedMsMax} ms: ask for some of the partitions, or an earlier time`;
  return new SearchError(504, "search_timeout_exception", reason);
}
