/**
 * Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer reads, so
 * that its requests and the answers name only what changed.
 *
 * The cache is bounded in sessions and in the partitions of all sessions together: when it is full,
 * sessions that have not been used for `EVICTABLE_AFTER_MS` make room; if there are none, the consumer
 * is served without a session, which always works. So is one that asks for many partitions that do not exist.
 */

import type { Clock, Random } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";

/** Request epochs with a meaning of their own. */
const FULL_FETCH_EPOCH = 0;
const CLOSE_EPOCH = -1;
const EVICTABLE_AFTER_MS = 120_000;
const INT32_MAX = 2 ** 31 - 1;
/** A session that has named more partitions that do not exist is not remembered. */
const UNKNOWN_PARTITIONS_MAX = 1000;
/** The session id that means none. */
export const NO_SESSION_ID = 0;

/** A partition that a consumer reads, with what it was told last. */
export interface FetchPartition {
  readonly topic: string;
  readonly topicId: string;
  readonly index: number;
  fetchOffset: number;
  maxBytes: number;
  /** -1 when the client does not know. */
  currentLeaderEpoch: number;
  /** What the last answer said; -1 before the first. */
  toldHighWatermark: number;
  toldLogStartOffset: number;
}

/** A partition as a request names it. */
export type RequestedPartition = Omit<FetchPartition, "toldHighWatermark" | "toldLogStartOffset">;

/** What a Fetch request says, with its partitions flattened. */
export interface SessionRequest {
  readonly sessionId: number;
  readonly sessionEpoch: number;
  /** The request names topics by id, not by name. */
  readonly usesTopicIds: boolean;
  readonly partitions: readonly RequestedPartition[];
  readonly forgotten: readonly PartitionName[];
}

/** By the topic's id or by its name, as the request's version does; the other is not looked at. */
type PartitionName = Pick<FetchPartition, "topic" | "topicId" | "index">;

/** How to answer a request. */
export interface SessionFetch {
  /** For the answer; `NO_SESSION_ID` if there is none. */
  readonly sessionId: number;
  /** Everything to look at, in order. */
  readonly partitions: readonly FetchPartition[];
  /** Only changed partitions are told. */
  readonly isIncremental: boolean;
  /** Call for a partition that was served, so that the others come first next time. */
  served(partition: FetchPartition): void;
}

interface Session {
  readonly sessionId: number;
  readonly usesTopicIds: boolean;
  nextEpoch: number;
  lastUsedMs: number;
  readonly partitions: Map<string, FetchPartition>;
  /** How many partitions have been named that did not exist then. */
  unknownCount: number;
}

export interface FetchSessionOptions {
  readonly sessionsMax: number;
  /** Of all sessions together. */
  readonly partitionsMax: number;
  readonly clock: Clock;
  readonly random: Random;
  isKnown(partition: RequestedPartition): boolean;
}

export class FetchSessionCache {
  readonly #options: FetchSessionOptions;
  /** Least recently used first. */
  readonly #sessions = new Map<number, Session>();
  /** Of all sessions. */
  #partitionCount = 0;

  constructor(options: FetchSessionOptions) {
    this.#options = options;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Partitions that are remembered for all sessions. */
  get partitionCount(): number {
    return this.#partitionCount;
  }

  /** @throws KafkaError FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR */
  open(request: SessionRequest): SessionFetch {
    if (request.sessionEpoch === CLOSE_EPOCH || request.sessionEpoch === FULL_FETCH_EPOCH) {
      const closed = this.#sessions.get(request.sessionId);
      if (closed !== undefined) this.#remove(closed);
      const partitions = distinct(request);
      const isSessionDue = request.sessionEpoch === FULL_FETCH_EPOCH && partitions.size > 0;
      const sessionId = isSessionDue ? this.#create(request, partitions) : NO_SESSION_ID;
      return {
        sessionId,
        partitions: [...partitions.values()],
        isIncremental: false,
        served: () => {},
      };
    }
    const session = this.#resume(request);
    const countBefore = session.partitions.size;
    this.#applyChanges(session, request);
    this.#partitionCount += session.partitions.size - countBefore;
    // The answer to a session that ends is still complete; its client begins again with a full fetch.
    if (!this.#mayKeep(session)) this.#remove(session);
    return {
      sessionId: this.#sessions.has(session.sessionId) ? session.sessionId : NO_SESSION_ID,
      partitions: [...session.partitions.values()],
      isIncremental: true,
      served: (partition) => {
        const key = keyOf(partition, session.usesTopicIds);
        if (session.partitions.delete(key)) session.partitions.set(key, partition);
      },
    };
  }

  #mayKeep({ partitions, unknownCount }: Session): boolean {
    return (
      partitions.size > 0 &&
      unknownCount <= UNKNOWN_PARTITIONS_MAX &&
      this.#partitionCount <= this.#options.partitionsMax
    );
  }

  #remove(session: Session): void {
    if (this.#sessions.delete(session.sessionId)) this.#partitionCount -= session.partitions.size;
  }

  #resume(request: SessionRequest): Session {
    const session = this.#sessions.get(request.sessionId);
    if (session === undefined) {
      throw new KafkaError(ErrorCode.fetchSessionIdNotFound, "The fetch session is unknown.");
    }
    if (session.nextEpoch !== request.sessionEpoch) {
      throw new KafkaError(
        ErrorCode.invalidFetchSessionEpoch,
        `The fetch session expects epoch ${session.nextEpoch}, not ${request.sessionEpoch}.`,
      );
    }
    if (session.usesTopicIds !== request.usesTopicIds) {
      throw new KafkaError(
        ErrorCode.fetchSessionTopicIdError,
        "The fetch session was opened with the other way of naming topics.",
      );
    }
    session.nextEpoch = session.nextEpoch === INT32_MAX ? 1 : session.nextEpoch + 1;
    session.lastUsedMs = this.#options.clock.monotonicMs();
    this.#sessions.delete(session.sessionId);
    this.#sessions.set(session.sessionId, session);
    return session;
  }

