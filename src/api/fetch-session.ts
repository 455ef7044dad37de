/**
 * Incremental fetch sessions (KIP-227): the broker remembers which partitions a consumer reads, so
 * that its requests and the answers name only what changed.
 *
 * The cache is bounded: when it is full, a session that has not been used for `EVICTABLE_AFTER_MS`
 * makes room; if there is none, the consumer is served without a session, which always works.
 */

import type { Clock, Random } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";

/** Request epochs with a meaning of their own. */
const FULL_FETCH_EPOCH = 0;
const CLOSE_EPOCH = -1;
const EVICTABLE_AFTER_MS = 120_000;
const INT32_MAX = 2 ** 31 - 1;
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
  readonly forgotten: readonly { topic: string; topicId: string; index: number }[];
}

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
}

export class FetchSessionCache {
  readonly #sessionsMax: number;
  readonly #clock: Clock;
  readonly #random: Random;
  /** Least recently used first. */
  readonly #sessions = new Map<number, Session>();

  constructor(options: { sessionsMax: number; clock: Clock; random: Random }) {
    this.#sessionsMax = options.sessionsMax;
    this.#clock = options.clock;
    this.#random = options.random;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** @throws KafkaError FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR */
  open(request: SessionRequest): SessionFetch {
    if (request.sessionEpoch === CLOSE_EPOCH || request.sessionEpoch === FULL_FETCH_EPOCH) {
      this.#sessions.delete(request.sessionId);
      const partitions = request.partitions.map(untold);
      const isSessionDue = request.sessionEpoch === FULL_FETCH_EPOCH && partitions.length > 0;
      const sessionId = isSessionDue ? this.#create(request, partitions) : NO_SESSION_ID;
      return { sessionId, partitions, isIncremental: false, served: () => {} };
    }
    const session = this.#resume(request);
    applyChanges(session, request);
    if (session.partitions.size === 0) this.#sessions.delete(session.sessionId);
    return {
      sessionId: session.partitions.size === 0 ? NO_SESSION_ID : session.sessionId,
      partitions: [...session.partitions.values()],
      isIncremental: true,
      served: (partition) => {
        const key = keyOf(partition);
        if (session.partitions.delete(key)) session.partitions.set(key, partition);
      },
    };
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
    session.lastUsedMs = this.#clock.monotonicMs();
    this.#sessions.delete(session.sessionId);
    this.#sessions.set(session.sessionId, session);
    return session;
  }

  /** @returns the new session's id, or `NO_SESSION_ID` if there is no room. */
  #create(request: SessionRequest, partitions: readonly FetchPartition[]): number {
    const nowMs = this.#clock.monotonicMs();
    if (this.#sessions.size >= this.#sessionsMax) {
      const [oldest] = this.#sessions.values();
      if (oldest === undefined || nowMs - oldest.lastUsedMs < EVICTABLE_AFTER_MS) {
        return NO_SESSION_ID;
      }
      this.#sessions.delete(oldest.sessionId);
    }
    let sessionId = NO_SESSION_ID;
    while (sessionId === NO_SESSION_ID || this.#sessions.has(sessionId)) {
      sessionId = 1 + Math.floor(this.#random() * (INT32_MAX - 1));
    }
    this.#sessions.set(sessionId, {
      sessionId,
      usesTopicIds: request.usesTopicIds,
      nextEpoch: 1,
      lastUsedMs: nowMs,
      partitions: new Map(partitions.map((partition) => [keyOf(partition), partition])),
    });
    return sessionId;
  }
}

function applyChanges(session: Session, request: SessionRequest): void {
  for (const requested of request.partitions) {
    const known = session.partitions.get(keyOf(requested));
    if (known === undefined) {
      session.partitions.set(keyOf(requested), untold(requested));
    } else {
      known.fetchOffset = requested.fetchOffset;
      known.maxBytes = requested.maxBytes;
      known.currentLeaderEpoch = requested.currentLeaderEpoch;
    }
  }
  for (const forgotten of request.forgotten) session.partitions.delete(keyOf(forgotten));
}

function keyOf({ topic, topicId, index }: { topic: string; topicId: string; index: number }) {
  return `${topic}/${topicId}/${index}`;
}

function untold(requested: RequestedPartition): FetchPartition {
  return { ...requested, toldHighWatermark: -1, toldLogStartOffset: -1 };
}
