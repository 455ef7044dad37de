/** One page of a topic's records as JSON: what `GET /api/topics/{topic}/records` answers with. */

import type { Clock } from "../core/clock.ts";
import { encodeRecordsCursor } from "./topic-records-cursor.ts";
import {
  largeRecordJsonOf,
  RECORD_BYTES_MAX,
  recordJsonOf,
  skippedPart,
} from "./topic-records-json.ts";
import { type MergedRecord, RecordMerge } from "./topic-records-merge.ts";
import {
  type ReadBatches,
  SKIPPED_MAX,
  type SkippedBatch,
  type WalkRange,
} from "./topic-records-walk.ts";

/** A page to be made. */
export interface RecordsJob {
  readonly topic: string;
  readonly topicId: string;
  readonly ranges: readonly WalkRange[];
  /** Records at most. */
  readonly limit: number;
}

export interface PageLimits {
  /** Characters of the records' JSON; the first record is there even if it is longer. */
  readonly lengthMax: number;
  /** Memory for what is being merged, about. */
  readonly heldBytesMax: number;
  /** A batch that is larger than this when it is decompressed is not looked into. */
  readonly contentBytesMax: number;
  /** A page that takes longer ends behind the record at hand. */
  readonly elapsedMsMax: number;
}

/** The answer's body. @throws KafkaError if the log cannot be read */
export async function pageOfRecords(
  { topic, topicId, ranges, limit }: RecordsJob,
  read: ReadBatches,
  { lengthMax, elapsedMsMax, clock, ...memory }: PageLimits & { readonly clock: Clock },
): Promise<Uint8Array> {
  const skipped: SkippedBatch[] = [];
  const onSkipped = (batch: SkippedBatch): void => {
    if (skipped.length < SKIPPED_MAX) skipped.push(batch);
  };
  const deadlineMs = clock.monotonicMs() + elapsedMsMax;
  const merge = await RecordMerge.start(ranges, { ...memory, read, onSkipped });
  const records: string[] = [];
  let length = 0;
  let next = await merge.peek();
  while (next !== undefined && records.length < limit) {
    const json = recordJson(topic, next);
    const isOver = length + json.length > lengthMax || clock.monotonicMs() > deadlineMs;
    if (isOver && records.length > 0) break;
    records.push(json);
    length += json.length;
    await merge.skip();
    next = await merge.peek();
  }
  const cursor = encodeRecordsCursor({ topicId, positions: merge.positions() });
  const tail = JSON.stringify({ cursor, at_end: next === undefined, ...skippedPart(skipped) });
  const body = `{"topic":${JSON.stringify(topic)},"records":[${records.join(",")}],${tail.slice(1)}\n`;
  return new TextEncoder().encode(body);
}

function recordJson(topic: string, record: MergedRecord): string {
  const { partition, offset, timestampMs, batch } = record;
  const { cursor } = batch;
  const place = { topic, partition, offset, timestampMs };
  const sizeBytes = cursor.recordEnd - cursor.recordStart;
  if (sizeBytes <= RECORD_BYTES_MAX) return recordJsonOf(cursor, place);
  return largeRecordJsonOf(place, { key: cursor.key(), sizeBytes });
}
