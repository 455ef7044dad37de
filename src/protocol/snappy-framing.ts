/**
 * The framing that snappy-java puts around Snappy blocks, and with it Kafka's Java client:
 *
 *   82 'S' 'N' 'A' 'P' 'P' 'Y' 00 | version i32 | lowest compatible version i32 | each: blockBytes i32 | block
 *
 * Other clients send one bare block. Concatenated streams may repeat the header between blocks.
 */

import { snappyCompress, snappyDecompress } from "../core/native.ts";
import { readInt32At, writeInt32At } from "./big-endian.ts";
import { ErrorCode, KafkaError } from "./errors.ts";

const MAGIC = Uint8Array.of(0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0x00);
const HEADER_BYTES = 16;
const LENGTH_BYTES = 4;
const VERSION = 1;
/** What snappy-java cuts its input into. */
const BLOCK_CONTENT_BYTES = 32 * 1024;

/** True if `bytes` begin as snappy-java's framing does. */
export function hasSnappyFraming(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && MAGIC.every((byte, index) => bytes[index] === byte);
}

/**
 * The content of framed blocks.
 * @throws KafkaError INVALID_RECORD if a block's length does not fit; NativeError if a block is corrupt or the
 *   content exceeds `limitBytes`.
 */
export function unframeSnappy(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const blocks: Uint8Array[] = [];
  let contentBytes = 0;
  let position = 0;
  while (position < bytes.length) {
    if (hasSnappyFraming(bytes.subarray(position, position + HEADER_BYTES))) {
      position += HEADER_BYTES;
      continue;
    }
    const blockBytes = position + LENGTH_BYTES > bytes.length ? -1 : readInt32At(bytes, position);
    const end = position + LENGTH_BYTES + blockBytes;
    if (blockBytes < 0 || end > bytes.length) {
      throw new KafkaError(ErrorCode.invalidRecord, "A Snappy block does not fit its stream.");
    }
    const block = bytes.subarray(position + LENGTH_BYTES, end);
    const content = snappyDecompress(block, limitBytes - contentBytes);
    contentBytes += content.length;
    blocks.push(content);
    position = end;
  }
  return concatenate(blocks, contentBytes);
}

/** `bytes` as framed blocks of 32 KiB. */
export function frameSnappy(bytes: Uint8Array): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES);
  header.set(MAGIC);
  writeInt32At(header, MAGIC.length, VERSION);
  writeInt32At(header, MAGIC.length + 4, VERSION);
  const parts: Uint8Array[] = [header];
  let sizeBytes = HEADER_BYTES;
  for (let start = 0; start < bytes.length; start += BLOCK_CONTENT_BYTES) {
    const block = snappyCompress(bytes.subarray(start, start + BLOCK_CONTENT_BYTES));
    const length = new Uint8Array(LENGTH_BYTES);
    writeInt32At(length, 0, block.length);
    parts.push(length, block);
    sizeBytes += LENGTH_BYTES + block.length;
  }
  return concatenate(parts, sizeBytes);
}

function concatenate(parts: readonly Uint8Array[], sizeBytes: number): Uint8Array {
  const only = parts[0];
  if (parts.length === 1 && only !== undefined) return only;
  const whole = new Uint8Array(sizeBytes);
  let position = 0;
  for (const part of parts) {
    whole.set(part, position);
    position += part.length;
  }
  return whole;
}
