/** Which partitions are due, and how far, by Apache Kafka's rules. */

import { expect, test } from "bun:test";
import {
  type CompactibleRange,
  type CompactionLimits,
  duePartition,
} from "../../src/segment/compaction-policy.ts";

const NOW_MS = 1_000_000;
const LIMITS: CompactionLimits = {
  ...{ dirtyRatioMin: 0.5, lagMsMin: 0, lagMsMax: Number.MAX_SAFE_INTEGER },
};
const STATE = { dirtyOffset: 0, lastStableOffset: 1000, nowMs: NOW_MS, segmentCountMax: 10 };

/** Ten ranges of a hundred offsets and bytes each; range n is from n × 1,000 ms to 999 ms later. */
function ranges(
  change: (range: CompactibleRange, index: number) => CompactibleRange = (one) => one,
) {
  return Array.from({ length: 10 }, (_, index) =>
    change(
      {
        segmentId: `s${index}`,
        ...{ startOffset: index * 100, endOffset: index * 100 + 100, sizeBytes: 100 },
        ...{ minTimestampMs: index * 1000 + 1, maxTimestampMs: index * 1000 + 999 },
        isAwaited: false,
      },
      index,
    ),
  );
}

test("due: more than the ratio is dirty", () => {
  const due = (dirtyOffset: number) => duePartition(ranges(), LIMITS, { ...STATE, dirtyOffset });
  expect(due(0)).toMatchObject({ endOffset: 1000, dirtyRatio: 1, sizeBytes: 1000 });
  expect(due(0)?.segmentIds.length).toBe(10);
  expect(due(499)?.dirtyRatio).toBeCloseTo(0.501);
  expect(due(500)).toBeUndefined();
  expect(due(1000)).toBeUndefined();
  expect(
    duePartition(ranges(), { ...LIMITS, dirtyRatioMin: 0 }, { ...STATE, dirtyOffset: 1000 }),
  ).toBeUndefined();
  expect(duePartition([], LIMITS, STATE)).toBeUndefined();
});

test("due: the lag that a record must have had ends what is compacted", () => {
  const limits = { ...LIMITS, lagMsMin: NOW_MS - 4999 };
  expect(duePartition(ranges(), limits, STATE)?.endOffset).toBe(500);
  expect(duePartition(ranges(), { ...limits, lagMsMin: NOW_MS }, STATE)).toBeUndefined();
});

test("due: the lag that a record may have at most outweighs the ratio", () => {
  const state = { ...STATE, dirtyOffset: 900 };
  const limits = (lagMsMax: number) => ({ ...LIMITS, lagMsMax });
  expect(duePartition(ranges(), limits(NOW_MS - 9001), state)).toBeUndefined();
  expect(duePartition(ranges(), limits(NOW_MS - 9002), state)?.endOffset).toBe(1000);
  // Nothing is known of the time of these.
  const timeless = ranges((range) => ({ ...range, minTimestampMs: -1 }));
  expect(duePartition(timeless, limits(1), state)).toBeUndefined();
});

test("due: never beyond the last stable offset, an awaited index, or what one job may read", () => {
  const endOf = (found: ReturnType<typeof duePartition>) => found?.endOffset;
  expect(endOf(duePartition(ranges(), LIMITS, { ...STATE, lastStableOffset: 399 }))).toBe(300);
  expect(endOf(duePartition(ranges(), LIMITS, { ...STATE, segmentCountMax: 2 }))).toBe(200);
  const awaited = ranges((range, index) => ({ ...range, isAwaited: index === 7 }));
  expect(endOf(duePartition(awaited, LIMITS, STATE))).toBe(700);
});