  /** @returns the new session's id, or `NO_SESSION_ID` if there is no room. */
  #create(request: SessionRequest, partitions: Map<string, FetchPartition>): number {
    const { clock, random } = this.#options;
    let unknownCount = 0;
    for (const partition of partitions.values()) {
      if (!this.#options.isKnown(partition)) unknownCount += 1;
    }
    if (unknownCount > UNKNOWN_PARTITIONS_MAX) return NO_SESSION_ID;
    const nowMs = clock.monotonicMs();
    if (!this.#makeRoom(partitions.size, nowMs)) return NO_SESSION_ID;
    let sessionId = NO_SESSION_ID;
    while (sessionId === NO_SESSION_ID || this.#sessions.has(sessionId)) {
      sessionId = 1 + Math.floor(random() * (INT32_MAX - 1));
    }
    this.#sessions.set(sessionId, {
      sessionId,
      usesTopicIds: request.usesTopicIds,
      nextEpoch: 1,
      lastUsedMs: nowMs,
      partitions,
      unknownCount,
    });
    this.#partitionCount += partitions.size;
    return sessionId;
  }

  /** Forgets old sessions until one more of `partitionCount` fits. @returns whether it does */
  #makeRoom(partitionCount: number, nowMs: number): boolean {
    const { sessionsMax, partitionsMax } = this.#options;
    if (partitionCount > partitionsMax || sessionsMax === 0) return false;
    for (const oldest of this.#sessions.values()) {
      const isFull =
        this.#sessions.size >= sessionsMax || this.#partitionCount + partitionCount > partitionsMax;
      if (!isFull) return true;
      if (nowMs - oldest.lastUsedMs < EVICTABLE_AFTER_MS) return false;
      this.#remove(oldest);
    }
    return true;
  }

  #applyChanges(session: Session, request: SessionRequest): void {
    const { partitions, usesTopicIds } = session;
    for (const requested of request.partitions) {
      const key = keyOf(requested, usesTopicIds);
      const known = partitions.get(key);
      if (known === undefined) {
        partitions.set(key, untold(requested));
        if (!this.#options.isKnown(requested)) session.unknownCount += 1;
      } else {
        known.fetchOffset = requested.fetchOffset;
        known.maxBytes = requested.maxBytes;
        known.currentLeaderEpoch = requested.currentLeaderEpoch;
      }
    }
    for (const forgotten of request.forgotten) partitions.delete(keyOf(forgotten, usesTopicIds));
  }
}

/** Each partition once; of one that is named several times, the last. */
function distinct({ partitions, usesTopicIds }: SessionRequest): Map<string, FetchPartition> {
  const found = new Map<string, FetchPartition>();
  for (const partition of partitions) {
    found.set(keyOf(partition, usesTopicIds), untold(partition));
  }
  return found;
}

function keyOf({ topic, topicId, index }: PartitionName, usesTopicIds: boolean): string {
  return `${usesTopicIds ? topicId : topic}/${index}`;
}

function untold(requested: RequestedPartition): FetchPartition {
  return { ...requested, toldHighWatermark: -1, toldLogStartOffset: -1 };
}
