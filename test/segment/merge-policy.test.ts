/** Which segments the policy picks: counts, levels and tiers, what is left alone, and what holds a merge up. */

import { expect, test } from "bun:test";
import {
  MERGE_LIMITS,
  type MergeCandidate,
  type MergeLimits,
  type OwnCandidate,
  ownTargetBytes,
  ownWindow,
  sharedWindow,
} from "../../src/segment/merge-policy.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;

const LIMITS: MergeLimits = { ...MERGE_LIMITS, fanIn: 3 };

test("sharedWindow: fan-in of a level, the oldest first", () => {
  expect(sharedIds(["0 1", "0 1"])).toBeUndefined();
  expect(sharedIds(["0 1", "0 1", "0 1"])).toEqual([0, 1, 2]);
  expect(sharedIds(["1 9", "1 9", "0 1", "0 1", "0 1"])).toEqual([2, 3, 4]);
  expect(sharedIds(["2 90", "1 9", "1 9", "1 9", "0 1", "0 1"])).toEqual([1, 2, 3]);
});

test("sharedWindow: what is of a lower level among the others goes along", () => {
  expect(sharedIds(["0 1", "1 9", "0 1", "1 9", "1 9", "0 1"])).toEqual([0, 1, 2, 3, 4]);
});

test("sharedWindow: a large merged one is left alone, and ends what comes before it", () => {
  expect(sharedIds(["1 600", "1 9", "1 9"])).toBeUndefined();
  expect(sharedIds(["1 9", "1 9", "1 600", "1 9", "1 9"])).toEqual([0, 1]);
});

test("sharedWindow: a sealed one that fills a job is split alone; a larger one waits", () => {
  const limits = { ...LIMITS, jobBytesMax: 100 * MIB };
  expect(sharedIds(["0 1", "0 60", "0 1"], limits)).toEqual([1]);
  expect(sharedIds(["0 1", "0 101", "0 1"], limits)).toBeUndefined();
  expect(sharedIds(["0 40", "0 40", "0 40"], limits)).toEqual([0, 1]);
});

test("sharedWindow: nothing from the first on that waits for its search index", () => {
  const candidates = candidatesOf(["0 1", "0 1", "0 1", "0 1", "0 1", "0 1"]);
  const waiting = candidates.map((each, place) => ({ ...each, readyMs: place === 4 ? 100 : 0 }));
  expect(idsOf(sharedWindow(waiting, LIMITS, 99))).toEqual([0, 1, 2, 3]);
  expect(idsOf(sharedWindow(waiting, LIMITS, 100))).toEqual([0, 1, 2, 3, 4, 5]);
});

test("ownWindow: fan-in of a tier of size", () => {
  expect(ownIds(["1 8", "1 8"])).toBeUndefined();
  expect(ownIds(["1 8", "1 8", "1 8"])).toEqual([0, 1, 2]);
  expect(ownIds(["2 30", "1 8", "1 8"])).toBeUndefined();
  expect(ownIds(["2 30", "1 8", "1 8", "1 8"])).toEqual([1, 2, 3]);
});

test("ownWindow: neighbours that fill a segment are merged; a grown one is left alone", () => {
  expect(ownIds(["1 100", "1 110"])).toBeUndefined();
  expect(ownIds(["1 100", "1 110", "1 90"])).toEqual([0, 1]);
  expect(ownIds(["1 200", "1 200", "1 200", "1 200"])).toBeUndefined();
  expect(ownIds(["1 200", "1 20", "1 20"])).toBeUndefined();
  expect(ownIds(["1 20", "1 20", "1 200"])).toEqual([0, 1]);
});

test("ownWindow: a merge that would mostly rewrite one segment waits", () => {
  const kib = (sizes: readonly number[]) => sizes.map((size) => `1 ${size / 1024}`);
  expect(ownIds(kib([60, 1, 1, 1]))).toBeUndefined();
  expect(ownIds(kib([60, 20, 20, 20]))).toEqual([0, 1, 2, 3]);
});

test("ownWindow: nothing is merged across others' ranges", () => {
  const lineage = candidatesOf(["1 8", "1 8", "1 8", "1 8"]);
  const cut = (place: number) =>
    lineage.map((each, index) => ({
      ...each,
      separatedFrom: index === place ? String(place - 1) : undefined,
    }));
  expect(idsOf(ownWindow(cut(1), LIMITS, 0))).toEqual([1, 2, 3]);
  expect(ownWindow(cut(2), LIMITS, 0)).toBeUndefined();
});

test("ownWindow: the count of records bounds a segment as its bytes do", () => {
  const lineage = candidatesOf(["1 8", "1 8", "1 8", "1 8"]).map((each) => ({
    ...each,
    recordCount: MERGE_LIMITS.recordCountMax / 2,
  }));
  expect(idsOf(ownWindow(lineage, LIMITS, 0))).toEqual([0, 1]);
  const grown = lineage.map((each) => ({ ...each, recordCount: each.recordCount + 1 }));
  expect(ownWindow(grown, LIMITS, 0)).toBeUndefined();
});

test("sharedWindow: no more ranges than a plan can hold", () => {
  const lineage = candidatesOf(["0 1", "0 1", "0 1", "0 1"]).map((each) => ({
    ...each,
    rangeCount: MERGE_LIMITS.rangeCountMax / 2,
  }));
  expect(idsOf(sharedWindow(lineage, LIMITS, 0))).toEqual([0, 1]);
});

test("ownTargetBytes: grows fourfold when a topic would have too many objects, up to a bound", () => {
  const targetOf = (gib: number) => ownTargetBytes(gib * GIB, MERGE_LIMITS) / MIB;
  expect([0, 12, 13, 48, 49, 192, 193, 9_999].map(targetOf)).toEqual([
    256, 256, 1024, 1024, 4096, 4096, 8192, 8192,
  ]);
  expect(ownTargetBytes(99 * GIB, { ...MERGE_LIMITS, jobBytesMax: 300 * MIB })).toBe(300 * MIB);
});

function sharedIds(levelsAndSizes: readonly string[], limits = LIMITS): number[] | undefined {
  return idsOf(sharedWindow(candidatesOf(levelsAndSizes), limits, 0));
}

function ownIds(levelsAndSizes: readonly string[]): number[] | undefined {
  return idsOf(ownWindow(candidatesOf(levelsAndSizes), LIMITS, 0));
}

/** "<level> <MiB>" in the order of the log; the id is the place. */
function candidatesOf(levelsAndSizes: readonly string[]): OwnCandidate[] {
  return levelsAndSizes.map((text, place) => {
    const [level = 0, mib = 0] = text.split(" ").map(Number);
    return {
      segmentId: String(place),
      level,
      startAddress: place,
      sizeBytes: mib * MIB,
      recordCount: 1,
      rangeCount: 1,
      readyMs: 0,
      separatedFrom: undefined,
    };
  });
}

function idsOf(window: readonly MergeCandidate[] | undefined): number[] | undefined {
  return window?.map(({ segmentId }) => Number(segmentId));
}
