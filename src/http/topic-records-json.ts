/** Records in the answers of `/api`: as a search shows them, with what could not be shown told beside them. */

import type { RecordCursor } from "../protocol/record.ts";
import { sourceOf } from "../search/hit-source.ts";
import { createSourceFilter } from "../search/source-filter.ts";
import type { SkippedBatch } from "./topic-records-walk.ts";

/** A record that is larger is shown without its content. */
export const RECORD_BYTES_MAX = 4 * 1024 * 1024;
/** A larger record's key is shown if it is no longer than this. */
const KEY_BYTES_MAX = 64 * 1024;
const SOURCE_FILTER = createSourceFilter(undefined);

/** Where a record is. */
export interface ShownPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
}

/** The record at `cursor`. Walks its headers. */
export function recordJsonOf(cursor: RecordCursor, place: ShownPlace): string {
  const { timestampMs, ...rest } = place;
  return JSON.stringify(sourceOf(cursor, { ...rest, topicId: "" }, timestampMs, SOURCE_FILTER));
}

/** A record without its content. */
export function largeRecordJsonOf(
  { topic, partition, offset, timestampMs }: ShownPlace,
  { key, sizeBytes }: { readonly key: Uint8Array | null; readonly sizeBytes: number },
): string {
  const isKeyShown = key !== null && key.length <= KEY_BYTES_MAX;
  const keyPart = isKeyShown ? { key_base64: Buffer.from(key).toString("base64") } : {};
  const content = { key: null, ...keyPart, value: null, headers: [], omitted_bytes: sizeBytes };
  return JSON.stringify({ topic, partition, offset, timestamp: timestampMs, ...content });
}

/** The part of an answer that tells which batches could not be opened. */
export function skippedPart(skipped: readonly SkippedBatch[]): object {
  if (skipped.length === 0) return {};
  return {
    skipped: skipped.map(({ partition, baseOffset, lastOffset, reason }) => ({
      partition,
      first_offset: baseOffset,
      last_offset: lastOffset,
      reason,
    })),
  };
}
