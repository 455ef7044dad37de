/**
 * What has changed since the last generation of the manifest: names only. What became of them is looked up when the
 * next generation is made, so that a generation is the state of one moment.
 */

import type { DeletedTopic, LogStart, ManifestContent, NamedTopic } from "./manifest-format.ts";
import { logStartKeyOf } from "./manifest-reading.ts";
import type { SegmentFacts } from "./segment-facts.ts";

/** Where the state of things is looked up. */
export interface ManifestSubject {
  segment(segmentId: string): SegmentFacts | undefined;
  /** Undefined if there is no such topic. */
  topicName(topicId: string): string | undefined;
  logStartOffset(topicId: string, partition: number): number;
}

/** Collects changes between two generations. */
export class ManifestChanges {
  readonly #segmentIds = new Set<string>();
  readonly #topicIds = new Set<string>();
  readonly #logStarts = new Map<string, Omit<LogStart, "offset">>();

  get segmentCount(): number {
    return this.#segmentIds.size;
  }

  segmentChanged(segmentId: string): void {
    this.#segmentIds.add(segmentId);
  }

  topicChanged(topicId: string): void {
    this.#topicIds.add(topicId);
  }

  logStartChanged(place: Omit<LogStart, "offset">): void {
    this.#logStarts.set(logStartKeyOf(place), place);
  }

  clear(): void {
    this.#segmentIds.clear();
    this.#topicIds.clear();
    this.#logStarts.clear();
  }

  /** The changes with what has become of them. */
  contentOf(subject: ManifestSubject, deletedTopics: readonly DeletedTopic[]): ManifestContent {
    const added: SegmentFacts[] = [];
    const removedIds: string[] = [];
    for (const segmentId of this.#segmentIds) {
      const facts = subject.segment(segmentId);
      if (facts === undefined) removedIds.push(segmentId);
      else added.push(facts);
    }
    const topics: NamedTopic[] = [];
    for (const topicId of this.#topicIds) {
      const name = subject.topicName(topicId);
      if (name !== undefined) topics.push({ topicId, name });
    }
    const logStarts = [...this.#logStarts.values()].map((place) => ({
      ...place,
      offset: subject.logStartOffset(place.topicId, place.partition),
    }));
    return { topics, logStarts, deletedTopics, removedIds, added };
  }
}
