/** OffsetCommit and OffsetFetch in all their versions, over their bytes. */

import { expect, test } from "bun:test";
import { createOffsetCommitHandler } from "../../../src/api/groups/offset-commit.ts";
import { createOffsetFetchHandler } from "../../../src/api/groups/offset-fetch.ts";
import type { OffsetCoordinator } from "../../../src/coordinator/offset-coordinator.ts";
import type { MetaStore } from "../../../src/meta/meta-store.ts";
import { ErrorCode } from "../../../src/protocol/errors.ts";
import {
  type OffsetCommitRequestInput,
  writeOffsetCommitRequest,
} from "../../../src/protocol/generated/offset-commit-request.ts";
import { readOffsetCommitResponse } from "../../../src/protocol/generated/offset-commit-response.ts";
import { writeOffsetFetchRequest } from "../../../src/protocol/generated/offset-fetch-request.ts";
import { readOffsetFetchResponse } from "../../../src/protocol/generated/offset-fetch-response.ts";
import {
  joinAlone,
  newCoordinator,
  offsetOf,
  simpleCommit,
  TOPIC_ID,
} from "../../coordinator/coordinator-parts.ts";
import { settle } from "../../manual-clock.ts";
import { call, callFailed, versionsOf } from "./api-parts.ts";

const commit = { write: writeOffsetCommitRequest, read: readOffsetCommitResponse };
const fetch = { write: writeOffsetFetchRequest, read: readOffsetFetchResponse };
const nothing = { offsets: {} as OffsetCoordinator, store: {} as MetaStore };
const OTHER_ID = "AAAAAAAAAAAAAAAAAAAAAg";

function commitInput(version: number, changes: Partial<OffsetCommitRequestInput> = {}) {
  const partition = (partitionIndex: number, committedMetadata: string | null) => ({
    partitionIndex,
    committedOffset: 40 + partitionIndex,
    committedMetadata,
    ...(version >= 6 ? { committedLeaderEpoch: 3 } : {}),
  });
  const known = version >= 10 ? { topicId: TOPIC_ID } : { name: "t" };
  const unknown = version >= 10 ? { topicId: OTHER_ID } : { name: "missing" };
  return {
    groupId: "g",
    topics: [
      { ...known, partitions: [partition(0, "text"), partition(1, null), partition(4, "")] },
      { ...unknown, partitions: [partition(0, "")] },
    ],
    ...changes,
  };
}

test.each(versionsOf(createOffsetCommitHandler(nothing)))(
  "OffsetCommit v%i: known partitions are kept, others refused",
  async (version) => {
    const { offsets, store } = await newCoordinator();
    const handler = createOffsetCommitHandler({ offsets, store });
    const answer = await call(handler, commit, { version, request: commitInput(version) });
    const codes = answer.topics.map(({ partitions }) =>
      partitions.map(({ errorCode }) => errorCode),
    );
    const unknown = version >= 10 ? ErrorCode.unknownTopicId : ErrorCode.unknownTopicOrPartition;
    expect(codes).toEqual([[0, 0, ErrorCode.unknownTopicOrPartition], [unknown]]);
    expect(answer.topics[0]).toMatchObject(
      version >= 10 ? { topicId: TOPIC_ID, name: "" } : { name: "t" },
    );
    expect(store.committedOffset("g", { topic: "t", partition: 0 })).toMatchObject({
      offset: 40,
      metadata: "text",
      leaderEpoch: version >= 6 ? 3 : -1,
    });
    expect(store.committedOffset("g", { topic: "t", partition: 1 })?.metadata).toBe("");
  },
);

test.each(versionsOf(createOffsetCommitHandler(nothing)))(
  "OffsetCommit v%i: errors of the group stand at each partition",
  async (version) => {
    const parts = await newCoordinator();
    const { offsets, store } = parts;
    const handler = createOffsetCommitHandler({ offsets, store });
    const codeOf = async (changes: Partial<OffsetCommitRequestInput>) => {
      const request = commitInput(version, changes);
      const { topics } = await call(handler, commit, { version, request });
      return topics[0]?.partitions[0]?.errorCode;
    };
    const member = { memberId: "m", generationIdOrMemberEpoch: 1 };
    expect(await codeOf({ groupId: "missing", ...member })).toBe(
      version >= 9 ? ErrorCode.groupIdNotFound : ErrorCode.illegalGeneration,
    );
    const memberId = await joinAlone(parts);
    expect(await codeOf(member)).toBe(ErrorCode.unknownMemberId);
    expect(await codeOf({ memberId, generationIdOrMemberEpoch: 2 })).toBe(
      ErrorCode.illegalGeneration,
    );
    expect(await codeOf({ memberId, generationIdOrMemberEpoch: 1 })).toBe(ErrorCode.none);
    const failed = { version, request: commitInput(version), errorCode: 5 };
    expect(callFailed(handler, commit, failed).topics[1]?.partitions[0]?.errorCode).toBe(5);
  },
);

