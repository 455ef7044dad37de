/** What the bench concludes from numbers, and the records that it sends. */
import { expect, test } from "bun:test";
import { COMMON_WORD, logLineOf, uniqueWordOf } from "./log-lines.ts";
import { describeTarget, isReached, type Row, ratioOf } from "./row.ts";
import { median, percentile } from "./statistics.ts";

const RATES: Row = {
  name: "some/produce",
  title: "some workload: produce",
  unit: "MiB/s",
  target: { of: "ratio", atLeast: 0.9 },
  ours: [90, 80, 200],
  kafka: [100, 100, 100],
  othersCores: [],
};

test("median: the middle, or the mean of the two in the middle", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(() => median([])).toThrow();
});

test("percentile: the smallest value that the fraction does not exceed", () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  expect(percentile(values, 0.5)).toBe(50);
  expect(percentile(values, 0.99)).toBe(99);
  expect(percentile(values, 1)).toBe(100);
  expect(percentile([7], 0.5)).toBe(7);
});

test("row: the ratio is the median of the pairs' ratios", () => {
  expect(ratioOf(RATES)).toBeCloseTo(0.9);
  expect(isReached(RATES)).toBe(true);
  expect(isReached({ ...RATES, target: { of: "ratio", atLeast: 1.2 } })).toBe(false);
  expect(ratioOf({ ...RATES, kafka: [] })).toBeUndefined();
  expect(isReached({ ...RATES, kafka: [] })).toBe(false);
});

test("row: a target of a value looks at ours alone", () => {
  const row: Row = { ...RATES, unit: "ms", target: { of: "value", atMost: 100 }, kafka: [] };
  expect(isReached(row)).toBe(true);
  expect(isReached({ ...row, target: { of: "value", atMost: 89 } })).toBe(false);
  expect(describeTarget(row)).toBe("≤ 100 ms");
  expect(describeTarget(RATES)).toBe("≥ 0.9 ×");
});

test("logLineOf: JSON of the wanted size with a word of its own", () => {
  for (const sizeBytes of [200, 1024]) {
    for (const index of [0, 1, 399_999]) {
      const line = logLineOf(index, sizeBytes);
      const { id, message } = JSON.parse(line) as { id: string; message: string };
      expect(new TextEncoder().encode(line)).toHaveLength(sizeBytes);
      expect(id).toBe(uniqueWordOf(index));
      expect(message).toStartWith(COMMON_WORD);
      expect(logLineOf(index, sizeBytes)).toBe(line);
    }
  }
});
