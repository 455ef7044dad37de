/** What is left of one batch: Apache Kafka's rules, field by field. */

import { expect, test } from "bun:test";
import {
  type BatchFields,
  batchOf,
  type CanonicalRecord,
  decodeBatch,
  encodeBatch,
} from "../../src/protocol/canonical-record.ts";
import { BATCH_HEADER_BYTES, readBatchHeader, writeCrc } from "../../src/protocol/record-batch.ts";
import { addKeys, type FilterOptions, filterBatch } from "../../src/segment/compaction-filter.ts";
import { KeyOffsetMap } from "../../src/segment/key-offset-map.ts";

const NOW_MS = 1_700_000_000_000;
const DAY_MS = 86_400_000;

type Entry = readonly [offset: number, key: string | null, value: string | null];

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function recordsOf(entries: readonly Entry[]): CanonicalRecord[] {
  return entries.map(([offset, key, value]) => ({
    offset,
    timestampMs: NOW_MS - 1000 + offset,
    key: key === null ? null : bytesOf(key),
    value: value === null ? null : bytesOf(value),
    headers: [{ key: bytesOf("h"), value: null }],
    attributes: 0,
  }));
}

function batch(entries: readonly Entry[], fields: BatchFields = {}): Uint8Array {
  return encodeBatch(batchOf(recordsOf(entries), { partitionLeaderEpoch: 7, ...fields }));
}

function optionsFor(
  later: readonly Uint8Array[],
  more: Partial<FilterOptions> = {},
): FilterOptions {
  const map = new KeyOffsetMap(1000, 1024 * 1024);
  for (const one of later) addKeys(map, one, 0);
  return {
    ...{ map, endOffset: 1000, nowMs: NOW_MS, deleteRetentionMs: DAY_MS },
    producerOffsets: new Map(),
    ...more,
  };
}

/** A batch right after the others, which takes these keys over. */
function taking(offset: number, ...keys: string[]): Uint8Array {
  return batch(keys.map((key, index): Entry => [offset + index, key, "new"]));
}

test("filter: a batch of which nothing goes stays byte for byte", () => {
  for (const compression of ["none", "gzip", "snappy", "lz4", "zstd"] as const) {
    const bytes = batch(
      [
        [3, "a", "1"],
        [4, "b", ""],
      ],
      { compression },
    );
    const left = filterBatch(bytes, optionsFor([bytes]));
    expect(left).toEqual({ bytes, removedOffsets: [] });
  }
});

test.each(["none", "gzip", "snappy", "lz4", "zstd"] as const)(
  "filter: of a batch in %s the latest values stay, with all that tells where they were",
  (compression) => {
    const fields = {
      ...{ compression, producerId: 9, producerEpoch: 2, baseSequence: 40 },
    };
    const bytes = batch(
      [
        [10, "a", "1"],
        [11, "b", "1"],
        [12, "a", "2"],
        [13, "c", "1"],
      ],
      fields,
    );
    const options = optionsFor([bytes, taking(14, "c")]);
    const left = filterBatch(bytes, options);
    expect(left.removedOffsets).toEqual([10, 13]);
    const decoded = decodeBatch(left.bytes ?? new Uint8Array(0));
    expect(decoded).toEqual({
      ...decodeBatch(bytes),
      // Of the records that are left.
      baseTimestampMs: NOW_MS - 1000 + 11,
      maxTimestampMs: NOW_MS - 1000 + 12,
      records: recordsOf([
        [11, "b", "1"],
        [12, "a", "2"],
      ]),
    });
    expect([decoded.baseOffset, decoded.lastOffsetDelta]).toEqual([10, 3]);
    expect([decoded.producerId, decoded.producerEpoch, decoded.baseSequence]).toEqual([9, 2, 40]);
    expect(decoded.compression).toBe(compression);
  },
);

test("filter: with append time, what is left has the batch's", () => {
  const times = { timestampType: "LogAppendTime", maxTimestampMs: NOW_MS } as const;
  const bytes = batch(
    [
      [0, "a", "1"],
      [1, "b", "1"],
    ],
    times,
  );
  const left = filterBatch(bytes, optionsFor([bytes, taking(2, "a")]));
  expect(decodeBatch(left.bytes ?? new Uint8Array(0))).toMatchObject({
    ...{ timestampType: "LogAppendTime", baseTimestampMs: NOW_MS, maxTimestampMs: NOW_MS },
    records: [{ offset: 1, timestampMs: NOW_MS }],
  });
});

