/** JoinGroup, SyncGroup, Heartbeat and LeaveGroup in all their versions, over their bytes. */

import { expect, test } from "bun:test";
import { createHeartbeatHandler } from "../../../src/api/groups/heartbeat.ts";
import { createJoinGroupHandler } from "../../../src/api/groups/join-group.ts";
import { createLeaveGroupHandler } from "../../../src/api/groups/leave-group.ts";
import { createSyncGroupHandler } from "../../../src/api/groups/sync-group.ts";
import type { GroupCoordinator } from "../../../src/coordinator/group-coordinator.ts";
import { ErrorCode } from "../../../src/protocol/errors.ts";
import { writeHeartbeatRequest } from "../../../src/protocol/generated/heartbeat-request.ts";
import { readHeartbeatResponse } from "../../../src/protocol/generated/heartbeat-response.ts";
import {
  type JoinGroupRequestInput,
  writeJoinGroupRequest,
} from "../../../src/protocol/generated/join-group-request.ts";
import { readJoinGroupResponse } from "../../../src/protocol/generated/join-group-response.ts";
import { writeLeaveGroupRequest } from "../../../src/protocol/generated/leave-group-request.ts";
import { readLeaveGroupResponse } from "../../../src/protocol/generated/leave-group-response.ts";
import { writeSyncGroupRequest } from "../../../src/protocol/generated/sync-group-request.ts";
import { readSyncGroupResponse } from "../../../src/protocol/generated/sync-group-response.ts";
import { joinAlone, newCoordinator, type Parts } from "../../coordinator/coordinator-parts.ts";
import { call, callFailed, versionsOf } from "./api-parts.ts";

const join = { write: writeJoinGroupRequest, read: readJoinGroupResponse };
const sync = { write: writeSyncGroupRequest, read: readSyncGroupResponse };
const heartbeat = { write: writeHeartbeatRequest, read: readHeartbeatResponse };
const leave = { write: writeLeaveGroupRequest, read: readLeaveGroupResponse };
const versions = (create: (groups: GroupCoordinator) => Parameters<typeof versionsOf>[0]) =>
  versionsOf(create({} as GroupCoordinator));

function joinInput(memberId: string, changes: Partial<JoinGroupRequestInput> = {}) {
  return {
    groupId: "g",
    sessionTimeoutMs: 10_000,
    memberId,
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: new Uint8Array([1, 2]) }],
    ...changes,
  };
}

/** Joins alone in `version`. */
async function joined({ groups, clock }: Parts, version: number) {
  const handler = createJoinGroupHandler(groups);
  const ask = async (memberId: string) => {
    const answer = call(handler, join, { version, request: joinInput(memberId) });
    await clock.advance(0);
    return await answer;
  };
  const first = await ask("");
  return first.errorCode === ErrorCode.memberIdRequired ? await ask(first.memberId) : first;
}

test.each(versions(createJoinGroupHandler))("JoinGroup v%i: alone in a group", async (version) => {
  const answer = await joined(await newCoordinator(), version);
  expect(answer).toMatchObject({
    errorCode: ErrorCode.none,
    generationId: 1,
    protocolName: "range",
    protocolType: version >= 7 ? "consumer" : null,
    leader: answer.memberId,
  });
  expect([...(answer.members[0]?.metadata ?? [])]).toEqual([1, 2]);
});

test.each(versions(createJoinGroupHandler))("JoinGroup v%i: errors", async (version) => {
  const { groups } = await newCoordinator();
  const handler = createJoinGroupHandler(groups);
  const request = joinInput("nobody");
  const noProtocol = version >= 7 ? null : "";
  expect(await call(handler, join, { version, request })).toMatchObject({
    errorCode: ErrorCode.unknownMemberId,
    memberId: "nobody",
    generationId: -1,
    protocolName: noProtocol,
    members: [],
  });
  const failed = { version, request, errorCode: ErrorCode.unknownServerError };
  expect(callFailed(handler, join, failed)).toMatchObject({
    errorCode: ErrorCode.unknownServerError,
    protocolName: noProtocol,
  });
});

test("JoinGroup v0: the session timeout is the rebalance timeout", async () => {
  const parts = await newCoordinator();
  const { memberId } = await joined(parts, 0);
  expect(parts.groups.group("g")?.members.get(memberId)?.rebalanceTimeoutMs).toBe(10_000);
});

