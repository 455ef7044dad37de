/** Which segments go or are written again because of deleted records: by hand. */

import { expect, test } from "bun:test";
import { type PurgeCandidate, planPurge } from "../../src/segment/purge-policy.ts";

function candidate(segmentId: string, values: Partial<PurgeCandidate>): PurgeCandidate {
  return { segmentId, liveBytes: 100, deadBytes: 10, dueMs: 100_000, ...values };
}

test("purge policy: a segment in which nothing lives goes at once", () => {
  const empty = candidate("empty", { liveBytes: 0, dueMs: Number.POSITIVE_INFINITY });
  expect(planPurge([empty], 0)).toEqual({
    deletedIds: ["empty"],
    rewrittenIds: [],
    nextMs: undefined,
  });
});

test("purge policy: a segment is written again in time, most urgent and most dead first", () => {
  const candidates = [
    candidate("late", { dueMs: 200_000 }),
    candidate("later", { dueMs: 300_000 }),
    candidate("small", { dueMs: 100_000 }),
    candidate("large", { dueMs: 100_000, deadBytes: 20 }),
    candidate("never", { dueMs: Number.POSITIVE_INFINITY }),
    candidate("whole", { deadBytes: 0 }),
  ];
  // Two segments of a second each, and 30 s for what comes between.
  const { nextMs = 0 } = planPurge(candidates, 0);
  expect(nextMs).toBeCloseTo(68_000, -1);
  expect(planPurge(candidates, nextMs - 1).rewrittenIds).toEqual([]);
  expect(planPurge(candidates, nextMs).rewrittenIds).toEqual(["large", "small"]);
  expect(planPurge(candidates, 180_000).rewrittenIds).toEqual(["large", "small", "late"]);
});

test("purge policy: the more there is to write, the earlier it begins", () => {
  const gigabyte = { liveBytes: 1e9, deadBytes: 1e6, dueMs: 1_000_000 };
  const one = planPurge([candidate("1", gigabyte)], 0);
  expect(one.nextMs).toBe(1_000_000 - 30_000 - 51_000);
  const ten = Array.from({ length: 10 }, (_, index) => candidate(`${index}`, gigabyte));
  expect(planPurge(ten, 0).nextMs).toBe(1_000_000 - 30_000 - 510_000);
  expect(planPurge(ten, 500_000).rewrittenIds.length).toBe(10);
});

test("purge policy: more than 30 % dead is written again whatever the time", () => {
  const dueMs = Number.POSITIVE_INFINITY;
  const shares = [
    candidate("30", { deadBytes: 30, liveBytes: 70, dueMs }),
    candidate("31", { deadBytes: 31, liveBytes: 69, dueMs }),
  ];
  expect(planPurge(shares, 0).rewrittenIds).toEqual(["31"]);
});
