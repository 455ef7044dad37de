/** Puts a Fetch answer together, at the moment it is written: its batches are views that do not last. */

import type { CollectedBatches, ReadPlan } from "../log/log-reader.ts";
import { ErrorCode } from "../protocol/errors.ts";
import type {
  FetchResponseFetchableTopicResponseInput,
  FetchResponseInput,
  FetchResponsePartitionDataInput,
} from "../protocol/generated/fetch-response.ts";
import type { PartitionFetch } from "./fetch-plan.ts";
import type { FetchPartition, SessionFetch } from "./fetch-session.ts";

export interface FetchAnswer {
  readonly session: SessionFetch;
  readonly fetches: readonly PartitionFetch[];
  /** Of all batches together; the first batch may be larger if `isOneBatchDue`. */
  readonly maxBytes: number;
  readonly isOneBatchDue: boolean;
  readonly isReadCommitted: boolean;
  /** Undefined if the bytes have left memory since they were loaded; the client asks again. */
  collect(plan: ReadPlan): CollectedBatches | undefined;
}

const NO_BATCHES: CollectedBatches = { batches: [], sizeBytes: 0 };

/** @returns the answer, and the bytes of all its batches */
export function buildFetchResponse(input: FetchAnswer): {
  response: FetchResponseInput;
  sizeBytes: number;
} {
  const { session } = input;
  const topics = new Map<
    string,
    { topic: FetchPartition; partitions: FetchResponsePartitionDataInput[] }
  >();
  let leftBytes = input.maxBytes;
  let sizeBytes = 0;
  for (const fetch of input.fetches) {
    const { asked } = fetch;
    const isDue = input.isOneBatchDue && sizeBytes === 0;
    const collected = collectWithin(input, fetch, { leftBytes, isDue });
    leftBytes -= collected.sizeBytes;
    sizeBytes += collected.sizeBytes;
    if (collected.sizeBytes > 0) session.served(asked);
    if (session.isIncremental && !isTold(fetch, collected)) continue;
    const key = `${asked.topicId}/${asked.topic}`;
    const group = topics.get(key) ?? { topic: asked, partitions: [] };
    topics.set(key, group);
    group.partitions.push(partitionData(fetch, collected, input.isReadCommitted));
  }
  const responses: FetchResponseFetchableTopicResponseInput[] = [];
  for (const { topic, partitions } of topics.values()) {
    responses.push({ topic: topic.topic, topicId: topic.topicId, partitions });
  }
  const { sessionId } = session;
  return {
    response: { throttleTimeMs: 0, errorCode: ErrorCode.none, sessionId, responses },
    sizeBytes,
  };
}

function collectWithin(
  input: FetchAnswer,
  { plan }: PartitionFetch,
  room: { leftBytes: number; isDue: boolean },
): CollectedBatches {
  if (plan === undefined) return NO_BATCHES;
  const limits = {
    ...plan.limits,
    maxBytes: Math.max(0, Math.min(plan.limits.maxBytes, room.leftBytes)),
    isOneBatchDue: room.isDue,
  };
  return input.collect({ ...plan, limits }) ?? NO_BATCHES;
}

/** Whether an incremental answer names the partition; remembers what it will have been told. */
function isTold({ asked, partition, errorCode }: PartitionFetch, found: CollectedBatches): boolean {
  const highWatermark = partition?.highWatermark ?? -1;
  const logStartOffset = partition?.logStartOffset ?? -1;
  return (
    found.sizeBytes > 0 ||
    errorCode !== ErrorCode.none ||
    asked.toldHighWatermark !== highWatermark ||
    asked.toldLogStartOffset !== logStartOffset
  );
}

function partitionData(
  { asked, partition, errorCode }: PartitionFetch,
  found: CollectedBatches,
  isReadCommitted: boolean,
): FetchResponsePartitionDataInput {
  const isKnown = partition !== undefined && errorCode === ErrorCode.none;
  const highWatermark = isKnown ? partition.highWatermark : -1;
  const logStartOffset = isKnown ? partition.logStartOffset : -1;
  asked.toldHighWatermark = highWatermark;
  asked.toldLogStartOffset = logStartOffset;
  return {
    partitionIndex: asked.index,
    errorCode,
    highWatermark,
    lastStableOffset: isKnown ? partition.lastStableOffset : -1,
    logStartOffset,
    abortedTransactions: isReadCommitted && isKnown ? [] : null,
    preferredReadReplica: -1,
    records: found.batches,
  };
}
