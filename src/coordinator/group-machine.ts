/**
 * The classic group protocol as a pure machine: `(group, event, nowMs) → { group, effects }`. It follows the classic
 * groups of Apache Kafka 4.3 (KIP-134, 345, 394, 559, 814). The coordinator performs the effects in order.
 */

import { assertNever } from "../core/assert.ts";
import { ErrorCode } from "../protocol/errors.ts";
import type { Group } from "./group.ts";
import { staticMember } from "./group.ts";
import type { GroupEffect, GroupEvent, MemberIdentity } from "./group-events.ts";
import { JOIN_TIMER, SYNC_TIMER, sessionTimer } from "./group-events.ts";
import { memberFault } from "./group-identity.ts";
import { afterJoin, afterReplacementStored } from "./group-join.ts";
import {
  afterInitialDelay,
  completeJoin,
  completeJoinIfAllThere,
  maybeCompleteJoin,
  prepareRebalance,
} from "./group-rebalance.ts";
import type { GroupLimits } from "./group-step.ts";
import { GroupStep, refusedJoin, refusedSync } from "./group-step.ts";
import { afterAssignmentStored, afterSync } from "./group-sync.ts";

export interface GroupTransition {
  readonly group: Group;
  readonly effects: readonly GroupEffect[];
}

/** When it happens, and under which settings. */
export interface GroupContext {
  readonly nowMs: number;
  readonly limits: GroupLimits;
}

/** The group after `event`, and what is to be done. */
export function groupAfter(
  group: Group,
  event: GroupEvent,
  { nowMs, limits }: GroupContext,
): GroupTransition {
  const step = new GroupStep(group, limits, nowMs);
  apply(step, event);
  return { group: step.group, effects: step.effects };
}

function apply(step: GroupStep, event: GroupEvent): void {
  switch (event.kind) {
    case "join":
      afterJoin(step, event);
      break;
    case "sync":
      afterSync(step, event);
      break;
    case "heartbeat":
      step.answer(event.requestId, heartbeatCode(step, event));
      break;
    case "commit":
      step.answer(event.requestId, commitCode(step, event));
      break;
    case "leave":
      afterLeave(step, event);
      break;
    case "abandoned":
      afterAbandoned(step, event.requestId);
      break;
    case "sessionExpired":
      afterSessionExpired(step, event.memberId);
      break;
    case "initialDelayPassed":
      afterInitialDelay(step, event);
      break;
    case "rebalanceTimedOut":
      if (step.group.state === "PreparingRebalance") completeJoin(step);
      break;
    case "syncTimedOut":
      afterSyncTimedOut(step, event.generationId);
      break;
    case "assignmentStored":
      afterAssignmentStored(step, event);
      break;
    case "replacementStored":
      afterReplacementStored(step, event);
      break;
    case "loaded":
      afterLoaded(step);
      break;
    case "unloaded":
      afterUnloaded(step, event.errorCode);
      break;
    default:
      assertNever(event);
  }
}

function heartbeatCode(
  step: GroupStep,
  event: Extract<GroupEvent, { kind: "heartbeat" }>,
): ErrorCode {
  const { group } = step;
  if (group.state === "Dead") return ErrorCode.coordinatorNotAvailable;
  const fault = memberFault(group, event);
  if (fault !== ErrorCode.none) return fault;
  if (event.generationId !== group.generationId) return ErrorCode.illegalGeneration;
  keepSession(step, event.memberId);
  const isRebalancing = group.state === "PreparingRebalance";
  return isRebalancing ? ErrorCode.rebalanceInProgress : ErrorCode.none;
}

function commitCode(step: GroupStep, event: Extract<GroupEvent, { kind: "commit" }>): ErrorCode {
  const { group } = step;
  const { generationId, memberId, groupInstanceId } = event;
  if (group.state === "Dead") return ErrorCode.coordinatorNotAvailable;
  // Admin clients and consumers that assign partitions themselves only store offsets.
  if (generationId < 0 && group.state === "Empty") return ErrorCode.none;
  if (generationId < 0 && memberId === "" && groupInstanceId === null) {
    return ErrorCode.unknownMemberId;
  }
  const fault = memberFault(group, event);
  if (fault !== ErrorCode.none) return fault;
  if (generationId !== group.generationId) return ErrorCode.illegalGeneration;
  if (group.state === "CompletingRebalance") return ErrorCode.rebalanceInProgress;
  keepSession(step, memberId);
  return ErrorCode.none;
}

