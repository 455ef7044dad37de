/** The facts of a segment and its table of ranges: their bytes, whole, cut, damaged and forged. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { AssertionError } from "../../src/core/assert.ts";
import { crc32c } from "../../src/core/native.ts";
import { writeInt32At } from "../../src/protocol/big-endian.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import { uuidOf } from "../../src/protocol/uuid.ts";
import {
  compareRanges,
  decodeRanges,
  decodeSegmentFacts,
  encodeRanges,
  encodeSegmentFacts,
  type PartitionRange,
  type SegmentFacts,
} from "../../src/segment/segment-facts.ts";

const TOPIC_A = "AAECAwQFBgcICQoLDA0ODw";
const TOPIC_B = "_wECAwQFBgcICQoLDA0ODw";

const RANGES: readonly PartitionRange[] = [
  {
    topicId: TOPIC_A,
    partition: 0,
    startOffset: 100,
    endOffset: 130,
    position: 0,
    sizeBytes: 200,
    minTimestampMs: 1_700_000_000_000,
    maxTimestampMs: 1_700_000_000_500,
    batchCount: 2,
    recordCount: 30,
    rowStart: 0,
    rowCount: 0,
  },
  {
    topicId: TOPIC_A,
    partition: 7,
    startOffset: 0,
    endOffset: 4_000_000_000,
    position: 200,
    sizeBytes: 5_000_000_000,
    minTimestampMs: -1,
    maxTimestampMs: -1,
    batchCount: 70_000,
    recordCount: 0,
    rowStart: 0,
    rowCount: 3,
  },
  {
    topicId: TOPIC_B,
    partition: 2,
    startOffset: 9,
    endOffset: 10,
    position: 5_000_000_300,
    sizeBytes: 61,
    minTimestampMs: Number.MIN_SAFE_INTEGER,
    maxTimestampMs: Number.MAX_SAFE_INTEGER,
    batchCount: 1,
    recordCount: 1,
    rowStart: 4,
    rowCount: 1,
  },
];

const FACTS: SegmentFacts = {
  segmentId: TOPIC_B,
  level: 2,
  createdMs: 1_700_000_000_000,
  lengthBytes: 5_000_010_000,
  startAddress: 4096,
  endAddress: 2 ** 40,
  searchIndex: {
    documentCount: 31,
    sizeBytes: 4321,
    times: { minMs: -1, maxMs: 1_700_000_000_500 },
  },
  ranges: RANGES,
};

const RANGES_HEX =
  "00000002000102030405060708090a0b0c0d0e0f00000002" +
  "0000000000000000000000640000018bcfe568000000018bcfe569f43c009003043c0000" +
  "000000070000000000000000ffffffffffffffffffffffffffffffff80a0d9e61d0080c8afa025e0c508000006" +
  "ff0102030405060708090a0b0c0d0e0f00000001" +
  "000000020000000000000009ffe0000000000001001fffffffffffff02c8017a02020202";

const GOLDEN_RANGES = `4348535201${RANGES_HEX}`;
const GOLDEN_HEAD =
  "ff0102030405060708090a0b0c0d0e0f00020000018bcfe56800000000012a061910" +
  "00000000000010000000010000000000000000000000001f00000000000010e1";
const GOLDEN_FACTS_V1 = `4348534601${GOLDEN_HEAD}${RANGES_HEX}`;
const GOLDEN_FACTS = `4348534602${GOLDEN_HEAD}01ffffffffffffffff0000018bcfe569f4${RANGES_HEX}`;

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Bytes of the hexadecimal digits, with their checksum. */
function sealed(hex: string): Uint8Array {
  const body = Buffer.from(hex, "hex");
  const bytes = new Uint8Array(body.length + 4);
  bytes.set(body);
  writeInt32At(bytes, body.length, crc32c(body));
  return bytes;
}

function refusalOf(action: () => unknown): KafkaError {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof KafkaError) return thrown;
    throw thrown;
  }
  throw new Error("Nothing was refused.");
}

const FORMS = [
  { name: "facts", bytes: encodeSegmentFacts(FACTS), decode: decodeSegmentFacts },
  { name: "ranges", bytes: encodeRanges(RANGES), decode: decodeRanges },
] as const;

test("segment facts: golden bytes", () => {
  expect(hexOf(encodeSegmentFacts(FACTS))).toBe(hexOf(sealed(GOLDEN_FACTS)));
  expect(decodeSegmentFacts(sealed(GOLDEN_FACTS))).toEqual(FACTS);
  const unindexed = { ...FACTS, searchIndex: null, ranges: [] };
  expect(decodeSegmentFacts(encodeSegmentFacts(unindexed))).toEqual(unindexed);
  const searchIndex = { documentCount: 31, sizeBytes: 4321, times: null };
  const timeless = { ...FACTS, searchIndex };
  expect(decodeSegmentFacts(encodeSegmentFacts(timeless))).toEqual(timeless);
  expect(decodeSegmentFacts(sealed(GOLDEN_FACTS_V1))).toEqual(timeless);
});

test("ranges: golden bytes", () => {
  expect(hexOf(encodeRanges(RANGES))).toBe(hexOf(sealed(GOLDEN_RANGES)));
  expect(decodeRanges(sealed(GOLDEN_RANGES))).toEqual(RANGES);
});

test.each(FORMS)("$name: cut at any byte, or with any bit changed, it is refused", (form) => {
  const { bytes, decode } = form;
  for (let position = 0; position < bytes.length; position += 1) {
    const cut = refusalOf(() => decode(bytes.subarray(0, position)));
    expect(cut.code).toBe(ErrorCode.kafkaStorageError);
    const changed = bytes.slice();
    changed[position] = (bytes[position] ?? 0) ^ (1 << (position % 8));
    expect(refusalOf(() => decode(changed)).code).toBe(ErrorCode.kafkaStorageError);
  }
  expect(() => decode(new Uint8Array([...bytes, 0]))).toThrow(KafkaError);
});

