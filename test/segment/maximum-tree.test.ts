/** The tree of maxima against a loop over the numbers. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { MaximumTree } from "../../src/segment/maximum-tree.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : [0, 1, 2, 3, 4];
const SIZES = [0, 1, 15, 16, 17, 255, 256, 257, 4095, 4096, 4097, 9000];

test.each(seeds)("maximum tree: as a loop, at every size (SEED=%d)", (seed) => {
  const random = seededRandom(seed);
  const below = (limit: number) => Math.floor(random() * limit);
  const tree = new MaximumTree();
  const values = new Float64Array(10_000);
  let count = 0;
  for (let round = 0; round < 120; round += 1) {
    const size = SIZES[below(SIZES.length)] ?? 0;
    // What lies behind the count must not matter.
    const from = Math.min(count, size, below(size + 1));
    for (let index = from; index < values.length; index += 1) values[index] = below(1_000_000);
    count = size;
    tree.update(values, count, from);
    for (let query = 0; query < 60; query += 1) {
      const start = query === 0 ? 0 : below(count + 1);
      const minimum = query % 3 === 0 ? 999_000 + below(1000) : below(1_000_000);
      const kept = values.subarray(0, count);
      const expected = kept.findIndex((value, index) => index >= start && value >= minimum);
      expect(tree.firstAtLeast(values, count, start, minimum)).toBe(expected);
      expect(tree.maximum(values, count, start)).toBe(Math.max(...kept.subarray(start)));
    }
  }
});
