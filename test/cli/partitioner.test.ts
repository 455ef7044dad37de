/** The Java client's choice of partitions. */
import { expect, test } from "bun:test";
import { murmur2, partitionOf } from "../../src/cli/partitioner.ts";

/** From Apache Kafka's own test of `Utils.murmur2`. */
test.each([
  ["21", -973932308],
  ["foobar", -790332482],
  ["a-little-bit-long-string", -985981536],
  ["a-little-bit-longer-string", -1486304829],
  ["lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971],
  ["abc", 479470107],
])("murmur2: %s", (key, hash) => {
  expect(murmur2(Buffer.from(key))).toBe(hash);
  expect(partitionOf(Buffer.from(key), 1)).toBe(0);
  expect(partitionOf(Buffer.from(key), 7)).toBe((hash & 0x7fffffff) % 7);
});
