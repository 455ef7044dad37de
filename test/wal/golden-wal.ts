/**
 * Makes the golden WAL files in `test/fixtures/wal`. They are kept for ever: a new format gets a new file beside
 * them. `REWRITE=1 bun test test/wal/golden-wal.test.ts` writes them again, for a format that is not released.
 */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import type { LegacyRecord } from "../../src/protocol/legacy-record.ts";
import { encodeLegacyPayload } from "../../src/wal/legacy-entry.ts";
import {
  blockEndOf,
  ENTRY_HEADER_BYTES,
  EntryKind,
  encodeFileHeader,
  FILE_HEADER_BYTES,
  GROUP_HEADER_BYTES,
  nextEntriesCrc,
  seedOf,
  walFileName,
  writeEntryCrc,
  writeEntryHeader,
  writeGroupHeader,
} from "../../src/wal/wal-format.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { appendBatch, batchWith, openWal, TOPIC_ID } from "./wal-fixture.ts";

export const GOLDEN_FILE_BYTES = 32 * 1024;

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

/** The records of `v1.wal`, one entry each. */
export const LEGACY_RECORDS: readonly LegacyRecord[] = [
  { offset: 0, timestampMs: 1_600_000_000_000, key: null, value: text("first"), headers: [] },
  {
    offset: 1,
    timestampMs: 1_600_000_000_001,
    key: text("key"),
    value: null,
    headers: [
      { key: text("trace"), value: text("1") },
      { key: text("trace"), value: null },
    ],
  },
  { offset: 2, timestampMs: -1, key: text(""), value: text(""), headers: [] },
];

/** What `v2.wal` holds: value sizes of its batches, in groups of two, then metadata. */
export const GOLDEN_VALUE_SIZES = [0, 10, 300, 2000, 5];
export const GOLDEN_METADATA = '{"kind":"topicCreated"}';

/** A file of today's format, as the WAL itself writes it. */
export async function goldenV2(): Promise<Uint8Array> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-golden-"));
  try {
    const { wal } = await openWal(directory, {
      clock: new SimulatedClock(),
      random: seededRandom(1),
      fileBytes: GOLDEN_FILE_BYTES,
      walBytesMax: 4 * GOLDEN_FILE_BYTES,
    });
    for (const [index, valueBytes] of GOLDEN_VALUE_SIZES.entries()) {
      const fields = { partition: index, baseOffset: 100 + index };
      await appendBatch(wal, batchWith(valueBytes, index), fields);
      if (index % 2 === 1) await wal.whenDurable(wal.appendedAddress);
    }
    await wal.whenDurable(wal.appendMetadata(text(GOLDEN_METADATA)));
    await wal.close();
    return await readFile(join(directory, walFileName(1)));
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** A file with entries of version 1, which only this function writes. */
export function goldenV1(): Uint8Array {
  const header = {
    sequence: 1,
    fileBytes: GOLDEN_FILE_BYTES,
    salt: [17, 42] as const,
    createdMs: 1_600_000_000_000,
  };
  const seed = seedOf(header);
  const bytes = new Uint8Array(GOLDEN_FILE_BYTES);
  bytes.set(encodeFileHeader(header));
  const start = FILE_HEADER_BYTES;
  let position = start + GROUP_HEADER_BYTES;
  let entriesCrc = 0;
  for (const record of LEGACY_RECORDS) {
    const payload = encodeLegacyPayload(record);
    writeEntryHeader(bytes, position, {
      kind: EntryKind.batch,
      topicIdBytes: TOPIC_ID,
      partition: 4,
      baseOffset: record.offset,
      leaderEpoch: 0,
      payloadBytes: payload.length,
    });
    bytes[position + 6] = 1;
    bytes.set(payload, position + ENTRY_HEADER_BYTES);
    writeEntryCrc(bytes, position, { seed, position });
    entriesCrc = nextEntriesCrc(bytes, position, entriesCrc);
    position += ENTRY_HEADER_BYTES + payload.length;
  }
  writeGroupHeader(bytes, start, {
    flags: 0,
    entryCount: LEGACY_RECORDS.length,
    position: start,
    lengthBytes: position - start,
    nextPosition: blockEndOf(position),
    previousCrc: 0,
    durableAddress: 0,
    runNumber: 1,
    entriesCrc,
    sequence: 1,
    seed,
  });
  return bytes;
}
