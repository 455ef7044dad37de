/**
 * Reads whole batches of a range out of its segment. A consumer comes back for what follows what it got, so the
 * rest of the last chunk is kept for it: each chunk is read and checked once, and no index is asked again.
 */

import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import { BATCH_HEADER_BYTES, readBatchHeader, verifyBatch } from "../protocol/record-batch.ts";
import type { ArchiveReader } from "./archive-reader.ts";
import type { FoundRange } from "./segment-index.ts";
import {
  offsetOfPosition,
  offsetSince,
  positionOfOffset,
  ROW_BYTES,
  ROW_INTERVAL_BYTES,
} from "./segment-layout.ts";
import { BATCHES_CHUNK_BYTES, BATCHES_NAME, OFFSETS_NAME } from "./segment-writer.ts";

/** Of rows of `offsets.bin` that are kept. */
const ROWS_CACHE_BYTES = 4 * 1024 * 1024;
/** Consumers whose rest is kept; each takes a chunk at most. */
const RESTS_MAX = 32;
const NO_BYTES = new Uint8Array(0);

/** A read takes the chunks as they are stored beside what is in them, and a part of a chunk at both ends. */
export const READ_OVERHEAD_BYTES = 4 * BATCHES_CHUNK_BYTES;

/** Bytes of `batches.log` from `position` on, which begins with a batch. */
interface Stretch {
  readonly position: number;
  readonly bytes: Uint8Array;
}

/** Keeps rows and rests; the files are the caller's. */
export class RangeReader {
  readonly #rows = new Map<string, Uint8Array>();
  #rowsBytes = 0;
  /** By range and next offset, the latest last. */
  readonly #rests = new Map<string, Stretch>();

  /** An offset at or before the first record that reaches `timestampMs`. */
  async startSince(
    range: FoundRange,
    archive: ArchiveReader,
    timestampMs: number,
  ): Promise<number> {
    if (range.rowCount === 0) return range.startOffset;
    return offsetSince(await this.#rowsOf(range, archive), timestampMs) ?? range.startOffset;
  }

  /** The base offset of a batch before which at most `sizeBytes` of the range lie. */
  async offsetBehindBytes(
    range: FoundRange,
    archive: ArchiveReader,
    sizeBytes: number,
  ): Promise<number> {
    if (range.rowCount === 0) return range.startOffset;
    return offsetOfPosition(await this.#rowsOf(range, archive), range.position + sizeBytes);
  }

  /** Whole batches from the one that holds `offset`, or the next, at most `maxBytes` but one at least; 0 is one. */
  async read(
    range: FoundRange,
    archive: ArchiveReader,
    { offset, maxBytes }: { readonly offset: number; readonly maxBytes: number },
  ): Promise<Uint8Array> {
    const end = range.position + range.sizeBytes;
    let stretch = await this.#begin(range, archive, { offset, maxBytes });
    let start = 0;
    for (;;) {
      stretch = await extended(archive, stretch, { toBytes: start + BATCH_HEADER_BYTES, end });
      const header = readBatchHeader(stretch.bytes, start);
      if (header.baseOffset + header.lastOffsetDelta >= offset) {
        // One batch may be larger than what was asked for.
        stretch = await extended(archive, stretch, { toBytes: start + header.sizeBytes, end });
        break;
      }
      start += header.sizeBytes;
      if (stretch.position + start >= end) return NO_BYTES;
    }
    const { bytes, position } = stretch;
    const whole = wholeBatches(bytes, start, maxBytes);
    if (maxBytes > 0) {
      this.#keepRest(range, whole.nextOffset, {
        position: position + whole.end,
        bytes: bytes.subarray(whole.end),
      });
    }
    return bytes.subarray(start, whole.end);
  }