function keepSession(step: GroupStep, memberId: string): void {
  const member = step.group.members.get(memberId);
  if (member) step.restartSession(memberId, member.sessionTimeoutMs);
}

function afterLeave(step: GroupStep, event: Extract<GroupEvent, { kind: "leave" }>): void {
  const errorCodes = event.members.map((identity) => leaveCode(step, identity));
  step.reply(event.requestId, { kind: "left", errorCodes });
  if (!errorCodes.includes(ErrorCode.none)) return;
  const { state } = step.group;
  if (state === "Stable" || state === "CompletingRebalance") prepareRebalance(step);
  else maybeCompleteJoin(step);
}

function leaveCode(step: GroupStep, identity: MemberIdentity): ErrorCode {
  const { group } = step;
  if (group.state === "Dead") return ErrorCode.coordinatorNotAvailable;
  const { memberId, groupInstanceId } = identity;
  if (memberId === "") {
    // An administrator removes a static member by its instance id alone.
    const member = groupInstanceId === null ? undefined : staticMember(group, groupInstanceId);
    if (!member) return ErrorCode.unknownMemberId;
    step.removeMember(member.memberId);
    return ErrorCode.none;
  }
  if (!group.pendingMemberIds.has(memberId)) {
    const fault = memberFault(group, identity);
    if (fault !== ErrorCode.none) return fault;
  }
  step.removeMember(memberId);
  return ErrorCode.none;
}

/** A new member whose client never learned its id cannot come back: it would only hold up the others. */
function afterAbandoned(step: GroupStep, requestId: number): void {
  for (const member of step.group.members.values()) {
    if (member.joinRequestId !== requestId) continue;
    if (member.isNew && !member.isIdKnown) expireMember(step, member.memberId);
    return;
  }
}

function afterSessionExpired(step: GroupStep, memberId: string): void {
  if (step.group.pendingMemberIds.has(memberId)) {
    step.removeMember(memberId);
    completeJoinIfAllThere(step);
    return;
  }
  const member = step.group.members.get(memberId);
  if (!member) return;
  const isWaiting = member.joinRequestId !== undefined || member.syncRequestId !== undefined;
  // Those that wait for us need not send heartbeats; but a new member's client may have given up.
  if (isWaiting && !member.isNew) return;
  expireMember(step, memberId);
}

function expireMember(step: GroupStep, memberId: string): void {
  step.removeMember(memberId);
  const { state } = step.group;
  if (state === "Stable" || state === "CompletingRebalance") prepareRebalance(step);
  else completeJoinIfAllThere(step);
}

/** Members that joined but never asked for their assignment are out. */
function afterSyncTimedOut(step: GroupStep, generationId: number): void {
  const { group } = step;
  const isCurrent = group.state === "CompletingRebalance" || group.state === "Stable";
  if (!isCurrent || group.generationId !== generationId || group.pendingSyncIds.size === 0) return;
  for (const memberId of group.pendingSyncIds) step.removeMember(memberId);
  prepareRebalance(step);
}

function afterLoaded(step: GroupStep): void {
  for (const { memberId, sessionTimeoutMs } of step.group.members.values()) {
    step.restartSession(memberId, sessionTimeoutMs);
  }
  // The limit may have been lowered since: who joins again first stays.
  if (step.group.members.size > step.limits.groupSizeMax) prepareRebalance(step);
}

function afterUnloaded(step: GroupStep, errorCode: ErrorCode): void {
  for (const member of step.group.members.values()) {
    step.replyJoin(member, refusedJoin(errorCode, member.memberId));
    step.replySync(member, refusedSync(errorCode));
    step.stopTimer(sessionTimer(member.memberId));
  }
  for (const memberId of step.group.pendingMemberIds) step.stopTimer(sessionTimer(memberId));
  step.stopTimer(JOIN_TIMER);
  step.stopTimer(SYNC_TIMER);
  step.mapMembers((member) => ({
    ...member,
    joinRequestId: undefined,
    syncRequestId: undefined,
  }));
  step.moveTo("Dead");
}
