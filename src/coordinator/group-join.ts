/** JoinGroup: new members, returning ones, and static ones that come back under another member id. */

import { assertNever } from "../core/assert.ts";
import { ErrorCode } from "../protocol/errors.ts";
import type { Member } from "./group.ts";
import {
  areSameProtocols,
  awaitingJoinCount,
  NO_ASSIGNMENT,
  selectedProtocol,
  staticMember,
  storedGroupOf,
  supportsProtocols,
} from "./group.ts";
import type { JoinEvent, StoredEvent } from "./group-events.ts";
import { sessionTimer } from "./group-events.ts";
import { memberFault } from "./group-identity.ts";
import {
  joinedReply,
  maybeCompleteJoin,
  prepareRebalance,
  rebalanceOrCompleteJoin,
} from "./group-rebalance.ts";
import type { GroupStep } from "./group-step.ts";
import { refusedJoin, refusedSync } from "./group-step.ts";

export function afterJoin(step: GroupStep, event: JoinEvent): void {
  const { group } = step;
  const { requestId, memberId } = event;
  if (group.state === "Dead") {
    step.reply(requestId, refusedJoin(ErrorCode.coordinatorNotAvailable, memberId));
  } else if (!hasRoomFor(step, memberId)) {
    step.removeMember(memberId);
    step.reply(requestId, refusedJoin(ErrorCode.groupMaxSizeReached));
    maybeCompleteJoin(step);
  } else if (!supportsProtocols(group, event)) {
    step.reply(requestId, refusedJoin(ErrorCode.inconsistentGroupProtocol, memberId));
  } else if (memberId === "") {
    joinUnknown(step, event);
  } else if (group.pendingMemberIds.has(memberId) && event.groupInstanceId === null) {
    addMember(step, event, { memberId, isIdKnown: true });
  } else {
    joinKnown(step, event);
  }
}

/** The new member id of a static member is durable: now its client may know it. */
export function afterReplacementStored(
  step: GroupStep,
  event: Extract<StoredEvent, { kind: "replacementStored" }>,
): void {
  const member = step.group.members.get(event.memberId);
  if (member?.joinRequestId !== event.requestId || step.group.state !== "Stable") return;
  step.putMember({ ...member, joinRequestId: undefined, isIdKnown: true, isNew: false });
  if (event.errorCode !== ErrorCode.none) {
    step.reply(event.requestId, refusedJoin(event.errorCode));
    return;
  }
  const reply = joinedReply(step.group, event.memberId);
  if (event.canSkipAssignment) {
    step.reply(event.requestId, { ...reply, skipAssignment: reply.members.length > 0 });
  } else {
    // An older client would assign again if it learned that it leads; the stable group would not tell the others.
    const leaderId = event.formerLeaderId ?? "";
    step.reply(event.requestId, { ...reply, leaderId, members: [] });
  }
}

function hasRoomFor({ group, limits }: GroupStep, memberId: string): boolean {
  const member = group.members.get(memberId);
  const isCounted = member !== undefined || group.pendingMemberIds.has(memberId);
  switch (group.state) {
    case "Empty":
    case "Dead":
      return isCounted || group.pendingMemberIds.size < limits.groupSizeMax;
    case "PreparingRebalance":
      // Counted are those that joined again, so that the last ones drop out when the limit was lowered.
      if (member?.joinRequestId !== undefined) return true;
      if (!isCounted && group.pendingMemberIds.size >= limits.groupSizeMax) return false;
      return awaitingJoinCount(group) < limits.groupSizeMax;
    case "CompletingRebalance":
    case "Stable":
      if (member !== undefined) return true;
      if (!isCounted && group.pendingMemberIds.size >= limits.groupSizeMax) return false;
      return group.members.size < limits.groupSizeMax;
    default:
      return assertNever(group.state);
  }
}

function joinUnknown(step: GroupStep, event: JoinEvent): void {
  const { group } = step;
  const memberId = event.newMemberId;
  if (event.groupInstanceId !== null) {
    const former = staticMember(group, event.groupInstanceId);
    if (former) replaceStaticMember(step, event, former);
    else addMember(step, event, { memberId, isIdKnown: false });
  } else if (event.mustKnowMemberId) {
    step.update({ pendingMemberIds: new Set(group.pendingMemberIds).add(memberId) });
    step.restartSession(memberId, event.sessionTimeoutMs);
    step.reply(event.requestId, refusedJoin(ErrorCode.memberIdRequired, memberId));
  } else {
    addMember(step, event, { memberId, isIdKnown: false });
  }
}

