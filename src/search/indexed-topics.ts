/** The topics that exist, those that are indexed apart from those that are not. */

import type { NamedTopic } from "./indexer-messages.ts";

/** A topic as the indexer is told of it. */
export interface ConfiguredTopic extends NamedTopic {
  /** Whether its records are to be found (`search.index.enable`); they are unless told otherwise. */
  readonly isIndexed?: boolean;
}

/** Invariant: a topic is in one of both. */
export class IndexedTopics {
  readonly #indexed = new Map<string, NamedTopic>();
  readonly #others = new Map<string, NamedTopic>();

  constructor(topics: Iterable<ConfiguredTopic>) {
    for (const topic of topics) this.set(topic);
  }

  /** By topic id. */
  get indexed(): ReadonlyMap<string, NamedTopic> {
    return this.#indexed;
  }

  /** Those that exist and are not indexed, by topic id. */
  get others(): ReadonlyMap<string, NamedTopic> {
    return this.#others;
  }

  /** Takes in a topic, or what it is now. @returns whether that makes a difference */
  set({ topicId, name, isIndexed = true }: ConfiguredTopic): boolean {
    const [here, there] = isIndexed ? [this.#indexed, this.#others] : [this.#others, this.#indexed];
    if (here.has(topicId)) return false;
    there.delete(topicId);
    here.set(topicId, { topicId, name });
    return true;
  }

  delete(topicId: string): void {
    this.#indexed.delete(topicId);
    this.#others.delete(topicId);
  }
}
