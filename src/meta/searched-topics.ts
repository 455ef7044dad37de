/** Which topics are searched: what `search.index.enable` says, read once for each state of a topic. */

import type { MetaStore, Topic } from "./meta-store.ts";
import { SEARCH_INDEX_ENABLE, type TopicConfigs } from "./topic-configs.ts";

/** Asked for every range of a segment: cheap. */
export class SearchedTopics {
  readonly #meta: Pick<MetaStore, "topicById" | "topics">;
  readonly #configs: TopicConfigs;
  readonly #known = new WeakMap<Topic, boolean>();

  constructor(meta: Pick<MetaStore, "topicById" | "topics">, configs: TopicConfigs) {
    this.#meta = meta;
    this.#configs = configs;
  }

  /** False for one that there is not. */
  isIndexed(topicId: string): boolean {
    const topic = this.#meta.topicById(topicId);
    return topic !== undefined && this.isTopicIndexed(topic);
  }

  isTopicIndexed(topic: Topic): boolean {
    const known = this.#known.get(topic);
    if (known !== undefined) return known;
    const isIndexed = this.#configs.booleanOf(topic.configs, SEARCH_INDEX_ENABLE);
    this.#known.set(topic, isIndexed);
    return isIndexed;
  }

  /** As the indexer is told of it; undefined if there is none. */
  describe(topicId: string) {
    const topic = this.#meta.topicById(topicId);
    if (topic === undefined) return undefined;
    return { topicId, name: topic.name, isIndexed: this.isTopicIndexed(topic) };
  }

  /** All of them, as the indexer is told. */
  *describeAll() {
    for (const topic of this.#meta.topics()) {
      const { topicId, name } = topic;
      yield { topicId, name, isIndexed: this.isTopicIndexed(topic) };
    }
  }
}
