/** Incremental fetch sessions: what is remembered, refused and forgotten (KIP-227). */

import { expect, test } from "bun:test";
import {
  FetchSessionCache,
  type FetchSessionOptions,
  NO_SESSION_ID,
  type RequestedPartition,
  type SessionRequest,
} from "../../src/api/fetch-session.ts";
import { type Clock, seededRandom } from "../../src/core/clock.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { codeOf } from "../protocol/error-code.ts";

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

function cacheOf(
  sessionsMax: number,
  clock: Clock = new ManualClock(),
  changes: Partial<FetchSessionOptions> = {},
): FetchSessionCache {
  return new FetchSessionCache({
    sessionsMax,
    partitionsMax: 100_000,
    clock,
    random: seededRandom(1),
    isKnown: () => true,
    ...changes,
  });
}

function partitions(count: number, start = 0): RequestedPartition[] {
  return Array.from({ length: count }, (_, index) => partition(start + index));
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

test("fetch session: the partitions of all sessions together are bounded", () => {
  const clock = new ManualClock();
  const cache = cacheOf(10, clock, { partitionsMax: 100 });
  expect(cache.open(request({ partitions: partitions(101) })).sessionId).toBe(NO_SESSION_ID);
  const first = cache.open(request({ partitions: partitions(60) }));
  expect(first.sessionId).not.toBe(NO_SESSION_ID);
  const second = cache.open(request({ partitions: partitions(60) }));
  expect(second.sessionId).toBe(NO_SESSION_ID);
  expect(second.partitions.length).toBe(60);
  expect(cache.partitionCount).toBe(60);
  clock.timeMs = 120_000;
  expect(cache.open(request({ partitions: partitions(60) })).sessionId).not.toBe(NO_SESSION_ID);
  expect(cache.partitionCount).toBe(60);
});

test("fetch session: one that grows beyond the bound is answered whole and ends", () => {
  const cache = cacheOf(10, new ManualClock(), { partitionsMax: 100 });
  const { sessionId } = cache.open(request({ partitions: partitions(60) }));
  const grown = cache.open(request({ sessionId, sessionEpoch: 1, partitions: partitions(60, 60) }));
  expect(grown.sessionId).toBe(NO_SESSION_ID);
  expect(grown.partitions.length).toBe(120);
  expect([cache.sessionCount, cache.partitionCount]).toEqual([0, 0]);
});

test("fetch session: many partitions that do not exist are not remembered", () => {
  const cache = cacheOf(10, new ManualClock(), { isKnown: ({ index }) => index < 5 });
  expect(cache.open(request({ partitions: partitions(2000) })).sessionId).toBe(NO_SESSION_ID);
  const { sessionId } = cache.open(request({ partitions: partitions(10) }));
  expect(sessionId).not.toBe(NO_SESSION_ID);
  const more = request({ sessionId, sessionEpoch: 1, partitions: partitions(2000, 10) });
  expect(cache.open(more).sessionId).toBe(NO_SESSION_ID);
  expect(cache.partitionCount).toBe(0);
});

test("fetch session: a topic named by id is forgotten by its id alone, and by name by its name", () => {
  for (const usesTopicIds of [true, false]) {
    const cache = cacheOf(10);
    const both = [partition(0), partition(1)];
    const { sessionId } = cache.open(request({ usesTopicIds, partitions: both }));
    const name = usesTopicIds ? { topic: "", topicId: "id" } : { topic: "t", topicId: "" };
    const forgotten = [{ ...name, index: 0 }];
    const next = cache.open(request({ usesTopicIds, sessionId, sessionEpoch: 1, forgotten }));
    expect(next.partitions.map(({ index }) => index)).toEqual([1]);
  }
});

test("fetch session: a partition that a full request names twice is fetched once, as named last", () => {
  for (const sessionEpoch of [0, -1]) {
    const twice = [partition(0, 5), partition(1), partition(0, 7)];
    const { partitions: asked } = cacheOf(10).open(request({ sessionEpoch, partitions: twice }));
    expect(asked.map(({ index, fetchOffset }) => [index, fetchOffset])).toEqual([
      [0, 7],
      [1, 0],
    ]);
  }
});
