/** One step of the group machine on its way: the group so far and the effects so far. Lives for one event only. */

import { ErrorCode } from "../protocol/errors.ts";
import type { Group, GroupState, Member } from "./group.ts";
import { NO_ASSIGNMENT } from "./group.ts";
import type { GroupEffect, GroupEvent, GroupReply, JoinReply, SyncReply } from "./group-events.ts";
import { sessionTimer } from "./group-events.ts";

/** Settings of the machine. */
export interface GroupLimits {
  /** How long an empty group waits for more members before its first rebalance. */
  readonly initialRebalanceDelayMs: number;
  /** Members and ids given out; beyond it JoinGroup answers GROUP_MAX_SIZE_REACHED. */
  readonly groupSizeMax: number;
  /** A JoinGroup of a new member is held no longer: its client may be gone. */
  readonly newMemberJoinTimeoutMs: number;
}

export class GroupStep {
  group: Group;
  readonly effects: GroupEffect[] = [];
  readonly limits: GroupLimits;
  readonly #nowMs: number;

  constructor(group: Group, limits: GroupLimits, nowMs: number) {
    this.group = group;
    this.limits = limits;
    this.#nowMs = nowMs;
  }

  update(changes: Partial<Group>): void {
    this.group = { ...this.group, ...changes };
  }

  moveTo(state: GroupState): void {
    this.update({ state, previousState: this.group.state, stateTimestampMs: this.#nowMs });
  }

  putMember(member: Member): void {
    this.update({ members: new Map(this.group.members).set(member.memberId, member) });
  }

  /** Changes all members at once. */
  mapMembers(change: (member: Member) => Member): void {
    const members = [...this.group.members.values()].map(change);
    this.update({ members: new Map(members.map((member) => [member.memberId, member])) });
  }

  /** Forgets a member or a pending id, with its session. Whoever still waits is told UNKNOWN_MEMBER_ID. */
  removeMember(memberId: string): void {
    const member = this.group.members.get(memberId);
    if (member) {
      this.replyJoin(member, refusedJoin(ErrorCode.unknownMemberId));
      this.replySync(member, refusedSync(ErrorCode.unknownMemberId));
    }
    const members = new Map(this.group.members);
    members.delete(memberId);
    const [first = null] = members.keys();
    this.update({
      members,
      leaderId: this.group.leaderId === memberId ? first : this.group.leaderId,
      pendingMemberIds: without(this.group.pendingMemberIds, memberId),
      pendingSyncIds: without(this.group.pendingSyncIds, memberId),
    });
    this.stopTimer(sessionTimer(memberId));
  }

  /** Answers the JoinGroup that `member` waits with, if any. The caller clears `joinRequestId` where it stays. */
  replyJoin(member: Member, reply: JoinReply): void {
    if (member.joinRequestId !== undefined) this.reply(member.joinRequestId, reply);
  }

  /** Likewise for SyncGroup and `syncRequestId`. */
  replySync(member: Member, reply: SyncReply): void {
    if (member.syncRequestId !== undefined) this.reply(member.syncRequestId, reply);
  }

  reply(requestId: number, reply: GroupReply): void {
    this.effects.push({ kind: "reply", requestId, reply });
  }

  /** Answers with an error code and nothing else. */
  answer(requestId: number, errorCode: ErrorCode): void {
    this.reply(requestId, { kind: "answered", errorCode });
  }

  startTimer(timer: string, delayMs: number, event: GroupEvent): void {
    this.effects.push({ kind: "startTimer", timer, delayMs, event });
  }

  stopTimer(timer: string): void {
    this.effects.push({ kind: "stopTimer", timer });
  }

  /** The member was heard of: its session starts anew. */
  restartSession(memberId: string, timeoutMs: number): void {
    this.startTimer(sessionTimer(memberId), timeoutMs, { kind: "sessionExpired", memberId });
  }
}

/** A JoinGroup answer that says only what is wrong. */
export function refusedJoin(errorCode: ErrorCode, memberId = ""): JoinReply {
  return {
    kind: "joined",
    errorCode,
    memberId,
    generationId: -1,
    protocolType: null,
    protocolName: null,
    leaderId: "",
    skipAssignment: false,
    members: [],
  };
}

/** A SyncGroup answer that says only what is wrong. */
export function refusedSync(errorCode: ErrorCode): SyncReply {
  return {
    kind: "synced",
    errorCode,
    protocolType: null,
    protocolName: null,
    assignment: NO_ASSIGNMENT,
  };
}

function without(ids: ReadonlySet<string>, id: string): ReadonlySet<string> {
  if (!ids.has(id)) return ids;
  const others = new Set(ids);
  others.delete(id);
  return others;
}
