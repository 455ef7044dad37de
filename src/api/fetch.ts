/**
 * Fetch (key 1), versions 4 to 18.
 *
 * Batches are served as they are stored, from the WAL's slab or its files, up to the high watermark.
 * A request that finds less than `minBytes` waits in the purgatory and is woken by the sync that
 * makes a batch durable. At least one batch is returned whatever the limits, so that a consumer
 * never stands still; otherwise only whole batches within them. Only when no memory can be had while
 * the request may wait, its answer holds no batches.
 *
 * Deviations from Kafka: no partial batch at the end of the limit; `read_committed` sees what
 * `read_uncommitted` sees while there are no transactions; followers are not served.
 */

import type { LogManager } from "../log/log-manager.ts";
import { collectRead, type LogTiers, releaseRead } from "../log/log-reader.ts";
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
import type { AnswerMemory } from "./fetch-memory.ts";
import {
  isGone,
  type LoadedFetch,
  type PartitionFetch,
  planAndLoad,
  refuseDeleted,
} from "./fetch-plan.ts";
import { buildFetchResponse } from "./fetch-response.ts";
import type {
  FetchPartition,
  FetchSessionCache,
  SessionFetch,
  SessionRequest,
} from "./fetch-session.ts";
import type { BodyWriter, Handler, HandlerResult, RequestContext } from "./handler.ts";
import { checkLeaderEpoch } from "./topics/leader-epoch.ts";

/** First version that names topics by id. */
const TOPIC_ID_VERSION = 13;
/** The answer to a client that has gone. */
const UNREAD: FetchResponseInput = { errorCode: ErrorCode.none, throttleTimeMs: 0, responses: [] };
/** Isolation level on the wire. */
const READ_COMMITTED = 1;

export interface FetchOwners {
  readonly tiers: LogTiers;
  readonly logs: LogManager;
  readonly meta: MetaStore;
  readonly sessions: FetchSessionCache;
  readonly purgatory: Purgatory;
  readonly memory: AnswerMemory;
  /** Limit of one answer's batches in bytes, whatever the client asks. */
  readonly fetchMaxBytes: number;
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
): Promise<HandlerResult<FetchResponseInput>> {
  const { tiers, memory } = owners;
  const { connection, apiVersion } = context;
  const session = owners.sessions.open(sessionRequestOf(request, apiVersion));
  const fetches = session.partitions.map((asked) => locate(owners, apiVersion, asked));
  const { maxWaitMs, minBytes } = request;
  const largestBytes = Math.min(request.maxBytes, owners.fetchMaxBytes);
  // Never waits for more than the answer may hold.
  const isSatisfied = (): boolean =>
    hasEnough(fetches, Math.min(minBytes, largestBytes, memory.allowanceBytes()));
  if (maxWaitMs > 0 && !isSatisfied()) {
    await owners.purgatory.wait({
      partitions: fetches.flatMap(({ partition }) => partition ?? []),
      maxWaitMs,
      isSatisfied,
      onAbandon: (listener) => connection.onClose(listener),
    });
    if (isGone(connection)) return UNREAD;
  }
  const maxBytes = Math.min(largestBytes, memory.allowanceBytes());
  const loaded = await planAndLoad({ tiers, memory, connection, fetches, maxBytes, maxWaitMs });
  if (loaded.kind === "abandoned") return UNREAD;
  return answerWriter(owners, { context, request, session, fetches, loaded, maxBytes });
}

interface Answer {
  readonly context: RequestContext;
  readonly request: FetchRequest;
  readonly session: SessionFetch;
  readonly fetches: readonly PartitionFetch[];
  readonly loaded: LoadedFetch;
  readonly maxBytes: number;
}

/** Writes the answer when its turn comes, and then gives back what was reserved for it. */
function answerWriter(owners: FetchOwners, answer: Answer): BodyWriter {
  const { tiers, memory } = owners;
  const { request, session, fetches, loaded } = answer;
  const reservation = loaded.kind === "reserved" ? loaded.reservation : undefined;
  reservation?.settle();
  const release = (): void => reservation?.release();
  // If the client has gone meanwhile, this releases at once.
  const removeRelease = reservation && answer.context.connection.onClose(release);
  return (writer, apiVersion) => {
    try {
      refuseDeleted(fetches);
      const freeBytes = memory.isExhausted ? 0 : memory.allowanceBytes();
      // Views of the slab are valid only now, while the response is being written.
      const built = buildFetchResponse({
        session,
        fetches,
        maxBytes: Math.min(answer.maxBytes, Math.max(reservation?.sizeBytes ?? 0, freeBytes)),
        isOneBatchDue: reservation !== undefined || freeBytes > 0,
        isReadCommitted: request.isolationLevel === READ_COMMITTED,
        collect: (plan) => collectRead(tiers, plan),
      });
      owners.onFetched(built.sizeBytes);
      writeFetchResponse(writer, built.response, apiVersion);
      for (const { plan } of fetches) if (plan !== undefined) releaseRead(tiers, plan);
    } finally {
      removeRelease?.();
      release();
    }
  };
}

function locate(owners: FetchOwners, apiVersion: number, asked: FetchPartition): PartitionFetch {
  const isById = apiVersion >= TOPIC_ID_VERSION;
  const topic = isById ? owners.meta.topicById(asked.topicId) : owners.meta.topic(asked.topic);
  const partition = topic && owners.logs.partition(topic.topicId, asked.index);
  const plan = undefined;
  const deletedCode = isById ? ErrorCode.unknownTopicId : ErrorCode.unknownTopicOrPartition;
  if (partition === undefined) {
    const errorCode = topic === undefined ? deletedCode : ErrorCode.unknownTopicOrPartition;
    return { asked, partition, deletedCode, errorCode, plan };
  }
  const errorCode = refusalOf(owners.logs.leaderEpoch, partition, asked);
  return { asked, partition, deletedCode, errorCode, plan };
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
    if (asked.fetchOffset < partition.logStartOffset) return true;
    if (missingBytes > 0) {
      const limitBytes = Math.min(missingBytes, asked.maxBytes);
      missingBytes -= partition.availableBytes(asked.fetchOffset, limitBytes);
    }
  }
  return missingBytes <= 0;
}

/** Each partition by the topic's name or by its id: the other is empty. */
function sessionRequestOf(request: FetchRequest, apiVersion: number): SessionRequest {
  return {
    sessionId: request.sessionId,
    sessionEpoch: request.sessionEpoch,
    usesTopicIds: apiVersion >= TOPIC_ID_VERSION,
    partitions: request.topics.flatMap(({ topic, topicId, partitions }) =>
      partitions.map((partition) => ({
        topic,
        topicId,
        index: partition.partition,
        fetchOffset: partition.fetchOffset,
        maxBytes: partition.partitionMaxBytes,
        currentLeaderEpoch: partition.currentLeaderEpoch,
      })),
    ),
    forgotten: request.forgottenTopicsData.flatMap(({ topic, topicId, partitions }) =>
      partitions.map((index) => ({ topic, topicId, index })),
    ),
  };
}
