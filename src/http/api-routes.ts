/**
 * What is served under `/api`:
 *
 *   GET /api/topics                      topics with their partitions, offsets and bytes
 *   GET /api/topics/{topic}              one of them
 *   GET /api/topics/{topic}/records      records from a point on: ?from= &to= &partition= &limit= &cursor=
 *   GET /api/topics/{topic}/table        latest record of each key: ?at= &key= &partition= &limit= &cursor=
 *   GET /api/segments                    how many segments there are, and their bytes, by level
 *
 * Errors are `{ "error", "reason" }`.
 */

import { nextTurn } from "../core/clock.ts";
import type { SegmentIndexStats, SegmentSums } from "../segment/segment-counts.ts";
import { noSuchTopic } from "./api-error.ts";
import { percentDecoded } from "./percent-decoding.ts";
import type { RecordSource, SourceTopic } from "./record-source.ts";
import type { TopicReads } from "./topic-reads.ts";
import type { TopicAnswer } from "./topic-records-messages.ts";

/** A path under `/api` with what answers it. */
export interface ApiRoute {
  /** Its label in the metrics. */
  readonly name: string;
  /** @throws SearchError */
  answer(): TopicAnswer | Promise<TopicAnswer>;
}

export interface ApiOwners {
  readonly source: RecordSource;
  readonly reads: TopicReads;
  segmentStats(): SegmentIndexStats;
}

/** Others get a turn after so many partitions. */
const PARTITIONS_PER_TURN = 1_000;

/** The route of a path; undefined if nothing is served there. */
export function apiRouteOf(
  { source, reads, segmentStats }: ApiOwners,
  path: string,
  parameters: string,
): ApiRoute | undefined {
  if (path === "/api/segments") {
    return { name: path, answer: () => answerOf(JSON.stringify(statsShown(segmentStats()))) };
  }
  const [, api, topics, encodedName, leaf, ...rest] = path.split("/");
  if (api !== "api" || topics !== "topics" || rest.length > 0) return undefined;
  if (encodedName === undefined) {
    return { name: "/api/topics", answer: () => listTopics(source) };
  }
  const name = percentDecoded(encodedName);
  switch (leaf) {
    case undefined:
      return { name: "/api/topics/{topic}", answer: () => describeTopic(source, name) };
    case "records":
      return {
        name: "/api/topics/{topic}/records",
        answer: () => reads.records(name, parameters),
      };
    case "table":
      return { name: "/api/topics/{topic}/table", answer: () => reads.table(name, parameters) };
    default:
      return undefined;
  }
}

async function listTopics(source: RecordSource): Promise<TopicAnswer> {
  const shown: string[] = [];
  let partitionCount = 0;
  for (const topic of source.topics()) {
    shown.push(JSON.stringify(topicShown(source, topic)));
    partitionCount += topic.partitionCount;
    if (partitionCount < PARTITIONS_PER_TURN) continue;
    partitionCount = 0;
    await nextTurn();
  }
  return answerOf(`{"topics":[${shown.join(",")}]}`);
}

function describeTopic(source: RecordSource, name: string): TopicAnswer {
  const topic = source.topic(name);
  if (topic === undefined) throw noSuchTopic(name);
  return answerOf(JSON.stringify(topicShown(source, topic)));
}

function topicShown(source: RecordSource, topic: SourceTopic): object {
  const { topicId, name, partitionCount, createdMs } = topic;
  const partitions = [];
  const total = { offset_count: 0, size_bytes: 0 };
  for (let partition = 0; partition < partitionCount; partition += 1) {
    const place = { topicId, partition };
    const reach = source.reachOf(place);
    if (reach === undefined) continue;
    const { startOffset, endOffset } = reach;
    const sizeBytes = source.sizeBytesOf(place);
    total.offset_count += endOffset - startOffset;
    total.size_bytes += sizeBytes;
    partitions.push({
      partition,
      start_offset: startOffset,
      end_offset: endOffset,
      size_bytes: sizeBytes,
    });
  }
  return { topic: name, topic_id: topicId, created: createdMs, ...total, partitions };
}

function statsShown(stats: SegmentIndexStats): object {
  const levels = stats.byLevel.map(({ level, ...sums }) => ({ level, ...sumsShown(sums) }));
  return { ...sumsShown(stats), levels };
}

function sumsShown(sums: SegmentSums): object {
  return {
    segment_count: sums.segmentCount,
    range_count: sums.rangeCount,
    object_bytes: sums.objectBytes,
    data_bytes: sums.dataBytes,
    dead_bytes: sums.deadBytes,
    indexed_segment_count: sums.indexedSegmentCount,
    document_count: sums.documentCount,
    search_index_bytes: sums.searchIndexBytes,
  };
}

function answerOf(json: string): TopicAnswer {
  return { status: 200, body: new TextEncoder().encode(`${json}\n`) };
}
