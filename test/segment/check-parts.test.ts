/** The parts of the check that compare: batches with their ranges and rows, and partitions with their offsets. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { type BatchHeader, readBatchHeader } from "../../src/protocol/record-batch.ts";
import { BatchesCheck } from "../../src/segment/check-batches.ts";
import { faultOfReach, WalReaches } from "../../src/segment/check-reach.ts";
import type { PartitionRange } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { ROW_BYTES, SegmentLayoutBuilder } from "../../src/segment/segment-layout.ts";
import { uuidFrom } from "./segment-model.ts";

const random = seededRandom(Number(Bun.env["SEED"] ?? 7));
const [TOPIC_A = "", TOPIC_B = ""] = [uuidFrom(random), uuidFrom(random)].sort();

function headerAt(baseOffset: number, change: Partial<BatchHeader> = {}): BatchHeader {
  const value = Buffer.alloc(10);
  const record = { offset: 0, timestampMs: 5, key: null, value, headers: [], attributes: 0 };
  return { ...readBatchHeader(encodeBatch(batchOf([record])), 0), baseOffset, ...change };
}

/** Three partitions; the second is long enough for rows. */
function segmentOf() {
  const layout = new SegmentLayoutBuilder();
  const headers: BatchHeader[] = [];
  const places = [
    { topicId: TOPIC_A, partition: 0, sizeBytes: 100 },
    { topicId: TOPIC_A, partition: 3, sizeBytes: 40_000 },
    { topicId: TOPIC_B, partition: 0, sizeBytes: 61 },
  ];
  for (const { topicId, partition, sizeBytes } of places) {
    for (let offset = 10; offset < 20; offset += 2) {
      const maxTimestampMs = Math.floor(random() * 1000) + offset;
      const header = headerAt(offset, {
        sizeBytes,
        maxTimestampMs,
        lastOffsetDelta: 1,
        recordCount: 2,
      });
      layout.add(topicId, partition, header);
      headers.push(header);
    }
  }
  return { headers, ...layout.finish() };
}

interface Described {
  readonly headers: readonly BatchHeader[];
  readonly ranges: readonly PartitionRange[];
  readonly rows: Uint8Array;
}

function faultOf({ headers, ranges, rows }: Described): string | undefined {
  const check = new BatchesCheck(ranges, rows);
  let position = 0;
  for (const header of headers) {
    check.add(header, position);
    position += header.sizeBytes;
  }
  check.finish();
  return check.fault;
}

const segment = segmentOf();

test("batches check: what the layout says of batches is so", () => {
  expect(segment.rows.length).toBeGreaterThan(ROW_BYTES);
  expect(faultOf(segment)).toBeUndefined();
});

test("batches check: any other number in a range is told", () => {
  const fields = ["startOffset", "position", "sizeBytes", "maxTimestampMs", "batchCount"] as const;
  const all = [...fields, "recordCount", "rowStart", "rowCount"] as const;
  for (const [index, range] of segment.ranges.entries()) {
    for (const field of all) {
      for (const difference of [-1, 1]) {
        // Where there are no rows, it does not matter where they begin.
        if (field === "rowStart" && range.rowCount === 0) continue;
        const changed = { ...range, [field]: range[field] + difference };
        if (changed.rowStart < 0) continue;
        // A row less makes reading slower, and the last one that is left is compared all the same.
        if (field === "rowCount" && difference < 0) continue;
        const ranges = segment.ranges.with(index, changed);
        const rows = new Uint8Array(segment.rows.length + 2 * ROW_BYTES);
        rows.set(segment.rows);
        expect(faultOf({ ...segment, ranges, rows }), `${field} of ${index}`).toBeDefined();
      }
    }
    const shorter = segment.ranges.with(index, { ...range, endOffset: range.endOffset - 1 });
    expect(faultOf({ ...segment, ranges: shorter })).toContain("behind its range's end");
    const fewer = segment.ranges.toSpliced(index, 1);
    expect(faultOf({ ...segment, ranges: fewer })).toBeDefined();
  }
});

