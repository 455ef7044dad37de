/**
 * Time travel: a topic's records from a point on, and its table (the latest record of each key) as of a time. Here on
 * the main thread it is worked out which offsets are meant; a Worker makes the page.
 *
 * Time within a partition is the time that it has reached: a record out of order counts as of the latest one before
 * it. So a point in time is one offset, the first record in offset order at or after it, as ListOffsets finds it;
 * consecutive stretches of time share no record and lose none.
 */

import type { Clock } from "../core/clock.ts";
import { argumentError, SearchError } from "../search/elasticsearch-error.ts";
import { noSuchTopic } from "./api-error.ts";
import type { LogPosition } from "./log-position.ts";
import type { PartitionReach, RecordSource, SourceTopic } from "./record-source.ts";
import type { TopicAnswer, TopicJob } from "./topic-records-messages.ts";
import {
  PARTITIONS_MAX,
  type RecordsRequest,
  recordsRequestOf,
  type TableRequest,
  tableRequestOf,
} from "./topic-records-request.ts";

export interface TopicReadsOptions {
  readonly source: RecordSource;
  readonly clock: Clock;
  /** @throws SearchError */
  run(job: TopicJob): Promise<TopicAnswer>;
}

interface Reached extends PartitionReach {
  readonly partition: number;
}

export class TopicReads {
  readonly #options: TopicReadsOptions;

  constructor(options: TopicReadsOptions) {
    this.#options = options;
  }

  /** A page of records. @throws SearchError */
  async records(name: string, parameters: string): Promise<TopicAnswer> {
    const { clock } = this.#options;
    const request = recordsRequestOf(parameters, clock.nowMs());
    const topic = this.#topic(name, request.cursor?.topicId);
    const { to, limit } = request;
    const toMs = to.kind === "time" ? to.timestampMs : undefined;
    const ranges = [];
    for (const reached of this.#partitions(topic, request.partitions)) {
      const { partition } = reached;
      const offset = await this.#startOf(topic, reached, request);
      const endOffset = Math.min(reached.endOffset, offsetOf(to, reached) ?? reached.endOffset);
      ranges.push({ partition, offset, endOffset, toMs });
    }
    const { topicId } = topic;
    return await this.#options.run({ kind: "records", topic: name, topicId, ranges, limit });
  }

  /** A page of the table. @throws SearchError */
  async table(name: string, parameters: string): Promise<TopicAnswer> {
    const nowMs = this.#options.clock.nowMs();
    const request = tableRequestOf(parameters, nowMs);
    const topic = this.#topic(name, request.cursor?.topicId);
    const { cursor, key, limit } = request;
    const ranges = this.#partitions(topic, request.partitions).flatMap((reached) =>
      tableRangeOf(reached, cursor),
    );
    const { topicId } = topic;
    return await this.#options.run({
      kind: "table",
      topic: name,
      topicId,
      ranges,
      // A cursor knows the offsets already.
      untilMs: cursor === undefined ? request.atMs : undefined,
      atMs: cursor?.atMs ?? request.atMs ?? nowMs,
      key,
      afterKey: cursor?.afterKey,
      limit,
    });
  }

  #topic(name: string, cursorTopicId: string | undefined): SourceTopic {
    const topic = this.#options.source.topic(name);
    if (topic === undefined) throw noSuchTopic(name);
    if (cursorTopicId !== undefined && cursorTopicId !== topic.topicId) {
      throw argumentError("[cursor] is of another topic, or of one that was deleted since");
    }
    return topic;
  }

  #partitions(topic: SourceTopic, wanted: readonly number[] | undefined): Reached[] {
    const count = wanted?.length ?? topic.partitionCount;
    if (count > PARTITIONS_MAX) {
      const reason = `more than ${PARTITIONS_MAX} partitions: name some with [partition]`;
      throw argumentError(reason);
    }
    const partitions = wanted ?? Array.from({ length: topic.partitionCount }, (_, index) => index);
    return partitions.map((partition) => {
      const reach = this.#options.source.reachOf({ topicId: topic.topicId, partition });
      if (reach !== undefined) return { partition, ...reach };
      const reason = `topic [${topic.name}] has no partition [${partition}]`;
      throw new SearchError(404, "resource_not_found_exception", reason);
    });
  }

  /** Where reading begins or goes on; never before the first offset kept. */
  async #startOf(
    { topicId }: SourceTopic,
    reached: Reached,
    { from, cursor }: RecordsRequest,
  ): Promise<number> {
    const { partition, startOffset, endOffset } = reached;
    const position = cursor?.positions.get(partition);
    if (position !== undefined) return Math.max(position, startOffset);
    const offset =
      from.kind === "time"
        ? await this.#options.source.offsetSince({ topicId, partition }, from.timestampMs)
        : offsetOf(from, reached);
    return Math.max(offset ?? endOffset, startOffset);
  }
}

/** The offset that a position stands for; undefined for a time. */
function offsetOf(position: LogPosition, { startOffset, endOffset }: Reached): number | undefined {
  switch (position.kind) {
    case "beginning":
      return startOffset;
    case "end":
      return endOffset;
    case "offset":
      return position.offset;
    case "beforeEnd":
      return Math.max(0, endOffset - position.offsetCount);
    case "time":
      return undefined;
  }
}

/** What of a partition makes the table: nothing if the cursor does not know it. */
function tableRangeOf(reached: Reached, cursor: TableRequest["cursor"]) {
  const { partition, startOffset, endOffset } = reached;
  if (cursor === undefined) return [{ partition, startOffset, endOffset }];
  const known = cursor.endOffsets.get(partition);
  return known === undefined
    ? []
    : [{ partition, startOffset, endOffset: Math.min(known, endOffset) }];
}
