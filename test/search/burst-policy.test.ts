/** When the index pauses for producers, and when it goes on. */
import { expect, test } from "bun:test";
import { BurstPolicy } from "../../src/search/burst-policy.ts";

const MIB = 1024 * 1024;
const STEP_MS = 250;

/** Pauses at steps of a quarter second, in a burst of `mibPerStep` that starts with `lagMib` not indexed. */
function pauses(
  policy: BurstPolicy,
  {
    mibPerStep,
    lagMib,
    steps,
    startMs = 0,
  }: Record<"mibPerStep" | "lagMib" | "steps", number> & { startMs?: number },
): number[] {
  return Array.from({ length: steps }, (_, step) =>
    policy.pauseMs({
      logBytes: (100 + step * mibPerStep) * MIB,
      lagBytes: (lagMib + step * mibPerStep) * MIB,
      nowMs: startMs + step * STEP_MS,
    }),
  );
}

test("a burst that is too fast gets the machine", () => {
  const policy = new BurstPolicy();
  expect(pauses(policy, { mibPerStep: 10, lagMib: 40, steps: 4 })).toEqual([0, 250, 250, 250]);
});

test("producers that the index can follow are followed, however far behind it is", () => {
  const policy = new BurstPolicy();
  expect(pauses(policy, { mibPerStep: 1, lagMib: 500, steps: 20 })).not.toContain(250);
});

test("a fast stream does not pause an index that is near", () => {
  const policy = new BurstPolicy();
  const near = Array.from({ length: 20 }, (_, step) =>
    policy.pauseMs({ logBytes: step * 10 * MIB, lagBytes: 10 * MIB, nowMs: step * STEP_MS }),
  );
  expect(near).not.toContain(250);
});

test("the end of a burst ends the pauses within a window", () => {
  const policy = new BurstPolicy();
  pauses(policy, { mibPerStep: 10, lagMib: 40, steps: 10 });
  const quiet = { logBytes: 190 * MIB, lagBytes: 130 * MIB };
  expect(policy.pauseMs({ ...quiet, nowMs: 2_500 })).toBe(0);
  expect(policy.pauseMs({ ...quiet, nowMs: 2_510 })).toBe(0);
});

test("a burst without end is indexed beside it after 30 s", () => {
  const policy = new BurstPolicy();
  const all = pauses(policy, { mibPerStep: 10, lagMib: 40, steps: 160 });
  expect(all.slice(1, 121)).toEqual(Array.from({ length: 120 }, () => 250));
  expect(all.slice(121)).toEqual(Array.from({ length: 39 }, () => 0));
});