  async #begin(
    range: FoundRange,
    archive: ArchiveReader,
    { offset, maxBytes }: { readonly offset: number; readonly maxBytes: number },
  ): Promise<Stretch> {
    const end = range.position + range.sizeBytes;
    const key = restKeyOf(range, offset);
    const rest = this.#rests.get(key);
    if (rest !== undefined) {
      this.#rests.delete(key);
      return await extended(archive, rest, { toBytes: maxBytes, end });
    }
    const isInside = range.rowCount > 0 && offset > range.startOffset;
    const position = isInside
      ? positionOfOffset(await this.#rowsOf(range, archive), offset)
      : range.position;
    // Whoever wants one batch gets the chunks that hold it, no more.
    const toBytes = maxBytes + (isInside && maxBytes > 0 ? ROW_INTERVAL_BYTES : 0);
    return await extended(archive, { position, bytes: NO_BYTES }, { toBytes, end });
  }

  #keepRest(range: FoundRange, nextOffset: number, { position, bytes }: Stretch): void {
    if (bytes.length === 0 || bytes.length > BATCHES_CHUNK_BYTES) return;
    // A view would keep all that was read.
    this.#rests.set(restKeyOf(range, nextOffset), { position, bytes: bytes.slice() });
    if (this.#rests.size <= RESTS_MAX) return;
    const [oldest] = this.#rests.keys();
    if (oldest !== undefined) this.#rests.delete(oldest);
  }

  async #rowsOf(range: FoundRange, archive: ArchiveReader): Promise<Uint8Array> {
    const key = keyOf(range);
    const { rowStart, rowCount } = range;
    const rows =
      this.#rows.get(key) ??
      (await archive.read(OFFSETS_NAME, rowStart * ROW_BYTES, rowCount * ROW_BYTES));
    if (!this.#rows.delete(key)) this.#rowsBytes += rows.length;
    this.#rows.set(key, rows);
    for (const [oldKey, old] of this.#rows) {
      if (this.#rowsBytes <= ROWS_CACHE_BYTES || oldKey === key) break;
      this.#rows.delete(oldKey);
      this.#rowsBytes -= old.length;
    }
    return rows;
  }
}

function keyOf({ segmentId, topicId, partition }: FoundRange): string {
  return `${segmentId}/${topicId}/${partition}`;
}

function restKeyOf(range: FoundRange, offset: number): string {
  return `${keyOf(range)}/${offset}`;
}

/** The stretch with at least `toBytes` bytes, if there are so many before `end`; read on to the end of a chunk. */
async function extended(
  archive: ArchiveReader,
  { position, bytes }: Stretch,
  { toBytes, end }: { readonly toBytes: number; readonly end: number },
): Promise<Stretch> {
  const from = position + bytes.length;
  if (bytes.length >= toBytes || from >= end) return { position, bytes };
  const chunkEnd = Math.ceil((position + toBytes) / BATCHES_CHUNK_BYTES) * BATCHES_CHUNK_BYTES;
  const more = await archive.read(BATCHES_NAME, from, Math.min(end, chunkEnd) - from);
  if (bytes.length === 0) return { position, bytes: more };
  const joined = uninitializedBytes(bytes.length + more.length);
  joined.set(bytes);
  joined.set(more, bytes.length);
  return { position, bytes: joined };
}

/** The whole batches from `start` on within `maxBytes`, one at least; every CRC is checked. */
function wholeBatches(
  bytes: Uint8Array,
  start: number,
  maxBytes: number,
): { readonly end: number; readonly nextOffset: number } {
  let end = start;
  let nextOffset = 0;
  while (end + BATCH_HEADER_BYTES <= bytes.length) {
    const { sizeBytes, baseOffset, lastOffsetDelta } = readBatchHeader(bytes, end);
    const isOver = end > start && end + sizeBytes - start > maxBytes;
    if (end + sizeBytes > bytes.length || isOver) break;
    verifyBatch(bytes, end, end + sizeBytes);
    end += sizeBytes;
    nextOffset = baseOffset + lastOffsetDelta + 1;
  }
  return { end, nextOffset };
}
