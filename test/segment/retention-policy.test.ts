/** Which records have passed their retention, against Apache Kafka's rule written down plainly, and at its edges. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import {
  type RetainedLog,
  type RetainedUnit,
  type RetentionLimits,
  retainedStart,
} from "../../src/segment/retention-policy.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: 2000 }, (_, index) => index);
const NOW_MS = 1_000_000;
const NO_LIMITS: RetentionLimits = {
  ...{ retentionMs: -1, retentionBytes: -1 },
  ...{ segmentBytes: 2 ** 30, segmentMs: 604_800_000 },
};

/** One record per byte of a unit: its offset is its position. */
interface Stored {
  readonly sizeBytes: number;
  readonly maxTimestampMs: number;
}

function logOf(
  stored: readonly Stored[],
  place: { logStartOffset?: number; highWatermark?: number } = {},
): RetainedLog {
  let end = 0;
  const units = stored.map(({ sizeBytes, maxTimestampMs }): RetainedUnit => {
    const startOffset = end;
    end += sizeBytes;
    return { startOffset, endOffset: end, sizeBytes, minTimestampMs: 0, maxTimestampMs };
  });
  return {
    logStartOffset: place.logStartOffset ?? 0,
    highWatermark: place.highWatermark ?? end,
    unitAt: (offset) => units.find(({ endOffset }) => endOffset > offset),
  };
}

/** Apache Kafka's `deleteOldSegments`: by time first, then by size. */
function naiveStart(stored: readonly Stored[], limits: RetentionLimits, end: number): number {
  const segments = [...stored];
  let start = 0;
  const deleteWhile = (isDue: (segment: Stored) => boolean): void => {
    for (let first = segments[0]; first; first = segments[0]) {
      if (start + first.sizeBytes > end || !isDue(first)) return;
      start += first.sizeBytes;
      segments.shift();
    }
  };
  if (limits.retentionMs >= 0) {
    deleteWhile(({ maxTimestampMs }) => NOW_MS - maxTimestampMs > limits.retentionMs);
  }
  const size = segments.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (limits.retentionBytes < 0 || size < limits.retentionBytes) return start;
  let difference = size - limits.retentionBytes;
  deleteWhile(({ sizeBytes }) => {
    if (difference - sizeBytes < 0) return false;
    difference -= sizeBytes;
    return true;
  });
  return start;
}

test("retention: units go as Apache Kafka's segments do", async () => {
  for (const seed of seeds) {
    const random = seededRandom(seed);
    const below = (end: number): number => Math.floor(random() * end);
    const stored = Array.from({ length: below(8) }, () => ({
      sizeBytes: 1 + below(50),
      maxTimestampMs: NOW_MS + 20 - below(100),
    }));
    const limits: RetentionLimits = {
      ...NO_LIMITS,
      retentionMs: below(3) === 0 ? -1 : below(80),
      retentionBytes: below(3) === 0 ? -1 : below(200),
    };
    const end = stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const highWatermark = below(2) === 0 ? end : below(end + 1);
    const actual = await retainedStart(logOf(stored, { highWatermark }), limits, NOW_MS);
    expect({ seed, start: actual }).toEqual({
      seed,
      start: naiveStart(stored, limits, highWatermark),
    });
  }
});

test("retention: without limits nothing goes; a limit of 0 takes all that consumers see", async () => {
  const stored = [
    { sizeBytes: 10, maxTimestampMs: 1 },
    { sizeBytes: 10, maxTimestampMs: 2 },
  ];
  expect(await retainedStart(logOf(stored), NO_LIMITS, NOW_MS)).toBe(0);
  expect(await retainedStart(logOf(stored), { ...NO_LIMITS, retentionMs: 0 }, NOW_MS)).toBe(20);
  expect(await retainedStart(logOf(stored), { ...NO_LIMITS, retentionBytes: 0 }, NOW_MS)).toBe(20);
  const unseen = logOf(stored, { highWatermark: 19 });
  expect(await retainedStart(unseen, { ...NO_LIMITS, retentionMs: 0 }, NOW_MS)).toBe(10);
});

