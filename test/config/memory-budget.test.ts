/** The shares of the memory limit: they fit, they grow with it, and chosen values stay. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import {
  choosableBytesOf,
  fixedSharesOf,
  isPowerOfTwo,
  memorySharesOf,
  sharedBytesOf,
} from "../../src/config/memory-budget.ts";
import { SETTINGS } from "../../src/config/settings.ts";
import { topicReadLimitsOf } from "../../src/http/topic-read-limits.ts";

const MIB = 2 ** 20;
const NOTHING_CHOSEN = { walSlabBytes: 0, inFlightBytesMax: 0, liveIndexBytesMax: 0 };

function sharesOf(memoryMaxBytes: number) {
  return memorySharesOf(memoryMaxBytes, { ...NOTHING_CHOSEN, walFileBytes: 64 * MIB });
}

test("memorySharesOf: the shares fit beside the reserve for every allowed limit", () => {
  const { min, max } = SETTINGS.memoryMaxBytes;
  fc.assert(
    fc.property(fc.integer({ min, max }), (memoryMaxBytes) => {
      const { walSlabBytes, inFlightBytesMax, liveIndexBytesMax } = sharesOf(memoryMaxBytes);
      const sum = walSlabBytes + inFlightBytesMax + liveIndexBytesMax;
      expect(sum).toBeLessThanOrEqual(choosableBytesOf(memoryMaxBytes));
      const { archiveCacheBytesMax, topicReadBytesMax } = fixedSharesOf(memoryMaxBytes);
      const all = sum + archiveCacheBytesMax + topicReadBytesMax;
      expect(all).toBeLessThanOrEqual(sharedBytesOf(memoryMaxBytes));
      expect(isPowerOfTwo(walSlabBytes)).toBe(true);
      expect(inFlightBytesMax).toBeGreaterThanOrEqual(SETTINGS.inFlightBytesMax.min);
      expect(liveIndexBytesMax).toBeGreaterThanOrEqual(SETTINGS.liveIndexBytesMax.min);
    }),
  );
});

test.each([
  [224, { walSlabBytes: 16, inFlightBytesMax: 21, liveIndexBytesMax: 17 }],
  [256, { walSlabBytes: 16, inFlightBytesMax: 30, liveIndexBytesMax: 24 }],
  [360, { walSlabBytes: 32, inFlightBytesMax: 58, liveIndexBytesMax: 46 }],
  [2048, { walSlabBytes: 64, inFlightBytesMax: 520, liveIndexBytesMax: 416 }],
])("memorySharesOf: the shares of %p MiB are %j MiB", (memoryMax, expected) => {
  const shares = Object.entries(sharesOf(memoryMax * MIB)).map(([name, n]) => [name, n / MIB]);
  expect(Object.fromEntries(shares)).toEqual(expected);
});

test.each([
  [224, [4, 8]],
  [360, [11, 23]],
  [2048, [104, 208]],
])(
  "fixedSharesOf: of %p MiB the archive cache and topic reads get %j MiB",
  (memoryMax, expected) => {
    const { archiveCacheBytesMax, topicReadBytesMax } = fixedSharesOf(memoryMax * MIB);
    expect([archiveCacheBytesMax / MIB, topicReadBytesMax / MIB]).toEqual(expected);
  },
);

test("topicReadLimitsOf: all reads together stay within their share, which grows with the limit", () => {
  const { min, max } = SETTINGS.memoryMaxBytes;
  fc.assert(
    fc.property(fc.integer({ min, max }), (memoryMaxBytes) => {
      const { topicReadBytesMax } = fixedSharesOf(memoryMaxBytes);
      const { runningMax, ...limits } = topicReadLimitsOf(topicReadBytesMax);
      const { contentBytesMax, heldBytesMax, lengthMax } = limits;
      const each = contentBytesMax + 2 * heldBytesMax + 2 * lengthMax;
      expect(runningMax * each).toBeLessThanOrEqual(topicReadBytesMax);
      // A batch as large as it may be by default is looked into.
      expect(contentBytesMax).toBeGreaterThan(SETTINGS.messageMaxBytes.default);
      const more = topicReadLimitsOf(fixedSharesOf(memoryMaxBytes * 2).topicReadBytesMax);
      expect(more.runningMax * more.contentBytesMax).toBeGreaterThanOrEqual(
        Math.min(runningMax * contentBytesMax, 32 * MIB),
      );
    }),
  );
});

test("memorySharesOf: the default limit stays under 400 MB", () => {
  expect(SETTINGS.memoryMaxBytes.default).toBeLessThan(400e6);
});

test("memorySharesOf: a chosen share is kept and the slab never exceeds a WAL file", () => {
  const chosen = { ...NOTHING_CHOSEN, liveIndexBytesMax: 5 * MIB, walFileBytes: 4 * MIB };
  const shares = memorySharesOf(256 * MIB, chosen);
  expect(shares.liveIndexBytesMax).toBe(5 * MIB);
  expect(shares.walSlabBytes).toBe(4 * MIB);
});
