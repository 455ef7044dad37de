/** Waits end when the broker stops, also those that would begin afterwards. */

import { expect, test } from "bun:test";
import { Purgatory } from "../../src/log/purgatory.ts";
import { ManualClock } from "../manual-clock.ts";

const endless = {
  partitions: [],
  maxWaitMs: 60_000,
  isSatisfied: () => false,
  onAbandon: () => () => {},
};

test("purgatory: once closed, nobody waits", async () => {
  const clock = new ManualClock();
  const purgatory = new Purgatory(clock);
  const waiting = purgatory.wait(endless);
  expect(purgatory.waitingCount).toBe(1);
  purgatory.close();
  await waiting;
  await purgatory.wait(endless);
  expect([purgatory.waitingCount, clock.timerCount]).toEqual([0, 0]);
});
