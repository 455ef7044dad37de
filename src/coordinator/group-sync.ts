/** SyncGroup: the leader brings the assignment, everybody gets a part of it once it is durable. */

import { assertNever } from "../core/assert.ts";
import { ErrorCode } from "../protocol/errors.ts";
import type { Group, Member } from "./group.ts";
import { NO_ASSIGNMENT, storedGroupOf } from "./group.ts";
import type { StoredEvent, SyncEvent } from "./group-events.ts";
import { SYNC_TIMER } from "./group-events.ts";
import { memberFault } from "./group-identity.ts";
import { prepareRebalance, propagateAssignments } from "./group-rebalance.ts";
import type { GroupStep } from "./group-step.ts";
import { refusedSync } from "./group-step.ts";

export function afterSync(step: GroupStep, event: SyncEvent): void {
  const { group } = step;
  const fault = syncFault(group, event);
  const member = group.members.get(event.memberId);
  if (fault !== ErrorCode.none || !member) {
    step.reply(event.requestId, refusedSync(fault));
    return;
  }
  switch (group.state) {
    case "CompletingRebalance":
      awaitAssignment(step, event, member);
      return;
    case "Stable":
      forgetPendingSync(step, event.memberId);
      step.reply(event.requestId, {
        kind: "synced",
        errorCode: ErrorCode.none,
        protocolType: group.protocolType,
        protocolName: group.protocolName,
        assignment: member.assignment,
      });
      return;
    case "PreparingRebalance":
    case "Empty":
    case "Dead":
      step.reply(event.requestId, refusedSync(ErrorCode.rebalanceInProgress));
      return;
    default:
      assertNever(group.state);
  }
}

/** The leader's assignment is durable, or could not be made so. */
export function afterAssignmentStored(
  step: GroupStep,
  event: Extract<StoredEvent, { kind: "assignmentStored" }>,
): void {
  const { group } = step;
  // Somebody may have joined meanwhile; then this assignment is of no use.
  if (group.state !== "CompletingRebalance" || group.generationId !== event.generationId) return;
  if (event.errorCode !== ErrorCode.none) {
    propagateAssignments(step, new Map(), event.errorCode);
    prepareRebalance(step);
    return;
  }
  propagateAssignments(step, event.assignments, ErrorCode.none);
  step.moveTo("Stable");
}

function syncFault(group: Group, event: SyncEvent): ErrorCode {
  if (group.state === "Dead") return ErrorCode.coordinatorNotAvailable;
  const fault = memberFault(group, event);
  if (fault !== ErrorCode.none) return fault;
  if (event.generationId !== group.generationId) return ErrorCode.illegalGeneration;
  const isOther = (asked: string | null, held: string | null) =>
    asked !== null && held !== null && asked !== held;
  const isInconsistent =
    isOther(event.protocolType, group.protocolType) ||
    isOther(event.protocolName, group.protocolName);
  return isInconsistent ? ErrorCode.inconsistentGroupProtocol : ErrorCode.none;
}

function awaitAssignment(step: GroupStep, event: SyncEvent, member: Member): void {
  // An earlier SyncGroup of this member was given up by its client.
  step.replySync(member, refusedSync(ErrorCode.rebalanceInProgress));
  step.putMember({ ...member, syncRequestId: event.requestId });
  forgetPendingSync(step, event.memberId);
  const { group } = step;
  if (group.leaderId !== event.memberId) return;
  const assignments = new Map<string, Uint8Array>();
  for (const memberId of group.members.keys()) {
    assignments.set(memberId, event.assignments.get(memberId) ?? NO_ASSIGNMENT);
  }
  const { generationId } = group;
  step.effects.push({
    kind: "store",
    stored: storedGroupOf(group, assignments),
    outcome: { kind: "assignmentStored", generationId, assignments, errorCode: ErrorCode.none },
  });
}

function forgetPendingSync(step: GroupStep, memberId: string): void {
  const pendingSyncIds = new Set(step.group.pendingSyncIds);
  pendingSyncIds.delete(memberId);
  step.update({ pendingSyncIds });
  if (pendingSyncIds.size === 0) step.stopTimer(SYNC_TIMER);
}