test("filter: a batch of which all goes leaves nothing, or its header where that is needed", () => {
  const bytes = batch(
    [
      [5, "a", "1"],
      [6, "b", "1"],
    ],
    {
      ...{ compression: "gzip", producerId: 9, producerEpoch: 1, baseSequence: 3 },
    },
  );
  const later = taking(7, "a", "b");
  const gone = filterBatch(bytes, optionsFor([later]));
  expect(gone).toEqual({ bytes: undefined, removedOffsets: [5, 6] });
  const others = new Map([[9, 8]]);
  expect(
    filterBatch(bytes, optionsFor([later], { producerOffsets: others })).bytes,
  ).toBeUndefined();
  const cases = [{ endOffset: 7 }, { producerOffsets: new Map([[9, 6]]) }];
  for (const needed of cases) {
    const left = filterBatch(bytes, optionsFor([later], needed)).bytes ?? new Uint8Array(0);
    expect(left.length).toBe(BATCH_HEADER_BYTES);
    const original = decodeBatch(bytes);
    expect(decodeBatch(left)).toEqual({
      ...original,
      ...{ compression: "none", baseTimestampMs: -1, records: [] },
    });
    // An empty batch that is no longer needed goes.
    const last = optionsFor([later]);
    expect(filterBatch(left, last)).toEqual({ bytes: undefined, removedOffsets: [] });
  }
});

test("filter: a tombstone gets its horizon first, stays until then, and is gone after", () => {
  const bytes = batch([
    [0, "a", null],
    [1, "b", "1"],
  ]);
  const first = filterBatch(bytes, optionsFor([bytes])).bytes ?? new Uint8Array(0);
  expect(decodeBatch(first)).toMatchObject({
    ...{ hasDeleteHorizon: true, baseTimestampMs: NOW_MS + DAY_MS },
    maxTimestampMs: NOW_MS - 999,
    records: recordsOf([
      [0, "a", null],
      [1, "b", "1"],
    ]),
  });
  const before = optionsFor([first], { nowMs: NOW_MS + DAY_MS - 1, deleteRetentionMs: 1 });
  expect(filterBatch(first, before).bytes).toEqual(first);
  const after = optionsFor([first], { nowMs: NOW_MS + DAY_MS });
  const left = filterBatch(first, after);
  expect(left.removedOffsets).toEqual([0]);
  // As in Kafka, the horizon stays with the batch.
  expect(decodeBatch(left.bytes ?? new Uint8Array(0))).toMatchObject({
    ...{ hasDeleteHorizon: true, baseTimestampMs: NOW_MS + DAY_MS },
    records: recordsOf([[1, "b", "1"]]),
  });
  // A tombstone that is no longer the last word goes at once.
  const overtaken = filterBatch(bytes, optionsFor([bytes, taking(2, "a")]));
  expect(overtaken.removedOffsets).toEqual([0]);
});

test("filter: records without a key go, and what lies behind the map stays", () => {
  const bytes = batch([
    [0, null, "1"],
    [1, "a", "1"],
    [2, null, "1"],
  ]);
  const options = optionsFor([bytes]);
  expect(filterBatch(bytes, options).removedOffsets).toEqual([0, 2]);
  options.map.latestOffset = 1;
  expect(filterBatch(bytes, options).removedOffsets).toEqual([0]);
  options.map.latestOffset = -1;
  expect(filterBatch(bytes, options).bytes).toBe(bytes);
});

test("filter: control batches and those of transactions stay, and hide nothing", () => {
  const producer = { producerId: 1, producerEpoch: 0, baseSequence: 0 };
  const open = batch([[1, "a", "2"]], { ...producer, isTransactional: true });
  const marker = batch([[2, "a", "2"]], { ...producer, isTransactional: true, isControl: true });
  const bytes = batch([[0, "a", "1"]]);
  const options = optionsFor([bytes, open, marker, taking(3, "b")]);
  for (const one of [bytes, open, marker]) expect(filterBatch(one, options).bytes).toBe(one);
  const overtaken = optionsFor([taking(9, "a")]);
  for (const one of [open, marker]) expect(filterBatch(one, overtaken).bytes).toBe(one);
});

test("filter: a batch that cannot be opened stays, and damage is told", () => {
  const bytes = batch([[0, "a", "1"]], { compression: "zstd" });
  bytes.fill(0xff, BATCH_HEADER_BYTES);
  writeCrc(bytes, 0, bytes.length);
  const options = optionsFor([bytes, taking(1, "a")]);
  expect(filterBatch(bytes, options)).toEqual({ bytes, removedOffsets: [] });
  bytes[bytes.length - 1] = 0;
  expect(() => filterBatch(bytes, options)).toThrow("CRC");
});

test("keys: a map that is full knows the last offset that it has taken", () => {
  const map = new KeyOffsetMap(1000, 24 * 20);
  const entries = Array.from({ length: 30 }, (_, offset): Entry => [offset, `k${offset}`, "v"]);
  expect(addKeys(map, batch(entries.slice(0, 10)), 0)).toBe(true);
  expect(map.latestOffset).toBe(9);
  expect(addKeys(map, batch(entries.slice(10)), 0)).toBe(false);
  expect([map.size, map.latestOffset]).toEqual([17, 16]);
  expect(readBatchHeader(batch(entries.slice(10)), 0).lastOffsetDelta).toBe(19);
});

test("keys: only those from the given offset on are taken", () => {
  const map = new KeyOffsetMap(10, 1024);
  addKeys(
    map,
    batch([
      [0, "a", "1"],
      [1, "b", "1"],
    ]),
    1,
  );
  expect([map.offsetOf(bytesOf("a")), map.offsetOf(bytesOf("b"))]).toEqual([-1, 1]);
});
