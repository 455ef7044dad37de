/** Files of every entry version open for ever. */

import { expect, test } from "bun:test";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { decodeBatch } from "../../src/protocol/canonical-record.ts";
import { isLegacyEntry } from "../../src/wal/group-scan.ts";
import { batchOfLegacyPayload } from "../../src/wal/legacy-entry.ts";
import { walFileName } from "../../src/wal/wal-format.ts";
import {
  GOLDEN_FILE_BYTES,
  GOLDEN_METADATA,
  GOLDEN_VALUE_SIZES,
  goldenV1,
  goldenV2,
  LEGACY_RECORDS,
} from "./golden-wal.ts";
import { batchWith, inDirectory, type OpenedWal, openWal } from "./wal-fixture.ts";

const FIXTURES = resolve(import.meta.dir, "../fixtures/wal");
const V1 = join(FIXTURES, "v1.wal");
const V2 = join(FIXTURES, "v2.wal");

if (Bun.env["REWRITE"] === "1") {
  await mkdir(FIXTURES, { recursive: true });
  await writeFile(V1, goldenV1());
  await writeFile(V2, await goldenV2());
}

test("golden: v2.wal is what the WAL writes", async () => {
  expect(Buffer.compare(await goldenV2(), await readFile(V2))).toBe(0);
});

test("golden: v2.wal opens", () =>
  inDirectory(async (directory) => {
    const { wal, entries } = await openGolden(directory, V2);
    expect(wal.recovery).toMatchObject({ isClean: true, cutBytes: 0, runNumber: 1 });
    for (const [index, valueBytes] of GOLDEN_VALUE_SIZES.entries()) {
      const entry = entries[index];
      expect(entry).toMatchObject({ kind: "batch", version: 2, partition: index });
      expect(entry?.baseOffset).toBe(100 + index);
      const expected = batchWith(valueBytes, index).subarray(16);
      expect(Buffer.compare(entry?.payload.subarray(16) ?? expected, expected)).toBe(0);
    }
    const metadata = entries[GOLDEN_VALUE_SIZES.length];
    expect(metadata?.kind).toBe("metadata");
    expect(new TextDecoder().decode(metadata?.payload)).toBe(GOLDEN_METADATA);
    await wal.close();
  }));

test("golden: v1.wal opens, and its records become batches", () =>
  inDirectory(async (directory) => {
    const { wal, entries } = await openGolden(directory, V1);
    expect(entries.map((entry) => entry.version)).toEqual([1, 1, 1]);
    for (const [index, record] of LEGACY_RECORDS.entries()) {
      const entry = entries[index];
      if (entry === undefined) throw new Error(`entry ${index} is missing`);
      expect(isLegacyEntry(entry)).toBe(true);
      expect(entry).toMatchObject({ partition: 4, baseOffset: record.offset });
      const batch = decodeBatch(batchOfLegacyPayload(entry.payload));
      expect(batch.records).toEqual([{ ...record, attributes: 0 }]);
    }
    await wal.close();
  }));

test("golden: a legacy payload cut anywhere is refused", () => {
  const [, record] = LEGACY_RECORDS;
  if (record === undefined) throw new Error("no record");
  const whole = goldenV1();
  expect(whole.length).toBe(GOLDEN_FILE_BYTES);
  for (let length = 0; length < 40; length += 1) {
    const payload = new Uint8Array(length).fill(1);
    expect(() => batchOfLegacyPayload(payload)).toThrow("cut short");
  }
});

async function openGolden(directory: string, fixture: string): Promise<OpenedWal> {
  await copyFile(fixture, join(directory, walFileName(1)));
  const fileBytes = GOLDEN_FILE_BYTES;
  return openWal(directory, { fileBytes, walBytesMax: 4 * fileBytes });
}