test.each(FORMS)(
  "$name: one of a newer version is refused with its reason",
  ({ bytes, decode }) => {
    const newer = bytes.slice(0, -4);
    newer[4] = 9;
    expect(() => decode(sealed(hexOf(newer)))).toThrow("a newer version");
  },
);

test.each(FORMS)("$name: a count beyond the bytes is refused before memory is taken", (form) => {
  const { bytes, decode } = form;
  const body = bytes.slice(0, -4);
  for (let position = 5; position + 4 <= body.length; position += 1) {
    for (const count of [0x7fffffff, 0x80000000, 0xffffffff]) {
      const forged = body.slice();
      writeInt32At(forged, position, count);
      try {
        decode(sealed(hexOf(forged)));
      } catch (thrown) {
        expect((thrown as KafkaError).code).toBe(ErrorCode.kafkaStorageError);
      }
    }
  }
});

test("ranges: what cannot be is not written", () => {
  const [first, second, third] = RANGES as [PartitionRange, PartitionRange, PartitionRange];
  const refused: readonly (readonly PartitionRange[])[] = [
    [second, first],
    [first, first],
    [first, { ...second, position: 199 }],
    [second, { ...third, rowStart: 2 }],
    [{ ...first, endOffset: 100 }],
    [{ ...first, startOffset: -1 }],
    [{ ...first, sizeBytes: 0 }],
    [{ ...first, batchCount: 0 }],
    [{ ...first, recordCount: -1 }],
    [{ ...first, partition: 0.5 }],
    [{ ...first, minTimestampMs: first.maxTimestampMs + 1 }],
    [{ ...first, rowCount: -1 }],
  ];
  for (const ranges of refused) expect(() => encodeRanges(ranges)).toThrow(AssertionError);
});

test("segment facts: what cannot be is not written", () => {
  const refused: readonly Partial<SegmentFacts>[] = [
    { level: -1 },
    { level: 65_536 },
    { createdMs: Number.NaN },
    { lengthBytes: 2 ** 53 },
    { startAddress: 5, endAddress: 4 },
    { searchIndex: { documentCount: -1, sizeBytes: 0, times: null } },
    { searchIndex: { documentCount: 1, sizeBytes: 0, times: { minMs: 6, maxMs: 5 } } },
  ];
  for (const change of refused) {
    expect(() => encodeSegmentFacts({ ...FACTS, ...change })).toThrow(AssertionError);
  }
});

const uuid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => uuidOf(bytes, 0));
const count = (max: number) => fc.integer({ min: 0, max });
const time = fc.integer({ min: -1, max: Number.MAX_SAFE_INTEGER });

const anyRange = fc
  .record({
    topicId: uuid,
    partition: count(2 ** 31 - 1),
    startOffset: count(2 ** 50),
    offsetCount: fc.integer({ min: 1, max: 2 ** 50 }),
    gapBytes: count(5),
    sizeBytes: fc.integer({ min: 1, max: 2 ** 45 }),
    times: fc.tuple(time, time),
    batchCount: fc.integer({ min: 1, max: 2 ** 31 }),
    recordCount: count(2 ** 40),
    rowGap: count(2),
    rowCount: count(100_000),
  })
  .map(({ offsetCount, times, ...rest }) => ({
    ...rest,
    endOffset: rest.startOffset + offsetCount,
    minTimestampMs: Math.min(...times),
    maxTimestampMs: Math.max(...times),
    position: 0,
    rowStart: 0,
  }));

/** Ranges of several partitions of few topics, in order, each behind the one before it. */
const anyRanges = fc
  .tuple(fc.array(uuid, { minLength: 1, maxLength: 3 }), fc.array(anyRange, { maxLength: 12 }))
  .map(([topicIds, ranges]) => {
    const byPlace = new Map<string, (typeof ranges)[number]>();
    ranges.forEach((range, index) => {
      const topicId = topicIds[index % topicIds.length] ?? range.topicId;
      byPlace.set(`${topicId} ${range.partition}`, { ...range, topicId });
    });
    let position = 0;
    let rowStart = 0;
    return [...byPlace.values()].sort(compareRanges).map(({ gapBytes, rowGap, ...range }) => {
      const placed = { ...range, position: position + gapBytes, rowStart: rowStart + rowGap };
      position = placed.position + placed.sizeBytes;
      rowStart = placed.rowStart + placed.rowCount;
      return placed;
    });
  });

const anyFacts = fc
  .record({
    segmentId: uuid,
    level: count(65_535),
    createdMs: count(2 ** 50),
    lengthBytes: count(2 ** 50),
    addresses: fc.tuple(count(2 ** 50), count(2 ** 50)),
    searchIndex: fc.option(
      fc.record({
        documentCount: count(2 ** 40),
        sizeBytes: count(2 ** 40),
        times: fc.option(
          fc.record({ minMs: fc.integer({ max: 5 }), maxMs: fc.integer({ min: 6 }) }),
        ),
      }),
    ),
    ranges: anyRanges,
  })
  .map(({ addresses, ...rest }) => ({
    ...rest,
    startAddress: Math.min(...addresses),
    endAddress: Math.max(...addresses),
  }));

test("segment facts: any survive a round trip, and so do their ranges", () => {
  const property = fc.property(anyFacts, (facts) => {
    expect(decodeSegmentFacts(encodeSegmentFacts(facts))).toEqual(facts);
    expect(decodeRanges(encodeRanges(facts.ranges))).toEqual(facts.ranges);
  });
  fc.assert(property, { numRuns: 300 });
});
