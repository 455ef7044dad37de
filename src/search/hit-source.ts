/**
 * Hits read back from stored batches: their `_source` as JSON, and what is highlighted of them.
 *
 *   { topic, partition, offset, timestamp (ms), key, value, headers: [{ key, value }, …] }
 *
 * Keys and values are text, or null as they were sent. Bytes that are not UTF-8 are shown as replacement
 * characters, and exactly in `key_base64`, `value_base64` and a header's `value_base64` beside it.
 */

import type { ShimQuery } from "../core/shim-query.ts";
import { RecordCursor } from "../protocol/record.ts";
import { recordsOf } from "./document.ts";
import { highlightsOf } from "./highlight.ts";
import type { Highlight } from "./highlight-request.ts";
import { responseTooLarge } from "./search-response.ts";
import type { ReadBatch, RecordPlace } from "./searcher-messages.ts";
import type { SourceFilter } from "./source-filter.ts";

const LOSSY = new TextDecoder("utf-8", { ignoreBOM: true });
const REPLACEMENT = "\ufffd";

/** What is known of a hit before it is read back. */
export interface HitPlace extends RecordPlace {
  readonly topic: string;
}

/** A record that is to be read back. */
export interface WantedHit {
  readonly place: HitPlace;
  readonly sourceFilter: SourceFilter;
  /** What is highlighted, and where it was found by. */
  readonly highlight?: { readonly rules: Highlight; readonly query: ShimQuery } | undefined;
}

/** What was read of it. */
export interface ReadHit {
  /** Undefined where none is wanted. */
  readonly sourceJson: string | undefined;
  readonly highlightJson: string | undefined;
}

/** A record, its headers walked. */
interface HitRecord {
  readonly timestampMs: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  readonly headers: readonly { readonly key: string; readonly value: Uint8Array | null }[];
}

/** Gathers the hits of one search. */
export class HitReader {
  /** By partition, then by offset: what is looked up for every record of a batch is a number. */
  readonly #wanted = new Map<string, Map<number, WantedHit[]>>();
  readonly #read = new Map<WantedHit, ReadHit>();
  readonly #lengthMax: number;
  #length = 0;

  /** @param lengthMax characters of all sources and highlights together */
  constructor(wanted: readonly WantedHit[], lengthMax: number) {
    this.#lengthMax = lengthMax;
    for (const hit of wanted) {
      const key = partitionKeyOf(hit.place);
      const offsets = this.#wanted.get(key) ?? new Map<number, WantedHit[]>();
      this.#wanted.set(key, offsets);
      const others = offsets.get(hit.place.offset);
      if (others === undefined) offsets.set(hit.place.offset, [hit]);
      else others.push(hit);
    }
  }

  /** The places of all of them, each once; those that lie together follow one another. */
  places(): RecordPlace[] {
    return [...this.#wanted.values()]
      .flatMap((offsets) => [...offsets.values()])
      .flatMap(([hit]) => (hit === undefined ? [] : [hit.place]))
      .map(({ topicId, partition, offset }) => ({ topicId, partition, offset }))
      .sort(byPlace);
  }

  /** What was read; undefined if there is no such record any more. */
  read(hit: WantedHit): ReadHit | undefined {
    return this.#read.get(hit);
  }

  /** Takes the wanted records out of `batches`. @throws SearchError 400 if there is too much, KafkaError */
  add(batches: readonly ReadBatch[]): void {
    for (const batch of batches) {
      const offsets = this.#wanted.get(partitionKeyOf(batch));
      if (offsets === undefined) continue;
      const { header, records, start, end } = recordsOf(batch.bytes);
      const cursor = new RecordCursor(records, header.recordCount, start, end);
      while (cursor.next()) {
        const wanted = offsets.get(header.baseOffset + cursor.offsetDelta);
        if (wanted === undefined) continue;
        const isAppendTime = header.timestampType === "LogAppendTime";
        const timestampMs = isAppendTime
          ? header.maxTimestampMs
          : header.baseTimestampMs + cursor.timestampDelta;
        const record = recordOf(cursor, timestampMs);
        for (const hit of wanted) this.#keep(hit, record);
      }
    }
  }

  #keep(hit: WantedHit, record: HitRecord): void {
    const { sourceFilter, highlight, place } = hit;
    const sourceJson =
      sourceFilter === undefined
        ? undefined
        : JSON.stringify(shownParts(record, place, sourceFilter));
    const highlights = highlight && highlightsOf(textsOf(record), highlight.rules, highlight.query);
    const isHighlighted = highlights !== undefined && Object.keys(highlights).length > 0;
    const highlightJson = isHighlighted ? JSON.stringify(highlights) : undefined;
    this.#length += (sourceJson?.length ?? 0) + (highlightJson?.length ?? 0);
    if (this.#length > this.#lengthMax) throw responseTooLarge(this.#lengthMax);
    this.#read.set(hit, { sourceJson, highlightJson });
  }
}

function partitionKeyOf({ topicId, partition }: Omit<RecordPlace, "offset">): string {
  return `${topicId}/${partition}`;
}

function byPlace(left: RecordPlace, right: RecordPlace): number {
  if (left.topicId !== right.topicId) return left.topicId < right.topicId ? -1 : 1;
  return left.partition - right.partition || left.offset - right.offset;
}

/** Walks the headers of the record that the cursor is at. */
function recordOf(cursor: RecordCursor, timestampMs: number): HitRecord {
  const headers: HitRecord["headers"][number][] = [];
  while (cursor.nextHeader()) {
    headers.push({ key: LOSSY.decode(cursor.headerKey()), value: cursor.headerValue() });
  }
  return { timestampMs, key: cursor.key(), value: cursor.value(), headers };
}

/** The shown parts of the record at `cursor`. Walks its headers. */
export function sourceOf(
  cursor: RecordCursor,
  place: HitPlace,
  timestampMs: number,
  filter: SourceFilter,
): object {
  return filter === undefined ? {} : shownParts(recordOf(cursor, timestampMs), place, filter);
}

function shownParts(
  record: HitRecord,
  place: HitPlace,
  filter: ReadonlySet<string>,
): Record<string, unknown> {
  const source: Record<string, unknown> = {};
  if (filter.has("topic")) source["topic"] = place.topic;
  if (filter.has("partition")) source["partition"] = place.partition;
  if (filter.has("offset")) source["offset"] = place.offset;
  if (filter.has("timestamp")) source["timestamp"] = record.timestampMs;
  if (filter.has("key")) setText(source, "key", record.key);
  if (filter.has("value")) setText(source, "value", record.value);
  if (filter.has("headers")) {
    source["headers"] = record.headers.map(({ key, value }) => {
      const header: Record<string, unknown> = { key };
      setText(header, "value", value);
      return header;
    });
  }
  return source;
}

function textsOf(record: HitRecord) {
  const textOf = (bytes: Uint8Array | null) => (bytes === null ? [] : [LOSSY.decode(bytes)]);
  return {
    _key: textOf(record.key),
    _value: textOf(record.value),
    _headers: record.headers.map(({ key, value }) =>
      value === null ? key : `${key}: ${LOSSY.decode(value)}`,
    ),
  };
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
