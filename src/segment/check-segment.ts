/** Checks one object of the store against what is registered of it, byte by byte. It reads, and changes nothing. */

import { type Disk, DiskError, type DiskFile } from "../core/disk.ts";
import { BATCH_HEADER_BYTES, readBatchHeader, verifyBatch } from "../protocol/record-batch.ts";
import { ArchiveReader } from "./archive-reader.ts";
import { LocalFileSource } from "./archive-source.ts";
import { BatchesCheck } from "./check-batches.ts";
import { type OnFinding, reasonOf } from "./check-finding.ts";
import { decodeRanges, type SegmentFacts } from "./segment-facts.ts";
import { ROW_BYTES } from "./segment-layout.ts";
import { searchIndexFiles } from "./segment-search-index.ts";
import {
  BATCHES_NAME,
  OFFSETS_NAME,
  RANGES_NAME,
  SEGMENT_FORMAT_VERSION,
  SEGMENT_JSON,
} from "./segment-writer.ts";

/** Read at a time; whole chunks of every size that is written. */
const READ_BYTES = 1024 * 1024;

/** What is wrong with a segment, as the end of a sentence. */
class SegmentFault extends Error {}

/** Checks the object at `path`. What is found is told; nothing is thrown. */
export async function checkSegment(
  disk: Disk,
  path: string,
  { facts, onFinding }: { readonly facts: SegmentFacts; readonly onFinding: OnFinding },
): Promise<void> {
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (thrown) {
    const isMissing = thrown instanceof DiskError && thrown.kind === "missing";
    const reason = isMissing ? "it is registered, but missing" : reasonOf(thrown);
    onFinding({ kind: "fault", path, reason });
    return;
  }
  try {
    const behindBytes = (await file.sizeBytes()) - facts.lengthBytes;
    if (behindBytes > 0) {
      const reason = `${behindBytes} bytes lie behind its end: something was not finished`;
      onFinding({ kind: "note", path, reason });
    }
    if (behindBytes < 0) throw new SegmentFault(`it is ${-behindBytes} bytes too short`);
    const reader = await ArchiveReader.open(new LocalFileSource(file), facts.lengthBytes);
    await checkSmallFiles(reader, facts);
    await checkBatches(reader, facts);
    await checkSearchIndex(reader, facts);
  } catch (thrown) {
    onFinding({ kind: "fault", path, reason: reasonOf(thrown) });
  } finally {
    await file.close();
  }
}

async function checkSmallFiles(reader: ArchiveReader, facts: SegmentFacts): Promise<void> {
  const ranges = decodeRanges(await readWhole(reader, RANGES_NAME));
  if (!Bun.deepEquals(ranges, facts.ranges)) {
    throw new SegmentFault(`${RANGES_NAME} is not what is registered`);
  }
  const json = parsed(await readWhole(reader, SEGMENT_JSON));
  const { segmentId, level, createdMs, startAddress, endAddress } = facts;
  const expected = { segmentId, level, createdMs, startAddress, endAddress };
  for (const [name, value] of Object.entries(expected)) {
    if (json[name] === value) continue;
    throw new SegmentFault(`${SEGMENT_JSON} says ${name} ${String(json[name])}, not ${value}`);
  }
  if (json["formatVersion"] !== SEGMENT_FORMAT_VERSION) {
    throw new SegmentFault(`${SEGMENT_JSON} has format ${String(json["formatVersion"])}`);
  }
}

async function checkBatches(reader: ArchiveReader, { ranges }: SegmentFacts): Promise<void> {
  const rows = await readWhole(reader, OFFSETS_NAME);
  const last = ranges.at(-1);
  const rowCount = last === undefined ? 0 : last.rowStart + last.rowCount;
  if (rows.length !== rowCount * ROW_BYTES) {
    throw new SegmentFault(`${OFFSETS_NAME} has ${rows.length} bytes for ${rowCount} rows`);
  }
  const check = new BatchesCheck(ranges, rows);
  for await (const { bytes, start, end, position } of batchesOf(reader)) {
    check.add(verifyBatch(bytes, start, end), position);
    if (check.fault !== undefined) break;
  }
  check.finish();
  if (check.fault !== undefined) throw new SegmentFault(`in ${BATCHES_NAME}, ${check.fault}`);
}

/** Reads every chunk of the index that counts. What is in them is the search's to know. */
async function checkSearchIndex(reader: ArchiveReader, facts: SegmentFacts): Promise<void> {
  const entries = searchIndexFiles(reader.entries());
  const documentCount = facts.searchIndex?.documentCount ?? 0;
  if (documentCount > 0 && entries.length === 0) {
    throw new SegmentFault("its search index is registered, but missing");
  }
  for (const { name, sizeBytes } of entries) {
    for (let position = 0; position < sizeBytes; position += READ_BYTES) {
      await reader.read(name, position, Math.min(READ_BYTES, sizeBytes - position));
    }
  }
}

/** `bytes[start, end)` is the batch at `position` of `batches.log`. */
interface BatchInLog {
  readonly bytes: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly position: number;
}

async function* batchesOf(reader: ArchiveReader): AsyncGenerator<BatchInLog> {
  const sizeBytes = sizeOf(reader, BATCHES_NAME);
  let bytes = new Uint8Array(0);
  /** Of the file; the first byte of `bytes` lies at `readEnd - bytes.length`. */
  let readEnd = 0;
  let start = 0;
  for (;;) {
    const position = readEnd - bytes.length + start;
    if (position === sizeBytes) return;
    const isHeaderThere = bytes.length - start >= BATCH_HEADER_BYTES;
    const batchBytes = isHeaderThere ? readBatchHeader(bytes, start).sizeBytes : BATCH_HEADER_BYTES;
    if (batchBytes < BATCH_HEADER_BYTES || position + batchBytes > sizeBytes) {
      throw new SegmentFault(`in ${BATCHES_NAME}, there is no batch at ${position}`);
    }
    const missingBytes = batchBytes - (bytes.length - start);
    if (missingBytes > 0) {
      const wantedBytes = Math.ceil(missingBytes / READ_BYTES) * READ_BYTES;
      const lengthBytes = Math.min(sizeBytes - readEnd, wantedBytes);
      const piece = await reader.read(BATCHES_NAME, readEnd, lengthBytes);
      bytes = joined(bytes.subarray(start), piece);
      readEnd += lengthBytes;
      start = 0;
    } else if (isHeaderThere) {
      yield { bytes, start, end: start + batchBytes, position };
      start += batchBytes;
    }
  }
}

function sizeOf(reader: ArchiveReader, name: string): number {
  const entry = reader.entries().find((each) => each.name === name);
  if (entry === undefined) throw new SegmentFault(`it has no ${name}`);
  return entry.sizeBytes;
}

async function readWhole(reader: ArchiveReader, name: string): Promise<Uint8Array> {
  return await reader.read(name, 0, sizeOf(reader, name));
}

function parsed(bytes: Uint8Array): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof value === "object" && value !== null) return { ...value };
  } catch {
    // Told below, as any other content that is none.
  }
  throw new SegmentFault(`${SEGMENT_JSON} is no JSON object`);
}

function joined(one: Uint8Array, other: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(one.length + other.length);
  bytes.set(one);
  bytes.set(other, one.length);
  return bytes;
}
