/**
 * The codecs of record batches, as Kafka's clients write and read them: gzip members, Snappy in snappy-java's
 * framing or bare, LZ4 frames, Zstandard frames. gzip and zstd are Bun's, LZ4 and Snappy the native library's.
 *
 * Content never exceeds the caller's limit, whatever the bytes announce, and is never allocated by announcement.
 */

import { constants, gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib";
import { assertNever } from "../core/assert.ts";
import { lz4FrameCompress, lz4FrameDecompress, snappyDecompress } from "../core/native.ts";
import type { CompressionType } from "./compression-type.ts";
import { ErrorCode, KafkaError } from "./errors.ts";
import { frameSnappy, hasSnappyFraming, unframeSnappy } from "./snappy-framing.ts";
import { zstdContentBytesMax } from "./zstd-frames.ts";

/** What a caller without a limit of its own allows the records of one batch to become. */
export const DECOMPRESSED_BYTES_LIMIT = 128 * 1024 * 1024;

const ZSTD_LEVEL_DEFAULT = 3;

/**
 * The content of `bytes`: `bytes` themselves for "none", else a new array.
 * @throws KafkaError INVALID_RECORD if they are corrupt or cut, MESSAGE_TOO_LARGE if the content exceeds
 *   `limitBytes`. (Producers split a batch that is too large; they do not retry an invalid one.)
 */
export function decompress(
  compression: CompressionType,
  bytes: Uint8Array,
  limitBytes = DECOMPRESSED_BYTES_LIMIT,
): Uint8Array {
  if (compression === "none") return bytes;
  if (bytes.length === 0) throw corrupt(compression);
  try {
    return contentOf(compression, bytes, limitBytes);
  } catch (thrown) {
    if (thrown instanceof KafkaError) throw thrown;
    if (isLimitError(thrown)) throw tooLarge(limitBytes, thrown);
    throw corrupt(compression, thrown);
  }
}

/**
 * Compresses `bytes`; equal input gives equal output. `level` is the codec's own and only for gzip and zstd.
 * @returns `bytes` themselves for "none".
 */
export function compress(
  compression: CompressionType,
  bytes: Uint8Array,
  level?: number,
): Uint8Array {
  switch (compression) {
    case "none":
      return bytes;
    case "gzip":
      return plain(gzipSync(bytes, { level: level ?? constants.Z_DEFAULT_COMPRESSION }));
    case "snappy":
      return frameSnappy(bytes);
    case "lz4":
      return lz4FrameCompress(bytes);
    case "zstd":
      return plain(Bun.zstdCompressSync(bytes, { level: level ?? ZSTD_LEVEL_DEFAULT }));
    default:
      return assertNever(compression);
  }
}

function contentOf(
  compression: Exclude<CompressionType, "none">,
  bytes: Uint8Array,
  limitBytes: number,
): Uint8Array {
  switch (compression) {
    case "gzip":
      return plain(gunzipSync(bytes, { maxOutputLength: limitBytes }));
    case "snappy":
      return hasSnappyFraming(bytes)
        ? unframeSnappy(bytes, limitBytes)
        : snappyDecompress(bytes, limitBytes);
    case "lz4":
      return lz4FrameDecompress(bytes, limitBytes);
    case "zstd":
      return unzstd(bytes, limitBytes);
    default:
      return assertNever(compression);
  }
}

/** Bun's own function is seven times faster than node:zlib's, but only the latter stops at a limit. */
function unzstd(bytes: Uint8Array, limitBytes: number): Uint8Array {
  if (zstdContentBytesMax(bytes) <= limitBytes) return plain(Bun.zstdDecompressSync(bytes));
  return plain(zstdDecompressSync(bytes, { maxOutputLength: limitBytes }));
}

/** Without `Buffer`'s methods, whose `slice` shares memory. */
function plain(buffer: Uint8Array): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.length);
}

/** node:zlib tells it by code, the native library by its sentence. */
function isLimitError(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  if ("code" in thrown && thrown.code === "ERR_BUFFER_TOO_LARGE") return true;
  return thrown.message.startsWith("The content exceeds the limit");
}

function tooLarge(limitBytes: number, cause: unknown): KafkaError {
  const sentence = `The records exceed ${limitBytes} bytes when decompressed.`;
  return new KafkaError(ErrorCode.messageTooLarge, sentence, { cause });
}

function corrupt(compression: CompressionType, cause?: unknown): KafkaError {
  const sentence = `The records are not valid ${compression}.`;
  return new KafkaError(ErrorCode.invalidRecord, sentence, { cause });
}
