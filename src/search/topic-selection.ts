/**
 * The index position of a search URL: which topics are meant (source: Elasticsearch reference, "Multi-target
 * syntax"). Names and patterns (`*`), separated by commas; `-name` or `-pattern` takes away from what the ones
 * before it gave; `_all` means all.
 */

import { argumentError, topicNotFoundError, topicNotIndexedError } from "./elasticsearch-error.ts";
import type { NamedTopic } from "./indexer-messages.ts";
import { isPatternMatch } from "./source-filter.ts";

const PARTS_MAX = 1_000;

export interface TopicSelectionOptions {
  /** Whether a name that is no topic is passed over (`ignore_unavailable`). */
  readonly ignoresMissing: boolean;
  /** Whether a pattern may match nothing (`allow_no_indices`). */
  readonly allowsNone: boolean;
  /** Topics that exist and have no index: a name of one is refused, or passed over as a missing one. */
  readonly notIndexed?: Iterable<NamedTopic>;
}

/**
 * The ids of the topics that `expression` means; undefined means all of them.
 * @throws SearchError 404 for a name that is no topic, 400 for one that is not indexed
 */
export function selectTopics(
  expression: string | undefined,
  topics: Iterable<NamedTopic>,
  options: TopicSelectionOptions,
): ReadonlySet<string> {
  const all = [...topics];
  if (expression === undefined) return new Set(all.map(({ topicId }) => topicId));
  const parts = expression.split(",");
  if (parts.length > PARTS_MAX) throw argumentError(`more than ${PARTS_MAX} topics are named`);
  const selected = new Set<string>();
  const notIndexed = new Set(Array.from(options.notIndexed ?? [], ({ name }) => name));
  for (const [index, part] of parts.entries()) {
    const isTopic = notIndexed.has(part) || all.some(({ name }) => name === part);
    const isExclusion = index > 0 && part.startsWith("-") && !isTopic;
    const pattern = isExclusion ? part.slice(1) : part;
    const isPattern = pattern === "_all" || pattern.includes("*");
    const matching = all.filter(({ name }) => pattern === "_all" || isPatternMatch(pattern, name));
    if (isPattern) {
      if (matching.length === 0 && !options.allowsNone) throw topicNotFoundError(pattern);
    } else if (matching.length === 0 && !options.ignoresMissing) {
      if (!notIndexed.has(pattern)) throw topicNotFoundError(pattern);
      if (!isExclusion) throw topicNotIndexedError(pattern);
    }
    for (const { topicId } of matching) {
      if (isExclusion) selected.delete(topicId);
      else selected.add(topicId);
    }
  }
  return selected;
}