test("OffsetCommit v2: the client's retention is kept; v1: its commit time", async () => {
  const { offsets, store, clock } = await newCoordinator();
  const handler = createOffsetCommitHandler({ offsets, store });
  const request = commitInput(2, { retentionTimeMs: 5_000 });
  await call(handler, commit, { version: 2, request });
  expect(store.committedOffset("g", { topic: "t", partition: 0 })?.expireTimestampMs).toBe(
    clock.nowMs() + 5_000,
  );
  const partitions = [
    { partitionIndex: 2, committedOffset: 1, commitTimestamp: 77, committedMetadata: "" },
  ];
  const old = { groupId: "g", topics: [{ name: "t", partitions }] };
  await call(handler, commit, { version: 1, request: old });
  expect(store.committedOffset("g", { topic: "t", partition: 2 })?.commitTimestampMs).toBe(77);
});

/** One group's answer, whatever the version calls it. */
async function fetched(
  parts: Awaited<ReturnType<typeof newCoordinator>>,
  version: number,
  isAll: boolean,
) {
  const handler = createOffsetFetchHandler(parts);
  const partitionIndexes = [0, 1];
  const named = version >= 10 ? { topicId: TOPIC_ID } : { name: "t" };
  const missing = version >= 10 ? { topicId: OTHER_ID } : { name: "missing" };
  const topics = isAll
    ? null
    : [
        { ...named, partitionIndexes },
        { ...missing, partitionIndexes },
      ];
  if (version >= 8) {
    const request = {
      groups: [
        { groupId: "g", topics },
        { groupId: "none", topics: null },
      ],
    };
    const answer = await call(handler, fetch, { version, request });
    expect(answer.groups.map(({ groupId }) => groupId)).toEqual(["g", "none"]);
    expect(answer.groups[1]).toMatchObject({ errorCode: ErrorCode.none, topics: [] });
    return answer.groups[0];
  }
  const names = topics?.map((topic) => ({ name: topic.name ?? "", partitionIndexes })) ?? null;
  const request = { groupId: "g", topics: names };
  return await call(handler, fetch, { version, request });
}

test.each(versionsOf(createOffsetFetchHandler(nothing)))("OffsetFetch v%i", async (version) => {
  const parts = await newCoordinator();
  const { errorCode } = await parts.offsets.commit(
    simpleCommit("g", [{ ...offsetOf(0, 9, "text"), leaderEpoch: 2 }]),
  );
  expect(errorCode).toBe(ErrorCode.none);
  const answer = await fetched(parts, version, false);
  const topic = version >= 10 ? { topicId: TOPIC_ID } : { name: "t" };
  const none = { committedOffset: -1, committedLeaderEpoch: -1, metadata: "" };
  const unknown = version >= 10 ? ErrorCode.unknownTopicId : ErrorCode.none;
  expect(answer).toMatchObject({
    errorCode: ErrorCode.none,
    topics: [
      {
        ...topic,
        partitions: [
          {
            partitionIndex: 0,
            committedOffset: 9,
            committedLeaderEpoch: version >= 5 ? 2 : -1,
            metadata: "text",
            errorCode: ErrorCode.none,
          },
          { partitionIndex: 1, ...none, errorCode: ErrorCode.none },
        ],
      },
      {
        partitions: [
          { ...none, errorCode: unknown },
          { ...none, errorCode: unknown },
        ],
      },
    ],
  });
  if (version < 2) return;
  const all = await fetched(parts, version, true);
  expect(all?.topics.length).toBe(1);
  expect(all?.topics[0]).toMatchObject({ ...topic, partitions: [{ committedOffset: 9 }] });
});

test("OffsetFetch: requireStable waits for commits that are not durable yet", async () => {
  const parts = await newCoordinator();
  const handler = createOffsetFetchHandler(parts);
  parts.log.isAutomatic = false;
  const committing = parts.offsets.commit(simpleCommit("g", [offsetOf(0, 9)]));
  const groups = [{ groupId: "g", topics: null }];
  const unstable = await call(handler, fetch, { version: 8, request: { groups } });
  expect(unstable.groups[0]?.topics).toEqual([]);
  const stable = call(handler, fetch, { version: 8, request: { groups, requireStable: true } });
  await settle();
  parts.log.sync();
  await committing;
  expect((await stable).groups[0]?.topics[0]?.partitions[0]?.committedOffset).toBe(9);
});
