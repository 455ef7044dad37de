/** What is not a setting and yet takes memory grows and shrinks with `--memory-max`, too. */

import { expect, test } from "bun:test";
import { archiveStats } from "../../src/core/native-segments.ts";
import { RunningBroker } from "./running-broker.ts";

test("memory-max: a broker sets the cache of what is read from archives by it", async () => {
  const found: number[] = [];
  for (const memoryMax of ["224M", "1G"]) {
    const broker = await RunningBroker.start("--memory-max", memoryMax);
    try {
      found.push(archiveStats().cacheBytesMax / 2 ** 20);
    } finally {
      await broker.remove();
    }
  }
  expect(found).toEqual([4, 48]);
});
