/** The rebalance of a group: when it starts, whom it waits for, and how it ends. */

import { assert } from "../core/assert.ts";
import { ErrorCode } from "../protocol/errors.ts";
import type { Group, Member } from "./group.ts";
import {
  awaitingJoinCount,
  haveAllJoined,
  metadataOf,
  NO_ASSIGNMENT,
  rebalanceTimeoutMsOf,
  selectedProtocol,
  storedGroupOf,
} from "./group.ts";
import type { JoinReply } from "./group-events.ts";
import { JOIN_TIMER, SYNC_TIMER } from "./group-events.ts";
import type { GroupStep } from "./group-step.ts";
import { refusedSync } from "./group-step.ts";

/** Starts a rebalance where the state allows one; while one runs already, sees whether it is over. */
export function rebalanceOrCompleteJoin(step: GroupStep): void {
  if (step.group.state === "PreparingRebalance") maybeCompleteJoin(step);
  else prepareRebalance(step);
}

/** Asks every member to join again. */
export function prepareRebalance(step: GroupStep): void {
  assert(step.group.state !== "Dead", `group ${step.group.groupId} is dead`);
  if (step.group.state === "CompletingRebalance") {
    propagateAssignments(step, new Map(), ErrorCode.rebalanceInProgress);
  }
  step.update({ pendingSyncIds: new Set() });
  step.stopTimer(SYNC_TIMER);
  const isInitial = step.group.state === "Empty";
  step.moveTo("PreparingRebalance");
  if (isInitial) startInitialDelay(step);
  else if (haveAllJoined(step.group)) completeJoin(step);
  else waitForMembers(step);
}

/** Ends the joining if nobody is missing. The first rebalance of a group ends with its delay only. */
export function maybeCompleteJoin(step: GroupStep): void {
  const { group } = step;
  if (group.state !== "PreparingRebalance" || group.previousState === "Empty") return;
  if (haveAllJoined(group)) completeJoin(step);
}

/** Like `maybeCompleteJoin`, also when it is the first rebalance: somebody who was waited for is gone. */
export function completeJoinIfAllThere(step: GroupStep): void {
  if (step.group.state === "PreparingRebalance" && haveAllJoined(step.group)) completeJoin(step);
}

/** The delay of a first rebalance is over: extends it if members came meanwhile and time is left. */
export function afterInitialDelay(
  step: GroupStep,
  { delayMs, remainingMs }: { readonly delayMs: number; readonly remainingMs: number },
): void {
  if (step.group.state !== "PreparingRebalance") return;
  if (!step.group.isMemberAdded || remainingMs === 0) {
    completeJoin(step);
    return;
  }
  step.update({ isMemberAdded: false });
  const nextDelayMs = Math.min(step.limits.initialRebalanceDelayMs, remainingMs);
  step.startTimer(JOIN_TIMER, nextDelayMs, {
    kind: "initialDelayPassed",
    delayMs: nextDelayMs,
    remainingMs: Math.max(remainingMs - delayMs, 0),
  });
}

/** Ends the joining: dynamic members that did not join are out, the others make the next generation. */
export function completeJoin(step: GroupStep): void {
  step.stopTimer(JOIN_TIMER);
  for (const member of step.group.members.values()) {
    const isLate = member.joinRequestId === undefined && member.groupInstanceId === null;
    if (isLate) step.removeMember(member.memberId);
  }
  if (step.group.members.size > 0 && awaitingJoinCount(step.group) === 0) {
    waitForMembers(step); // Only silent static members are left: until their sessions end.
    return;
  }
  electLeader(step);
  step.update({ generationId: nextGenerationId(step.group), pendingSyncIds: new Set() });
  if (step.group.members.size === 0) {
    step.update({ protocolName: null });
    step.moveTo("Empty");
    step.effects.push({ kind: "store", stored: storedGroupOf(step.group) });
    return;
  }
  step.update({ protocolName: selectedProtocol(step.group) });
  step.moveTo("CompletingRebalance");
  answerJoins(step);
  step.startTimer(SYNC_TIMER, rebalanceTimeoutMsOf(step.group), {
    kind: "syncTimedOut",
    generationId: step.group.generationId,
  });
}

/** Gives every member its assignment, empty if there is none, and answers those that wait for it. */
export function propagateAssignments(
  step: GroupStep,
  assignments: ReadonlyMap<string, Uint8Array>,
  errorCode: ErrorCode,
): void {
  const { protocolType, protocolName } = step.group;
  step.mapMembers((member) => {
    const assignment = assignments.get(member.memberId) ?? NO_ASSIGNMENT;
    if (member.syncRequestId !== undefined) {
      const reply =
        errorCode === ErrorCode.none
          ? ({ kind: "synced", errorCode, protocolType, protocolName, assignment } as const)
          : refusedSync(errorCode);
      step.replySync(member, reply);
      step.restartSession(member.memberId, member.sessionTimeoutMs);
    }
    return { ...member, assignment, syncRequestId: undefined };
  });
}

/** The answer to a JoinGroup that takes the member into the current generation. */
export function joinedReply(group: Group, memberId: string): JoinReply {
  return {
    kind: "joined",
    errorCode: ErrorCode.none,
    memberId,
    generationId: group.generationId,
    protocolType: group.protocolType,
    protocolName: group.protocolName,
    leaderId: group.leaderId ?? "",
    skipAssignment: false,
    members: group.leaderId === memberId ? joinedMembers(group) : [],
  };
}

/** What the leader has to know of all members. */
function joinedMembers(group: Group): JoinReply["members"] {
  return [...group.members.values()].map((member) => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    metadata: metadataOf(member, group.protocolName),
  }));
}

function startInitialDelay(step: GroupStep): void {
  const delayMs = step.limits.initialRebalanceDelayMs;
  const remainingMs = Math.max(rebalanceTimeoutMsOf(step.group) - delayMs, 0);
  step.startTimer(JOIN_TIMER, delayMs, { kind: "initialDelayPassed", delayMs, remainingMs });
}

function waitForMembers(step: GroupStep): void {
  const timeoutMs = rebalanceTimeoutMsOf(step.group);
  step.startTimer(JOIN_TIMER, timeoutMs, { kind: "rebalanceTimedOut" });
}

/** A leader that did not join again loses its part to the first member that did. */
function electLeader(step: GroupStep): void {
  const { members, leaderId } = step.group;
  if (leaderId !== null && members.get(leaderId)?.joinRequestId !== undefined) return;
  const first = [...members.values()].find(({ joinRequestId }) => joinRequestId !== undefined);
  step.update({ leaderId: first?.memberId ?? null });
}

function answerJoins(step: GroupStep): void {
  const { group } = step;
  step.mapMembers((member: Member) => {
    step.replyJoin(member, joinedReply(group, member.memberId));
    step.restartSession(member.memberId, member.sessionTimeoutMs);
    return { ...member, joinRequestId: undefined, isNew: false, isIdKnown: true };
  });
  step.update({ pendingSyncIds: new Set(step.group.members.keys()) });
}

/** int32 on the wire. */
function nextGenerationId({ generationId }: Group): number {
  return generationId === 0x7fff_ffff ? 1 : generationId + 1;
}