test("retention: the largest timestamp decides, and the first unit that stays holds back the rest", async () => {
  const limits = { ...NO_LIMITS, retentionMs: 100 };
  const stored = [
    { sizeBytes: 10, maxTimestampMs: NOW_MS - 101 },
    // Exactly as old as allowed.
    { sizeBytes: 10, maxTimestampMs: NOW_MS - 100 },
    { sizeBytes: 10, maxTimestampMs: NOW_MS - 5000 },
  ];
  expect(await retainedStart(logOf(stored), limits, NOW_MS)).toBe(10);
  expect(await retainedStart(logOf(stored), limits, NOW_MS + 1)).toBe(30);
});

test("retention: bytes before the log's start do not count", async () => {
  const stored = [
    { sizeBytes: 100, maxTimestampMs: NOW_MS },
    { sizeBytes: 10, maxTimestampMs: NOW_MS },
  ];
  const limits = { ...NO_LIMITS, retentionBytes: 20 };
  expect(await retainedStart(logOf(stored, { logStartOffset: 90 }), limits, NOW_MS)).toBe(90);
  expect(await retainedStart(logOf(stored, { logStartOffset: 89 }), limits, NOW_MS)).toBe(89);
  const none = { ...NO_LIMITS, retentionBytes: 10 };
  expect(await retainedStart(logOf(stored, { logStartOffset: 89 }), none, NOW_MS)).toBe(100);
});

/** A unit of 1,000 bytes whose record at offset n has the time n, and that can be cut at every tenth. */
function divisible(asked: string[]): RetainedLog {
  const unit: RetainedUnit = {
    ...{ startOffset: 0, endOffset: 1000, sizeBytes: 1000 },
    ...{ minTimestampMs: 0, maxTimestampMs: 999 },
    cuts: {
      beforeTimestamp: async (timestampMs) => {
        asked.push(`time ${timestampMs}`);
        return Math.floor(timestampMs / 10) * 10;
      },
      behindBytes: async (sizeBytes) => {
        asked.push(`bytes ${sizeBytes}`);
        return Math.floor(sizeBytes / 10) * 10;
      },
    },
  };
  return {
    logStartOffset: 0,
    highWatermark: 1000,
    unitAt: (offset) => (offset < 1000 ? unit : undefined),
  };
}

test("retention: a unit larger than segment.bytes, or longer than segment.ms, is cut", async () => {
  const asked: string[] = [];
  const log = divisible(asked);
  const coarse = { ...NO_LIMITS, retentionMs: 500 };
  expect(await retainedStart(log, coarse, 1055)).toBe(0);
  expect(asked).toEqual([]);
  expect(await retainedStart(log, { ...coarse, segmentBytes: 999 }, 1055)).toBe(550);
  expect(await retainedStart(log, { ...coarse, segmentMs: 998 }, 1055)).toBe(550);
  expect(asked).toEqual(["time 555", "time 555"]);
  const sized = { ...NO_LIMITS, retentionBytes: 395 };
  expect(await retainedStart(log, sized, 0)).toBe(0);
  expect(await retainedStart(log, { ...sized, segmentBytes: 100 }, 0)).toBe(600);
  // By time up to 550 first; of the 450 that are left, 55 more.
  const both = { ...coarse, ...sized, retentionMs: 500, segmentBytes: 100 };
  expect(await retainedStart(log, both, 1055)).toBe(600);
});

test("retention: nothing is asked of a unit whose records are all young enough", async () => {
  const asked: string[] = [];
  const limits = { ...NO_LIMITS, retentionMs: 500, segmentBytes: 1 };
  expect(await retainedStart(divisible(asked), limits, 500)).toBe(0);
  expect(asked).toEqual([]);
});
