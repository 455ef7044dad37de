/**
 * Cursors of topic reads: opaque text for clients, which only give them back. Bytes in base64url:
 *
 *   kind u8 | topic id 16 bytes | count varint | each: partition (less the one before) varint, offset varint
 *   then, for a table: time in ms varint | the last key
 *
 * Varints are unsigned, base 128, of numbers below 2^53. The kind also tells the version.
 */

import { setUuid, UUID_BYTES, uuidOf } from "../protocol/uuid.ts";
import { argumentError } from "../search/elasticsearch-error.ts";

const RECORDS_KIND = 1;
const TABLE_KIND = 2;
const NO_KEY = new Uint8Array(0);

/** Where a page of records ended: the next offset of each partition. */
export interface RecordsCursor {
  readonly topicId: string;
  readonly positions: ReadonlyMap<number, number>;
}

/** Which table is being paged, and up to which key. */
export interface TableCursor {
  readonly topicId: string;
  /** Exclusive: what the table was made of. */
  readonly endOffsets: ReadonlyMap<number, number>;
  readonly atMs: number;
  readonly afterKey: Uint8Array;
}

export function encodeRecordsCursor({ topicId, positions }: RecordsCursor): string {
  return encoded(RECORDS_KIND, topicId, positions, NO_KEY);
}

/** @throws SearchError 400 */
export function decodeRecordsCursor(text: string): RecordsCursor {
  const { topicId, offsets } = decoded(RECORDS_KIND, text);
  return { topicId, positions: offsets };
}

export function encodeTableCursor(cursor: TableCursor): string {
  const { topicId, endOffsets, atMs, afterKey } = cursor;
  const tail: number[] = [];
  pushVarint(tail, atMs);
  return encoded(TABLE_KIND, topicId, endOffsets, Buffer.concat([Uint8Array.from(tail), afterKey]));
}

/** @throws SearchError 400 */
export function decodeTableCursor(text: string): TableCursor {
  const { topicId, offsets, tail } = decoded(TABLE_KIND, text);
  return { topicId, endOffsets: offsets, atMs: tail.varint(), afterKey: tail.rest() };
}

function encoded(
  kind: number,
  topicId: string,
  offsets: ReadonlyMap<number, number>,
  tail: Uint8Array,
): string {
  const numbers: number[] = [];
  pushVarint(numbers, offsets.size);
  let previous = 0;
  for (const [partition, offset] of [...offsets].sort(([left], [right]) => left - right)) {
    pushVarint(numbers, partition - previous);
    pushVarint(numbers, offset);
    previous = partition;
  }
  const head = new Uint8Array(1 + UUID_BYTES);
  head[0] = kind;
  setUuid(head, 1, topicId);
  return Buffer.concat([head, Uint8Array.from(numbers), tail]).toString("base64url");
}

function decoded(kind: number, text: string) {
  if (!/^[A-Za-z0-9_-]+$/.test(text)) throw badCursor();
  const bytes = Buffer.from(text, "base64url");
  if (bytes[0] !== kind || bytes.length < 1 + UUID_BYTES) throw badCursor();
  const tail = new CursorReader(bytes.subarray(1 + UUID_BYTES));
  const offsets = new Map<number, number>();
  let partition = 0;
  for (let left = tail.varint(); left > 0; left -= 1) {
    partition += tail.varint();
    offsets.set(partition, tail.varint());
  }
  return { topicId: uuidOf(bytes, 1), offsets, tail };
}

class CursorReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes[this.#position];
      if (byte === undefined) throw badCursor();
      this.#position += 1;
      value += (byte & 0x7f) * factor;
      if (!Number.isSafeInteger(value)) throw badCursor();
      if (byte < 0x80) return value;
    }
  }

  rest(): Uint8Array {
    return this.#bytes.subarray(this.#position);
  }
}

function pushVarint(target: number[], value: number): void {
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) target.push((rest % 128) | 0x80);
  target.push(rest);
}

function badCursor(): Error {
  return argumentError("[cursor] is none that this path has given");
}
