/** Sizes, durations and near misses of names. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { nearestOf } from "../../src/config/nearest.ts";
import { bytesOf, durationOf, formatBytes } from "../../src/config/units.ts";

test.each([
  ["0", 0],
  ["1024", 1024],
  ["1024B", 1024],
  ["256M", 2 ** 28],
  ["256 MiB", 2 ** 28],
  ["256mb", 2 ** 28],
  ["10G", 10 * 2 ** 30],
  ["1t", 2 ** 40],
  ["1.5G", undefined],
  ["-1", undefined],
  ["G", undefined],
  ["10X", undefined],
  ["9007199254740993", undefined],
  ["99999999T", undefined],
])("bytesOf: %p is %p", (text, expected) => {
  expect(bytesOf(text)).toBe(expected);
});

test("formatBytes: every size is read back exactly", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 2 ** 23 - 1 }),
      fc.integer({ min: 0, max: 3 }),
      (n, k) => {
        expect(bytesOf(formatBytes(n * 1024 ** k))).toBe(n * 1024 ** k);
      },
    ),
  );
});

test.each([
  ["30", "secs", 30],
  ["30s", "secs", 30],
  ["2m", "secs", 120],
  ["500ms", "secs", undefined],
  ["2000ms", "secs", 2],
  ["500ms", "ms", 500],
  ["7d", "minutes", 10_080],
  ["1.5s", "ms", undefined],
  ["soon", "ms", undefined],
] as const)("durationOf: %p in %s is %p", (text, unit, expected) => {
  expect(durationOf(text, unit)).toBe(expected);
});

test.each([
  ["kafka-prot", "kafka-port"],
  ["KAFKA-PORT", "kafka-port"],
  ["kafka-port-number", "kafka-port"],
  ["zzzzzz", undefined],
])("nearestOf: %p suggests %p", (name, expected) => {
  expect(nearestOf(name, ["http-port", "kafka-port", "data-dir"])).toBe(expected);
});
