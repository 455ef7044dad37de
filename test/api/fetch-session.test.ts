/** Incremental fetch sessions: what is remembered, refused and forgotten (KIP-227). */

import { expect, test } from "bun:test";
import {
  FetchSessionCache,
  NO_SESSION_ID,
  type RequestedPartition,
  type SessionRequest,
} from "../../src/api/fetch-session.ts";
import { type Clock, seededRandom } from "../../src/core/clock.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";

const INT32_MAX = 2 ** 31 - 1;

class ManualClock implements Clock {
  timeMs = 0;
  nowMs = (): number => this.timeMs;
  monotonicMs = (): number => this.timeMs;
  after = (): (() => void) => () => {};
}

function partition(index: number, fetchOffset = 0): RequestedPartition {
  return { topic: "t", topicId: "id", index, fetchOffset, maxBytes: 100, currentLeaderEpoch: -1 };
}

function request(values: Partial<SessionRequest>): SessionRequest {
  const none = {
    sessionId: 0,
    sessionEpoch: 0,
    usesTopicIds: false,
    partitions: [],
    forgotten: [],
  };
  return { ...none, ...values };
}

function cacheOf(sessionsMax: number, clock: Clock = new ManualClock()): FetchSessionCache {
  return new FetchSessionCache({ sessionsMax, clock, random: seededRandom(1) });
}

function codeOf(action: () => unknown): number | undefined {
  try {
    action();
    return undefined;
  } catch (thrown) {
    return thrown instanceof KafkaError ? thrown.code : -999;
  }
}

test("fetch session: an incremental request changes, adds and forgets partitions", () => {
  const cache = cacheOf(10);
  const { sessionId } = cache.open(request({ partitions: [partition(0), partition(1)] }));
  expect(sessionId).not.toBe(NO_SESSION_ID);
  const next = cache.open(
    request({
      sessionId,
      sessionEpoch: 1,
      partitions: [partition(1, 7), partition(2)],
      forgotten: [{ topic: "t", topicId: "id", index: 0 }],
    }),
  );
  expect(next.isIncremental).toBe(true);
  expect(next.partitions.map(({ index, fetchOffset }) => [index, fetchOffset])).toEqual([
    [1, 7],
    [2, 0],
  ]);
});

test("fetch session: a partition that was served goes behind the others", () => {
  const cache = cacheOf(10);
  const { sessionId } = cache.open(request({ partitions: [partition(0), partition(1)] }));
  const first = cache.open(request({ sessionId, sessionEpoch: 1 }));
  const [served] = first.partitions;
  if (served !== undefined) first.served(served);
  const second = cache.open(request({ sessionId, sessionEpoch: 2 }));
  expect(second.partitions.map(({ index }) => index)).toEqual([1, 0]);
});

test("fetch session: unknown sessions, wrong epochs and mixed naming are refused", () => {
  const cache = cacheOf(10);
  const { sessionId } = cache.open(request({ partitions: [partition(0)] }));
  const unknown = request({ sessionId: sessionId + 1, sessionEpoch: 1 });
  expect(codeOf(() => cache.open(unknown))).toBe(ErrorCode.fetchSessionIdNotFound);
  const wrongEpoch = request({ sessionId, sessionEpoch: 2 });
  expect(codeOf(() => cache.open(wrongEpoch))).toBe(ErrorCode.invalidFetchSessionEpoch);
  const byId = request({ sessionId, sessionEpoch: 1, usesTopicIds: true });
  expect(codeOf(() => cache.open(byId))).toBe(ErrorCode.fetchSessionTopicIdError);
});

test("fetch session: epoch -1 closes it", () => {
  const cache = cacheOf(10);
  const { sessionId } = cache.open(request({ partitions: [partition(0)] }));
  const closing = request({ sessionId, sessionEpoch: -1, partitions: [partition(0)] });
  expect(cache.open(closing).sessionId).toBe(NO_SESSION_ID);
  expect(cache.sessionCount).toBe(0);
});

test("fetch session: a full cache serves without a session until an old one may go", () => {
  const clock = new ManualClock();
  const cache = cacheOf(1, clock);
  const first = cache.open(request({ partitions: [partition(0)] }));
  expect(cache.open(request({ partitions: [partition(1)] })).sessionId).toBe(NO_SESSION_ID);
  clock.timeMs = 120_000;
  expect(cache.open(request({ partitions: [partition(1)] })).sessionId).not.toBe(NO_SESSION_ID);
  const gone = request({ sessionId: first.sessionId, sessionEpoch: 1 });
  expect(codeOf(() => cache.open(gone))).toBe(ErrorCode.fetchSessionIdNotFound);
});

test("fetch session: session ids are positive int32", () => {
  const cache = cacheOf(1000);
  for (let count = 0; count < 1000; count += 1) {
    const { sessionId } = cache.open(request({ partitions: [partition(0)] }));
    expect(sessionId).toBeGreaterThan(0);
    expect(sessionId).toBeLessThanOrEqual(INT32_MAX);
  }
  expect(cache.sessionCount).toBe(1000);
});
