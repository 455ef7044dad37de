/**
 * Fetch (key 1), versions 4 to 18.
 *
 * Batches are served as they are stored, from the WAL's slab or its files, up to the high watermark.
 * A request that finds less than `minBytes` waits in the purgatory and is woken by the sync that
 * makes a batch durable. At least one batch is returned whatever the limits, so that a consumer
 * never stands still; otherwise only whole batches within them.
 *
 * Deviations from Kafka: no partial batch at the end of the limit; `read_committed` sees what
 * `read_uncommitted` sees while there are no transactions; followers are not served.
 */

import type { LogManager } from "../log/log-manager.ts";
import { collectRead, isLoaded, loadRead, planRead } from "../log/log-reader.ts";
import type { Partition } from "../log/partition.ts";
import type { Purgatory } from "../log/purgatory.ts";
import type { MetaStore } from "../meta/meta-store.ts";
import { ErrorCode, errorCodeOf } from "../protocol/errors.ts";
import { ApiKey } from "../protocol/generated/api-keys.ts";
import { type FetchRequest, readFetchRequest } from "../protocol/generated/fetch-request.ts";
import {
  type FetchResponseInput,
  writeFetchResponse,
} from "../protocol/generated/fetch-response.ts";
import type { Wal } from "../wal/wal.ts";
import { buildFetchResponse, type PartitionFetch } from "./fetch-response.ts";
import type { FetchPartition, FetchSessionCache, SessionRequest } from "./fetch-session.ts";
import type { BodyWriter, Handler, RequestContext } from "./handler.ts";
import { checkLeaderEpoch } from "./topics/leader-epoch.ts";

/** First version that names topics by id. */
const TOPIC_ID_VERSION = 13;
/** Isolation level on the wire. */
const READ_COMMITTED = 1;

export interface FetchOwners {
  readonly wal: Wal;
  readonly logs: LogManager;
  readonly meta: MetaStore;
  readonly sessions: FetchSessionCache;
  readonly purgatory: Purgatory;
  /** Limit of one answer's batches in bytes at the moment, whatever the client asks. */
  allowanceBytes(): number;
  /** Told how many bytes of batches were sent. */
  onFetched(sizeBytes: number): void;
}

export function createFetchHandler(owners: FetchOwners): Handler<FetchRequest, FetchResponseInput> {
  return {
    apiKey: ApiKey.fetch,
    minVersion: 4,
    maxVersion: 18,
    readRequest: readFetchRequest,
    writeResponse: writeFetchResponse,
    handle: (context, request) => fetch(owners, context, request),
    errorResponse: (_request, errorCode) => ({ errorCode, throttleTimeMs: 0, responses: [] }),
  };
}

async function fetch(
  owners: FetchOwners,
  context: RequestContext,
  request: FetchRequest,
): Promise<BodyWriter> {
  const session = owners.sessions.open(sessionRequestOf(request, context.apiVersion, owners.meta));
  const fetches = session.partitions.map((asked) => locate(owners, context.apiVersion, asked));
  const isSatisfied = (): boolean => hasEnough(fetches, request.minBytes);
  if (request.maxWaitMs > 0 && !isSatisfied()) {
    await owners.purgatory.wait({
      partitions: fetches.flatMap(({ partition }) => partition ?? []),
      maxWaitMs: request.maxWaitMs,
      isSatisfied,
      onAbandon: (listener) => context.connection.onClose(listener),
    });
  }
  const maxBytes = Math.min(request.maxBytes, owners.allowanceBytes());
  await planAndLoad(owners.wal, fetches, maxBytes);
  return (writer, apiVersion) => {
    // Views of the slab are valid only now, while the response is being written.
    const built = buildFetchResponse({
      session,
      fetches,
      maxBytes,
      isReadCommitted: request.isolationLevel === READ_COMMITTED,
      collect: (plan) => collectRead(owners.wal, plan),
    });
    owners.onFetched(built.sizeBytes);
    writeFetchResponse(writer, built.response, apiVersion);
  };
}

