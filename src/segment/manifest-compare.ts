/** What differs between a store's manifest and what is registered, found beside all other work. */

import { nextTurn } from "../core/clock.ts";
import type { MetaStore } from "../meta/meta-store.ts";
import type { ManifestChanges } from "./manifest-changes.ts";
import { logStartKeyOf, type StoredManifest } from "./manifest-reading.ts";
import type { SegmentFacts } from "./segment-facts.ts";
import type { SegmentIndex } from "./segment-index.ts";

/** Compared between two turns of the event loop. */
const RANGES_PER_SLICE = 64;
const SEGMENTS_PER_SLICE = 64;
const TOPICS_PER_SLICE = 256;

/** What is registered, and who is told. */
export interface RegisteredState {
  readonly index: SegmentIndex;
  readonly meta: Pick<MetaStore, "topics" | "topicById" | "logStartOffsets">;
  readonly changes: ManifestChanges;
  /** Called for each that is registered. */
  readonly onRegistered: (facts: SegmentFacts) => void;
  /** The manifest names a segment that is not registered. */
  readonly onUnregistered: (segmentId: string) => void;
  /** The manifest has a topic that is no more. */
  readonly onTopicGone: (topicId: string) => void;
}

/** Notes every difference; those that come about meanwhile are heard of. @returns whether one matters by itself */
export async function compareWithManifest(
  manifest: StoredManifest | undefined,
  registered: RegisteredState,
): Promise<boolean> {
  const hasNewSegments = await compareRegistered(manifest, registered);
  const hasOldSegments = manifest !== undefined && (await compareNamed(manifest, registered));
  const hasTopics = await compareTopics(manifest, registered);
  return hasNewSegments || hasOldSegments || hasTopics;
}

async function compareRegistered(
  manifest: StoredManifest | undefined,
  { index, changes, onRegistered }: RegisteredState,
): Promise<boolean> {
  let isDifferent = false;
  const snapshot = index.snapshot();
  try {
    for (;;) {
      const segments = snapshot.take(RANGES_PER_SLICE);
      if (segments.length === 0) return isDifferent;
      for (const facts of segments) {
        onRegistered(facts);
        const named = manifest?.index.segment(facts.segmentId);
        if (named !== undefined && Bun.deepEquals(named, facts)) continue;
        changes.segmentChanged(facts.segmentId);
        isDifferent = true;
      }
      await nextTurn();
    }
  } finally {
    snapshot.close();
  }
}

async function compareNamed(
  manifest: StoredManifest,
  { index, changes, onUnregistered }: RegisteredState,
): Promise<boolean> {
  let isDifferent = false;
  let count = 0;
  for (const { segmentId } of manifest.index.segments()) {
    count += 1;
    if (count % SEGMENTS_PER_SLICE === 0) await nextTurn();
    if (index.segment(segmentId) !== undefined) continue;
    changes.segmentChanged(segmentId);
    onUnregistered(segmentId);
    isDifferent = true;
  }
  return isDifferent;
}

async function compareTopics(
  manifest: StoredManifest | undefined,
  { meta, changes, onTopicGone }: RegisteredState,
): Promise<boolean> {
  let isDifferent = false;
  let count = 0;
  const pause = async (): Promise<void> => {
    count += 1;
    if (count % TOPICS_PER_SLICE === 0) await nextTurn();
  };
  for (const topicId of manifest?.topics.keys() ?? []) {
    await pause();
    if (meta.topicById(topicId) !== undefined) continue;
    onTopicGone(topicId);
    isDifferent = true;
  }
  for (const { topicId, name } of [...meta.topics()]) {
    await pause();
    if (manifest?.topics.get(topicId) !== name) changes.topicChanged(topicId);
    for (const { partition, offset } of meta.logStartOffsets(topicId)) {
      const place = { topicId, partition };
      if (manifest?.logStarts.get(logStartKeyOf(place))?.offset === offset) continue;
      changes.logStartChanged(place);
      // Without segments there is nothing that could come back.
      isDifferent ||= manifest !== undefined;
    }
  }
  return isDifferent;
}
