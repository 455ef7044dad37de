/**
 * How `consume` shows a record: by a format string (the letters are kcat's) or as JSON.
 *
 *   %s %S  value, its length     %k %K  key, its length     %h  headers: name=value,…
 *   %t %p %o  topic, partition, offset     %T %D  timestamp in ms, as a date     %%  a percent sign
 *   \n \r \t \0 \\ \xHH  one byte
 *
 * Keys and values are the bytes as they are. A null one is empty, and has length -1.
 */

import type { RecordCursor } from "../protocol/record.ts";
import { sourceOf } from "../search/hit-source.ts";
import { createSourceFilter } from "../search/source-filter.ts";
import { UsageError } from "./arguments.ts";

/** Where a record stands. */
export interface RecordPlace {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
}

/**
 * Adds to `parts` what to print for the record at `cursor`, whose headers have not been walked. Some are views of
 * the cursor's bytes.
 */
export type RecordFormat = (cursor: RecordCursor, place: RecordPlace, parts: Uint8Array[]) => void;

type Piece = (cursor: RecordCursor, place: RecordPlace) => Uint8Array | string;

export const FORMAT_DEFAULT = "%s\\n";

const PIECES: Readonly<Record<string, Piece>> = {
  s: (cursor) => cursor.value() ?? "",
  S: (cursor) => String(cursor.value()?.length ?? -1),
  k: (cursor) => cursor.key() ?? "",
  K: (cursor) => String(cursor.key()?.length ?? -1),
  h: headersOf,
  t: (_, { topic }) => topic,
  p: (_, { partition }) => String(partition),
  o: (_, { offset }) => String(offset),
  T: (_, { timestampMs }) => String(timestampMs),
  D: (_, { timestampMs }) => dateText(timestampMs),
  "%": () => "%",
};

const ESCAPES: Readonly<Record<string, number>> = { n: 10, r: 13, t: 9, "0": 0, "\\": 92 };
const DATE_MS_MAX = 8.64e15;
const SOURCE_FILTER = createSourceFilter(undefined);

/** One object a line, as a search shows records. */
export const jsonFormat: RecordFormat = (cursor, place, parts) => {
  const { topic, partition, offset, timestampMs } = place;
  const source = sourceOf(
    cursor,
    { topicId: "", topic, partition, offset },
    timestampMs,
    SOURCE_FILTER,
  );
  parts.push(Buffer.from(`${JSON.stringify(source)}\n`));
};

/** @throws UsageError */
export function recordFormatOf(format: string): RecordFormat {
  const pieces = [...piecesOf(format)];
  return (cursor, place, parts) => {
    for (const piece of pieces) {
      const part = typeof piece === "function" ? piece(cursor, place) : piece;
      if (part.length > 0) parts.push(typeof part === "string" ? Buffer.from(part) : part);
    }
  };
}

function* piecesOf(format: string): Generator<Piece | Uint8Array> {
  const parts = format.matchAll(/%(.?)|\\x([0-9A-Fa-f]{2})|\\(.?)|[^%\\]+/gsu);
  for (const [text, letter, hex, escaped] of parts) {
    if (letter !== undefined) {
      const piece = Object.hasOwn(PIECES, letter) ? PIECES[letter] : undefined;
      if (piece === undefined) throw new UsageError(`--format does not know "${text}".`);
      yield piece;
    } else if (hex !== undefined) {
      yield Uint8Array.of(Number.parseInt(hex, 16));
    } else if (escaped !== undefined) {
      const byte = Object.hasOwn(ESCAPES, escaped) ? ESCAPES[escaped] : undefined;
      if (byte === undefined) throw new UsageError(`--format does not know "${text}".`);
      yield Uint8Array.of(byte);
    } else {
      yield Buffer.from(text);
    }
  }
}

/** ISO 8601 in UTC; a time beyond what dates can be, as its number. */
export function dateText(timestampMs: number): string {
  if (!(Math.abs(timestampMs) <= DATE_MS_MAX)) return String(timestampMs);
  return new Date(timestampMs).toISOString();
}

function headersOf(cursor: RecordCursor): Uint8Array {
  const parts: Uint8Array[] = [];
  while (cursor.nextHeader()) {
    if (parts.length > 0) parts.push(Buffer.from(","));
    parts.push(cursor.headerKey(), Buffer.from("="), cursor.headerValue() ?? Buffer.alloc(0));
  }
  return Buffer.concat(parts);
}
