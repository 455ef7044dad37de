/** How segments become real: an entry of metadata names them, and whoever listens to metadata hears of it. */

import type { MetaStore } from "../meta/meta-store.ts";
import { encodeSegmentFacts, type SegmentFacts } from "./segment-facts.ts";

/** Ranges of one entry at most, but that a segment is never divided; see `sealing.ts`. */
const RANGES_PER_ENTRY_MAX = 15_000;

/** Makes segments known for good. Resolves when the logs read them. */
export function registerSegments(
  meta: MetaStore,
  added: readonly SegmentFacts[],
  removedIds: readonly string[] = [],
): Promise<void> {
  const encoded = added.map((facts) => Buffer.from(encodeSegmentFacts(facts)).toString("base64"));
  return meta.commit({ kind: "segmentsChanged", added: encoded, removedIds });
}

/** Makes a round's segments known. Resolves when all are. */
export async function registerRound(
  meta: MetaStore,
  added: readonly SegmentFacts[],
  rangesPerEntryMax = RANGES_PER_ENTRY_MAX,
): Promise<void> {
  const parts = partsOf(added, rangesPerEntryMax);
  await Promise.all(parts.map((part) => registerSegments(meta, part)));
}

/** Makes known what registered segments are now. Resolves when that of all is. */
export async function registerIndexes(
  meta: MetaStore,
  changed: readonly SegmentFacts[],
): Promise<void> {
  const parts = partsOf(changed, RANGES_PER_ENTRY_MAX);
  const idsOf = (part: readonly SegmentFacts[]) => part.map(({ segmentId }) => segmentId);
  await Promise.all(parts.map((part) => registerSegments(meta, part, idsOf(part))));
}

/**
 * Parts that fit into an entry each. They are appended one right after another: nothing that follows from the first
 * can come before the last.
 */
function partsOf(segments: readonly SegmentFacts[], rangesMax: number): SegmentFacts[][] {
  const parts: SegmentFacts[][] = [];
  let rangeCount = Number.POSITIVE_INFINITY;
  for (const facts of segments) {
    rangeCount += facts.ranges.length;
    if (rangeCount > rangesMax) {
      parts.push([]);
      rangeCount = facts.ranges.length;
    }
    parts.at(-1)?.push(facts);
  }
  return parts;
}
