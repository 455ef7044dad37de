/** The shares of the memory limit: they fit, they grow with it, and chosen values stay. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { isPowerOfTwo, memorySharesOf, sharedBytesOf } from "../../src/config/memory-budget.ts";
import { SETTINGS } from "../../src/config/settings.ts";

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
      expect(sum).toBeLessThanOrEqual(sharedBytesOf(memoryMaxBytes));
      expect(isPowerOfTwo(walSlabBytes)).toBe(true);
      expect(inFlightBytesMax).toBeGreaterThanOrEqual(SETTINGS.inFlightBytesMax.min);
      expect(liveIndexBytesMax).toBeGreaterThanOrEqual(SETTINGS.liveIndexBytesMax.min);
    }),
  );
});

test.each([
  [224, { walSlabBytes: 16, inFlightBytesMax: 31, liveIndexBytesMax: 21 }],
  [256, { walSlabBytes: 16, inFlightBytesMax: 42, liveIndexBytesMax: 28 }],
  [360, { walSlabBytes: 32, inFlightBytesMax: 76, liveIndexBytesMax: 50 }],
  [2048, { walSlabBytes: 64, inFlightBytesMax: 630, liveIndexBytesMax: 420 }],
])("memorySharesOf: the shares of %p MiB are %j MiB", (memoryMax, expected) => {
  const shares = Object.entries(sharesOf(memoryMax * MIB)).map(([name, n]) => [name, n / MIB]);
  expect(Object.fromEntries(shares)).toEqual(expected);
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