function joinKnown(step: GroupStep, event: JoinEvent): void {
  const { group } = step;
  const { memberId, requestId } = event;
  const fault = memberFault(group, event);
  const member = group.members.get(memberId);
  if (fault !== ErrorCode.none || !member || group.state === "Empty") {
    const errorCode = fault === ErrorCode.none ? ErrorCode.unknownMemberId : fault;
    step.reply(requestId, refusedJoin(errorCode, memberId));
    return;
  }
  const isUnchanged = areSameProtocols(member.protocols, event.protocols);
  // The leader joins again to have the partitions assigned anew; another member only with something new to say.
  const isLeaderOfStable = group.state === "Stable" && group.leaderId === memberId;
  if (group.state !== "PreparingRebalance" && isUnchanged && !isLeaderOfStable) {
    step.reply(requestId, joinedReply(group, memberId));
    return;
  }
  step.putMember(rejoined(step, member, event));
  rebalanceOrCompleteJoin(step);
}

/** The member as it joins again. A JoinGroup of it that still waits is answered: its client has given it up. */
function rejoined(step: GroupStep, member: Member, event: JoinEvent): Member {
  step.replyJoin(member, refusedJoin(ErrorCode.rebalanceInProgress, member.memberId));
  return {
    ...member,
    protocols: event.protocols,
    rebalanceTimeoutMs: event.rebalanceTimeoutMs,
    sessionTimeoutMs: event.sessionTimeoutMs,
    joinRequestId: event.requestId,
  };
}

function addMember(
  step: GroupStep,
  event: JoinEvent,
  { memberId, isIdKnown }: Pick<Member, "memberId" | "isIdKnown">,
): void {
  const { group } = step;
  const pendingMemberIds = new Set(group.pendingMemberIds);
  pendingMemberIds.delete(memberId);
  const isInitial = group.state === "PreparingRebalance" && group.previousState === "Empty";
  step.update({
    pendingMemberIds,
    isMemberAdded: isInitial ? true : group.isMemberAdded,
    protocolType: group.members.size === 0 ? event.protocolType : group.protocolType,
    leaderId: group.leaderId ?? memberId,
  });
  step.putMember({
    memberId,
    groupInstanceId: event.groupInstanceId,
    clientId: event.clientId,
    clientHost: event.clientHost,
    sessionTimeoutMs: event.sessionTimeoutMs,
    rebalanceTimeoutMs: event.rebalanceTimeoutMs,
    protocols: event.protocols,
    assignment: NO_ASSIGNMENT,
    joinRequestId: event.requestId,
    syncRequestId: undefined,
    isNew: true,
    isIdKnown,
  });
  step.restartSession(memberId, step.limits.newMemberJoinTimeoutMs);
  rebalanceOrCompleteJoin(step);
}

/** A static member came back without its member id: it gets a new one, and whoever used the old one is fenced. */
function replaceStaticMember(step: GroupStep, event: JoinEvent, former: Member): void {
  const { group } = step;
  const memberId = event.newMemberId;
  step.replyJoin(former, refusedJoin(ErrorCode.fencedInstanceId, former.memberId));
  step.replySync(former, refusedSync(ErrorCode.fencedInstanceId));
  step.stopTimer(sessionTimer(former.memberId));
  const idle = { ...former, memberId, joinRequestId: undefined, syncRequestId: undefined };
  const replacement = { ...rejoined(step, idle, event), isIdKnown: false };
  const members = [...group.members.values()].map((member) =>
    member === former ? replacement : member,
  );
  step.update({
    members: new Map(members.map((member) => [member.memberId, member])),
    leaderId: group.leaderId === former.memberId ? memberId : group.leaderId,
    pendingSyncIds: renamed(group.pendingSyncIds, { from: former.memberId, to: memberId }),
  });
  step.restartSession(memberId, event.sessionTimeoutMs);
  if (group.state === "CompletingRebalance") {
    prepareRebalance(step); // The leader may be assigning partitions to the old member id.
  } else if (group.state === "Stable" && selectedProtocol(step.group) === group.protocolName) {
    step.effects.push({
      kind: "store",
      stored: storedGroupOf(step.group),
      outcome: {
        kind: "replacementStored",
        memberId,
        requestId: event.requestId,
        canSkipAssignment: event.canSkipAssignment,
        formerLeaderId: group.leaderId,
        errorCode: ErrorCode.none,
      },
    });
  } else if (group.state === "Stable") {
    prepareRebalance(step);
  } else {
    maybeCompleteJoin(step);
  }
}

function renamed(
  ids: ReadonlySet<string>,
  { from, to }: { readonly from: string; readonly to: string },
): ReadonlySet<string> {
  return new Set([...ids].map((id) => (id === from ? to : id)));
}
