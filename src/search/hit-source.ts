/**
 * `_source` of hits: records read back from stored batches and shown as JSON.
 *
 *   { topic, partition, offset, timestamp (ms), key, value, headers: [{ key, value }, …] }
 *
 * Keys and values are text, or null as they were sent. Bytes that are not UTF-8 are shown as replacement
 * characters, and exactly in `key_base64`, `value_base64` and a header's `value_base64` beside it.
 */

import { RecordCursor } from "../protocol/record.ts";
import { recordsOf } from "./document.ts";
import { responseTooLarge } from "./search-response.ts";
import type { ReadBatch, RecordPlace } from "./searcher-messages.ts";
import type { SourceFilter } from "./source-filter.ts";

const LOSSY = new TextDecoder("utf-8", { ignoreBOM: true });
const REPLACEMENT = "\ufffd";

/** What is known of a hit before it is read back. */
export interface HitPlace extends RecordPlace {
  readonly topic: string;
}

/** The key under which `SourceCollector` files a record. */
export function placeKeyOf({ topicId, partition, offset }: RecordPlace): string {
  return `${topicId}/${partition}/${offset}`;
}

/** Gathers the sources of one search. */
export class SourceCollector {
  /** JSON by `placeKeyOf`. */
  readonly sources = new Map<string, string>();
  readonly #wanted: ReadonlyMap<string, HitPlace>;
  readonly #filter: SourceFilter;
  readonly #lengthMax: number;
  #length = 0;

  /** @param lengthMax characters of all sources together */
  constructor(
    hits: readonly HitPlace[],
    options: { readonly filter: SourceFilter; readonly lengthMax: number },
  ) {
    this.#wanted = new Map(hits.map((hit) => [placeKeyOf(hit), hit]));
    this.#filter = options.filter;
    this.#lengthMax = options.lengthMax;
  }

  /** Takes the wanted records out of `batches`. @throws SearchError 400 if there is too much, KafkaError */
  add(batches: readonly ReadBatch[]): void {
    for (const { topicId, partition, bytes } of batches) {
      const { header, records, start, end } = recordsOf(bytes);
      const cursor = new RecordCursor(records, header.recordCount, start, end);
      while (cursor.next()) {
        const offset = header.baseOffset + cursor.offsetDelta;
        const key = placeKeyOf({ topicId, partition, offset });
        const place = this.#wanted.get(key);
        if (place === undefined) continue;
        const isAppendTime = header.timestampType === "LogAppendTime";
        const timestampMs = isAppendTime
          ? header.maxTimestampMs
          : header.baseTimestampMs + cursor.timestampDelta;
        const json = JSON.stringify(sourceOf(cursor, place, timestampMs, this.#filter));
        this.#length += json.length;
        if (this.#length > this.#lengthMax) throw responseTooLarge(this.#lengthMax);
        this.sources.set(key, json);
      }
    }
  }
}

/** The shown parts of the record at `cursor`. Walks its headers. */
export function sourceOf(
  cursor: RecordCursor,
  place: HitPlace,
  timestampMs: number,
  filter: SourceFilter,
): object {
  const source: Record<string, unknown> = {};
  if (filter?.has("topic")) source["topic"] = place.topic;
  if (filter?.has("partition")) source["partition"] = place.partition;
  if (filter?.has("offset")) source["offset"] = place.offset;
  if (filter?.has("timestamp")) source["timestamp"] = timestampMs;
  if (filter?.has("key")) setText(source, "key", cursor.key());
  if (filter?.has("value")) setText(source, "value", cursor.value());
  if (filter?.has("headers")) source["headers"] = headersOf(cursor);
  return source;
}

function headersOf(cursor: RecordCursor): object[] {
  const headers: object[] = [];
  while (cursor.nextHeader()) {
    const header: Record<string, unknown> = { key: LOSSY.decode(cursor.headerKey()) };
    setText(header, "value", cursor.headerValue());
    headers.push(header);
  }
  return headers;
}

function setText(target: Record<string, unknown>, name: string, bytes: Uint8Array | null): void {
  const text = bytes === null ? null : LOSSY.decode(bytes);
  target[name] = text;
  // The text may hold the character itself: then it was UTF-8 all the same.
  if (bytes !== null && text?.includes(REPLACEMENT) && !isUtf8(bytes)) {
    target[`${name}_base64`] = Buffer.from(bytes).toString("base64");
  }
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return true;
  } catch {
    return false;
  }
}