function locate(owners: FetchOwners, apiVersion: number, asked: FetchPartition): PartitionFetch {
  const isById = apiVersion >= TOPIC_ID_VERSION;
  const topic = isById ? owners.meta.topicById(asked.topicId) : owners.meta.topic(asked.topic);
  const partition = topic && owners.logs.partition(topic.topicId, asked.index);
  if (partition === undefined) {
    const isIdUnknown = isById && topic === undefined;
    const errorCode = isIdUnknown ? ErrorCode.unknownTopicId : ErrorCode.unknownTopicOrPartition;
    return { asked, partition, errorCode, plan: undefined };
  }
  const errorCode = refusalOf(owners.logs.leaderEpoch, partition, asked);
  return { asked, partition, errorCode, plan: undefined };
}

/** Why the partition cannot be read as asked; NONE if it can. */
function refusalOf(leaderEpoch: number, partition: Partition, asked: FetchPartition): ErrorCode {
  try {
    checkLeaderEpoch(leaderEpoch, asked.currentLeaderEpoch);
  } catch (thrown) {
    return errorCodeOf(thrown);
  }
  const { logStartOffset, logEndOffset } = partition;
  const isInside = asked.fetchOffset >= logStartOffset && asked.fetchOffset <= logEndOffset;
  return isInside ? ErrorCode.none : ErrorCode.offsetOutOfRange;
}

/** Whether to answer now: `minBytes` are there, or some partition has an error to tell. */
function hasEnough(fetches: readonly PartitionFetch[], minBytes: number): boolean {
  let missingBytes = minBytes;
  for (const { asked, partition, errorCode } of fetches) {
    if (errorCode !== ErrorCode.none || partition === undefined || partition.isDeleted) return true;
    if (missingBytes > 0) {
      const limitBytes = Math.min(missingBytes, asked.maxBytes);
      missingBytes -= partition.availableBytes(asked.fetchOffset, limitBytes);
    }
  }
  return missingBytes <= 0;
}

/** Decides what to read of each partition, in order, and gets into memory what is not there. */
async function planAndLoad(
  wal: Wal,
  fetches: readonly PartitionFetch[],
  maxBytes: number,
): Promise<void> {
  let leftBytes = maxBytes;
  let isOneBatchDue = true;
  for (const fetch of fetches) {
    const { asked, partition } = fetch;
    if (partition === undefined || fetch.errorCode !== ErrorCode.none) continue;
    if (partition.isDeleted) fetch.errorCode = ErrorCode.unknownTopicOrPartition;
    if (partition.isDeleted) continue;
    if (leftBytes <= 0 && !isOneBatchDue) break;
    const plan = planRead(partition, {
      offset: asked.fetchOffset,
      endOffset: partition.highWatermark,
      maxBytes: Math.max(0, Math.min(asked.maxBytes, leftBytes)),
      isOneBatchDue,
    });
    if (plan.runs.length === 0) continue;
    isOneBatchDue = false;
    leftBytes -= partition.availableBytes(asked.fetchOffset, plan.limits.maxBytes);
    fetch.plan = plan;
    try {
      if (!isLoaded(wal, plan)) await loadRead(wal, plan);
    } catch (thrown) {
      fetch.errorCode = errorCodeOf(thrown);
      fetch.plan = undefined;
    }
  }
}

function sessionRequestOf(
  request: FetchRequest,
  apiVersion: number,
  meta: MetaStore,
): SessionRequest {
  const isById = apiVersion >= TOPIC_ID_VERSION;
  const nameOf = (topic: { topic: string; topicId: string }): string =>
    isById ? (meta.topicById(topic.topicId)?.name ?? "") : topic.topic;
  return {
    sessionId: request.sessionId,
    sessionEpoch: request.sessionEpoch,
    usesTopicIds: isById,
    partitions: request.topics.flatMap((topic) =>
      topic.partitions.map((partition) => ({
        topic: nameOf(topic),
        topicId: topic.topicId,
        index: partition.partition,
        fetchOffset: partition.fetchOffset,
        maxBytes: partition.partitionMaxBytes,
        currentLeaderEpoch: partition.currentLeaderEpoch,
      })),
    ),
    forgotten: request.forgottenTopicsData.flatMap((topic) =>
      topic.partitions.map((index) => ({ topic: nameOf(topic), topicId: topic.topicId, index })),
    ),
  };
}