test("batches check: a row with any other number is told", () => {
  for (let position = 7; position < segment.rows.length; position += 8) {
    const rows = segment.rows.slice();
    rows[position] = (rows[position] ?? 0) ^ 1;
    expect(faultOf({ ...segment, rows }), `at ${position}`).toContain("row");
  }
});

test("batches check: a batch that is missing, double or in another's place is told", () => {
  const { headers } = segment;
  for (const [index, header] of headers.entries()) {
    expect(faultOf({ ...segment, headers: headers.toSpliced(index, 1) })).toBeDefined();
    expect(faultOf({ ...segment, headers: headers.toSpliced(index, 0, header) })).toBeDefined();
    const [first, second] = [headers[index], headers[index + 1]];
    if (first === undefined || second === undefined) continue;
    const swapped = headers.toSpliced(index, 2, second, first);
    expect(faultOf({ ...segment, headers: swapped })).toBeDefined();
  }
});

/** Segments that hold these stretches of one partition, and a WAL that holds those. */
function reachOf(
  sealed: readonly (readonly [number, number])[],
  inWal: readonly (readonly [number, number])[],
) {
  const index = new SegmentIndex();
  const [range] = segment.ranges;
  if (range === undefined) throw new Error("There is no range.");
  for (const [startOffset, endOffset] of sealed) {
    const place = { lengthBytes: 1, startAddress: 0, endAddress: 1 };
    const ranges = [{ ...range, startOffset, endOffset }];
    const rest = { level: 0, createdMs: 0, ...place, searchIndex: null, ranges };
    index.apply({ added: [{ segmentId: uuidFrom(random), ...rest }], removedIds: [] });
  }
  const walReaches = new WalReaches();
  for (const [start, end] of inWal) {
    walReaches.add(range, headerAt(start, { lastOffsetDelta: end - start - 1 }));
  }
  return (
    logStartOffset: number,
    {
      logEndOffset = 0,
      isCompacted = false,
    }: { logEndOffset?: number; isCompacted?: boolean } = {},
  ) => {
    const { topicId, partition } = range;
    index.setLogStartOffset(topicId, partition, logStartOffset);
    const expected = { topicId, partition, logStartOffset, logEndOffset, isCompacted };
    return faultOfReach(expected, { index, walReaches });
  };
}

test("reach: every offset is in a segment or in the WAL", () => {
  const whole = [
    reachOf([], []),
    reachOf([[0, 5]], []),
    reachOf(
      [
        [0, 5],
        [5, 9],
      ],
      [[9, 12]],
    ),
    // Sealed, and not yet released.
    reachOf(
      [[0, 5]],
      [
        [2, 5],
        [5, 9],
      ],
    ),
  ];
  for (const faultAt of whole) expect(faultAt(0)).toBeUndefined();
  expect(reachOf([[0, 5]], [[5, 9]])(0, { logEndOffset: 9 })).toBeUndefined();
});

test("reach: what is missing is told by its offsets, unless it is deleted or compacted away", () => {
  const lacksFirst = () => reachOf([[3, 5]], []);
  expect(lacksFirst()(0)).toContain("offsets 0 to 2 are neither");
  expect(lacksFirst()(3)).toBeUndefined();
  expect(lacksFirst()(4)).toBeUndefined();
  expect(lacksFirst()(0, { isCompacted: true })).toBeUndefined();
  const lacksMiddle = () => reachOf([[0, 5]], [[8, 9]]);
  expect(lacksMiddle()(0)).toContain("offsets 5 to 7 are neither");
  expect(lacksMiddle()(8)).toBeUndefined();
  expect(reachOf([[0, 5]], [])(0, { logEndOffset: 7 })).toContain("offsets 5 to 6 are neither");
  expect(reachOf([], [])(0, { logEndOffset: 1 })).toContain("offsets 0 to 0 are neither");
  expect(reachOf([], [])(7, { logEndOffset: 7 })).toBeUndefined();
});

test("reach: an offset that comes twice in the WAL is told", () => {
  const twice = reachOf(
    [],
    [
      [0, 5],
      [4, 9],
    ],
  );
  expect(twice(0)).toContain("offset 4 comes again");
});