test("JoinGroup v9: a returning static leader skips the assignment", async () => {
  const parts = await newCoordinator();
  const memberId = await joinAlone(parts, { groupInstanceId: "i" });
  const handler = createJoinGroupHandler(parts.groups);
  const protocols = [{ name: "range", metadata: new Uint8Array([9]) }];
  const request = joinInput("", { groupInstanceId: "i", protocols });
  const answer = await call(handler, join, { version: 9, request });
  expect(answer).toMatchObject({ skipAssignment: true, leader: answer.memberId, generationId: 1 });
  expect(answer.members.length).toBe(1);
  const beat = { groupId: "g", generationId: 1, memberId, groupInstanceId: "i" };
  const beating = createHeartbeatHandler(parts.groups);
  expect(await call(beating, heartbeat, { version: 3, request: beat })).toMatchObject({
    errorCode: ErrorCode.fencedInstanceId,
  });
});

test.each(versions(createSyncGroupHandler))(
  "SyncGroup v%i: the leader assigns",
  async (version) => {
    const parts = await newCoordinator();
    const { memberId } = await joined(parts, 9);
    const handler = createSyncGroupHandler(parts.groups);
    const assignments = [{ memberId, assignment: new Uint8Array([7]) }];
    const request = { groupId: "g", generationId: 1, memberId, assignments };
    const answer = await call(handler, sync, { version, request });
    expect(answer).toMatchObject({
      errorCode: ErrorCode.none,
      protocolName: version >= 5 ? "range" : null,
    });
    expect([...answer.assignment]).toEqual([7]);
    const wrong = { ...request, generationId: 9 };
    expect(await call(handler, sync, { version, request: wrong })).toMatchObject({
      errorCode: ErrorCode.illegalGeneration,
    });
    const failed = { version, request, errorCode: ErrorCode.unknownServerError };
    expect(callFailed(handler, sync, failed).errorCode).toBe(ErrorCode.unknownServerError);
  },
);

test.each(versions(createHeartbeatHandler))("Heartbeat v%i", async (version) => {
  const parts = await newCoordinator();
  const memberId = await joinAlone(parts);
  const handler = createHeartbeatHandler(parts.groups);
  const request = { groupId: "g", generationId: 1, memberId };
  expect((await call(handler, heartbeat, { version, request })).errorCode).toBe(ErrorCode.none);
  const unknown = { ...request, groupId: "other" };
  expect((await call(handler, heartbeat, { version, request: unknown })).errorCode).toBe(
    ErrorCode.unknownMemberId,
  );
  const nameless = { ...request, groupId: "" };
  expect((await call(handler, heartbeat, { version, request: nameless })).errorCode).toBe(
    ErrorCode.invalidGroupId,
  );
});

test.each(versions(createLeaveGroupHandler))("LeaveGroup v%i", async (version) => {
  const parts = await newCoordinator();
  const memberId = await joinAlone(parts);
  const handler = createLeaveGroupHandler(parts.groups);
  if (version < 3) {
    const ask = async (request: { groupId: string; memberId: string }) =>
      (await call(handler, leave, { version, request })).errorCode;
    expect(await ask({ groupId: "g", memberId: "nobody" })).toBe(ErrorCode.unknownMemberId);
    expect(await ask({ groupId: "other", memberId })).toBe(ErrorCode.unknownMemberId);
    expect(await ask({ groupId: "", memberId })).toBe(ErrorCode.invalidGroupId);
    expect(await ask({ groupId: "g", memberId })).toBe(ErrorCode.none);
  } else {
    const members = [{ memberId: "nobody", groupInstanceId: "i" }, { memberId }];
    const answer = await call(handler, leave, { version, request: { groupId: "g", members } });
    expect(answer).toMatchObject({
      errorCode: ErrorCode.none,
      members: [
        { memberId: "nobody", groupInstanceId: "i", errorCode: ErrorCode.unknownMemberId },
        { memberId, groupInstanceId: null, errorCode: ErrorCode.none },
      ],
    });
    const missing = await call(handler, leave, { version, request: { groupId: "x", members } });
    expect(missing.members.map(({ errorCode }) => errorCode)).toEqual([25, 25]);
    const nameless = await call(handler, leave, { version, request: { groupId: "", members } });
    expect(nameless.errorCode).toBe(ErrorCode.invalidGroupId);
  }
  expect(parts.groups.group("g")?.state).toBe("Empty");
});
