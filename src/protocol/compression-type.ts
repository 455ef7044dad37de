/** The codecs of a record batch, as its attributes name them (bits 0–2). */

import { ErrorCode, KafkaError } from "./errors.ts";

export type CompressionType = "none" | "gzip" | "snappy" | "lz4" | "zstd";

/** A codec's place is its number in the attributes. */
export const COMPRESSION_TYPES: readonly CompressionType[] = [
  "none",
  "gzip",
  "snappy",
  "lz4",
  "zstd",
];

const COMPRESSION_MASK = 0x07;

/** @throws KafkaError UNSUPPORTED_COMPRESSION_TYPE for the numbers that name no codec. */
export function compressionTypeOf(attributes: number): CompressionType {
  const compression = COMPRESSION_TYPES[attributes & COMPRESSION_MASK];
  if (compression === undefined) {
    throw new KafkaError(
      ErrorCode.unsupportedCompressionType,
      `The compression type ${attributes & COMPRESSION_MASK} is unknown.`,
    );
  }
  return compression;
}
