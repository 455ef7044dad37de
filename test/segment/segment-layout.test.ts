/** The sparse index of a range: what is found in it by offset, by time and by bytes. */

import { expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import type { BatchHeader } from "../../src/protocol/record-batch.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import {
  offsetOfPosition,
  offsetSince,
  positionOfOffset,
  ROW_INTERVAL_BYTES,
  SegmentLayoutBuilder,
} from "../../src/segment/segment-layout.ts";

const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";

/** One record of 50,000 bytes: every second batch begins a row. */
function headerAt(offset: number): BatchHeader {
  const value = Buffer.alloc(50_000);
  const record = { offset, timestampMs: offset, key: null, value, headers: [], attributes: 0 };
  return readBatchHeader(encodeBatch(batchOf([record])), 0);
}

test("sparse index: the row at or before an offset, a time, a position", () => {
  const builder = new SegmentLayoutBuilder();
  const headers = [10, 11, 12, 13, 14].map(headerAt);
  const sizeBytes = headers[0]?.sizeBytes ?? 0;
  expect([2 * sizeBytes > ROW_INTERVAL_BYTES, sizeBytes < ROW_INTERVAL_BYTES]).toEqual([
    true,
    true,
  ]);
  for (const header of headers) builder.add(TOPIC_ID, 0, header);
  const { rows } = builder.finish();
  expect([9, 10, 11, 12, 14].map((offset) => positionOfOffset(rows, offset) / sizeBytes)).toEqual([
    0, 0, 0, 2, 4,
  ]);
  expect([0, 11, 12, 14, 15].map((timeMs) => offsetSince(rows, timeMs))).toEqual([
    10,
    10,
    12,
    14,
    undefined,
  ]);
  const positions = [0, sizeBytes, 2 * sizeBytes - 1, 2 * sizeBytes, 9 * sizeBytes];
  expect(positions.map((position) => offsetOfPosition(rows, position))).toEqual([
    10, 10, 10, 12, 14,
  ]);
});
