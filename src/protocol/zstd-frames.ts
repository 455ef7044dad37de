/**
 * Measures Zstandard frames without decompressing them, so that a bomb or a cut frame is refused first:
 * Bun's `zstdDecompressSync` has no limit, and node:zlib's takes a cut frame for a whole one.
 *
 * Source: RFC 8878, section 3.1.1 (frames, blocks) and 3.1.2 (skippable frames). Little-endian.
 */

import { ErrorCode, KafkaError } from "./errors.ts";

const FRAME_MAGIC = 0xfd2fb528;
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_MAGIC_MASK = 0xfffffff0;
const MAGIC_BYTES = 4;
const CHECKSUM_BYTES = 4;
const BLOCK_HEADER_BYTES = 3;
const BLOCK_CONTENT_BYTES_MAX = 128 * 1024;
const RUN_BLOCK = 1;
const COMPRESSED_BLOCK = 2;

/**
 * The most bytes that the frames in `bytes` can hold, by their own structure or word if that is less.
 * @throws KafkaError INVALID_RECORD unless `bytes` are whole frames.
 */
export function zstdContentBytesMax(bytes: Uint8Array): number {
  let contentBytes = 0;
  let position = 0;
  do {
    const frame = measureFrame(
      new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
      position,
    );
    contentBytes += frame.contentBytesMax;
    position = frame.end;
  } while (position < bytes.length);
  return contentBytes;
}

interface FrameMeasure {
  readonly end: number;
  readonly contentBytesMax: number;
}

function measureFrame(view: DataView, start: number): FrameMeasure {
  needBytes(view, start, MAGIC_BYTES);
  const magic = view.getUint32(start, true);
  if ((magic & SKIPPABLE_MAGIC_MASK) >>> 0 === SKIPPABLE_MAGIC) {
    needBytes(view, start, 2 * MAGIC_BYTES);
    const end = start + 2 * MAGIC_BYTES + view.getUint32(start + MAGIC_BYTES, true);
    needBytes(view, end, 0);
    return { end, contentBytesMax: 0 };
  }
  if (magic !== FRAME_MAGIC) throw malformed();
  const header = readFrameHeader(view, start + MAGIC_BYTES);
  const blocks = measureBlocks(view, header.end);
  const end = blocks.end + (header.hasChecksum ? CHECKSUM_BYTES : 0);
  needBytes(view, end, 0);
  if (header.announcedBytes === undefined) return { end, contentBytesMax: blocks.contentBytesMax };
  if (header.announcedBytes > blocks.contentBytesMax) throw malformed();
  return { end, contentBytesMax: header.announcedBytes };
}

interface FrameHeader {
  readonly end: number;
  readonly announcedBytes: number | undefined;
  readonly hasChecksum: boolean;
}

function readFrameHeader(view: DataView, start: number): FrameHeader {
  needBytes(view, start, 1);
  const descriptor = view.getUint8(start);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const sizeFlag = descriptor >> 6;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeBytes = sizeFlag === 0 ? Number(isSingleSegment) : 1 << sizeFlag;
  const sizeStart = start + 1 + (isSingleSegment ? 0 : 1) + dictionaryBytes;
  needBytes(view, sizeStart, sizeBytes);
  return {
    end: sizeStart + sizeBytes,
    announcedBytes: announcedBytesAt(view, sizeStart, sizeBytes),
    hasChecksum: (descriptor & 4) !== 0,
  };
}

function announcedBytesAt(view: DataView, position: number, sizeBytes: number): number | undefined {
  switch (sizeBytes) {
    case 0:
      return undefined;
    case 1:
      return view.getUint8(position);
    case 2:
      return view.getUint16(position, true) + 256;
    case 4:
      return view.getUint32(position, true);
    default:
      return view.getUint32(position, true) + view.getUint32(position + 4, true) * 2 ** 32;
  }
}

function measureBlocks(view: DataView, start: number): FrameMeasure {
  let position = start;
  let contentBytesMax = 0;
  for (let isLast = false; !isLast; ) {
    needBytes(view, position, BLOCK_HEADER_BYTES);
    const header = view.getUint16(position, true) | (view.getUint8(position + 2) << 16);
    isLast = (header & 1) === 1;
    const kind = (header >> 1) & 3;
    const blockBytes = header >> 3;
    if (kind > COMPRESSED_BLOCK || blockBytes > BLOCK_CONTENT_BYTES_MAX) throw malformed();
    contentBytesMax += kind === COMPRESSED_BLOCK ? BLOCK_CONTENT_BYTES_MAX : blockBytes;
    position += BLOCK_HEADER_BYTES + (kind === RUN_BLOCK ? 1 : blockBytes);
  }
  needBytes(view, position, 0);
  return { end: position, contentBytesMax };
}

function needBytes(view: DataView, position: number, count: number): void {
  if (position + count > view.byteLength) throw malformed();
}

function malformed(): KafkaError {
  return new KafkaError(ErrorCode.invalidRecord, "The zstd content is cut short or malformed.");
}
