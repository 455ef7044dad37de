/** The index of a partition's batches: runs, look-ups by offset and by time. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { BatchIndex, type IndexedBatch, RUN_BYTES_MAX } from "../../src/log/batch-index.ts";

const ENTRY_HEADER_BYTES = 44;
const SEED = Number(Bun.env["SEED"] ?? 7);

function batch(values: Partial<IndexedBatch>): IndexedBatch {
  return {
    baseOffset: 0,
    address: 4200,
    sizeBytes: 100,
    maxTimestampMs: 1,
    isLegacy: false,
    ...values,
  };
}

test("batch index: batches that follow each other in the WAL share a run", () => {
  const index = new BatchIndex(ENTRY_HEADER_BYTES);
  index.append(batch({ baseOffset: 0, address: 5000, sizeBytes: 100 }));
  index.append(batch({ baseOffset: 3, address: 5144, sizeBytes: 50 }));
  index.append(batch({ baseOffset: 4, address: 9000, sizeBytes: 60 }));
  expect(index.runCount).toBe(2);
  expect(index.runAt(0)).toMatchObject({ baseOffset: 0, address: 5000, spanBytes: 194 });
  expect(index.runAt(1)).toMatchObject({ baseOffset: 4, address: 9000, spanBytes: 60 });
});

test("batch index: a run ends at its limit and at a legacy entry", () => {
  const index = new BatchIndex(ENTRY_HEADER_BYTES);
  index.append(batch({ baseOffset: 0, address: 5000, sizeBytes: RUN_BYTES_MAX }));
  const next = 5000 + RUN_BYTES_MAX + ENTRY_HEADER_BYTES;
  index.append(batch({ baseOffset: 1, address: next, sizeBytes: 10 }));
  index.append(
    batch({
      baseOffset: 2,
      address: next + 10 + ENTRY_HEADER_BYTES,
      sizeBytes: 10,
      isLegacy: true,
    }),
  );
  expect(index.runCount).toBe(3);
  expect(index.runAt(2).isLegacy).toBe(true);
});

test(`batch index: finds every offset and time as a linear search does (SEED=${SEED})`, () => {
  const random = seededRandom(SEED);
  const index = new BatchIndex(ENTRY_HEADER_BYTES);
  const rows: IndexedBatch[] = [];
  let baseOffset = 0;
  for (let count = 0; count < 500; count += 1) {
    const maxTimestampMs = Math.floor(random() * 1000);
    const row = batch({ baseOffset, address: 5000 + count * 10_000, maxTimestampMs });
    rows.push(row);
    index.append(row);
    baseOffset += 1 + Math.floor(random() * 5);
  }
  for (let offset = -1; offset <= baseOffset; offset += 1) {
    const expected = rows.findLastIndex((row) => row.baseOffset <= offset);
    expect(index.indexOfOffset(offset)).toBe(expected);
  }
  for (let timestampMs = -1; timestampMs <= 1001; timestampMs += 1) {
    const expected = rows.findIndex((row) => row.maxTimestampMs >= timestampMs);
    expect(index.indexOfTimestamp(timestampMs)).toBe(expected);
  }
});
