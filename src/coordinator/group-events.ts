/** What happens to a group, and what is to be done about it. Plain data, so that scripts can tell both. */

import type { StoredGroup } from "../meta/meta-store.ts";
import type { ErrorCode } from "../protocol/errors.ts";
import type { MemberProtocol } from "./group.ts";

export interface JoinEvent {
  readonly kind: "join";
  readonly requestId: number;
  /** Empty when the client has none yet. */
  readonly memberId: string;
  /** The id to give it then: chance comes from outside. */
  readonly newMemberId: string;
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly protocolType: string;
  readonly protocols: readonly MemberProtocol[];
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** JoinGroup v4 and later: a new member has to come back with the id it was given. */
  readonly mustKnowMemberId: boolean;
  /** JoinGroup v9 and later: a returning static leader is told to skip the assignment. */
  readonly canSkipAssignment: boolean;
}

export interface SyncEvent {
  readonly kind: "sync";
  readonly requestId: number;
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  /** By member id; only the leader's count. */
  readonly assignments: ReadonlyMap<string, Uint8Array>;
}

/** What a request says of the member that sends it. */
export interface MemberIdentity {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
}

/** Comes back after `store` with what became of it. */
export type StoredEvent =
  | {
      readonly kind: "assignmentStored";
      readonly generationId: number;
      readonly assignments: ReadonlyMap<string, Uint8Array>;
      readonly errorCode: ErrorCode;
    }
  | {
      readonly kind: "replacementStored";
      readonly memberId: string;
      readonly requestId: number;
      readonly canSkipAssignment: boolean;
      readonly formerLeaderId: string | null;
      readonly errorCode: ErrorCode;
    };

export type GroupEvent =
  | JoinEvent
  | SyncEvent
  | ({
      readonly kind: "heartbeat";
      readonly requestId: number;
      readonly generationId: number;
    } & MemberIdentity)
  /** Asks whether offsets may be committed; a commit also counts as a heartbeat. */
  | ({
      readonly kind: "commit";
      readonly requestId: number;
      /** Negative from clients that only store offsets here. */
      readonly generationId: number;
    } & MemberIdentity)
  | {
      readonly kind: "leave";
      readonly requestId: number;
      readonly members: readonly MemberIdentity[];
    }
  /** The connection that a JoinGroup or SyncGroup came through is gone. */
  | { readonly kind: "abandoned"; readonly requestId: number }
  | { readonly kind: "sessionExpired"; readonly memberId: string }
  | {
      readonly kind: "initialDelayPassed";
      readonly delayMs: number;
      readonly remainingMs: number;
    }
  | { readonly kind: "rebalanceTimedOut" }
  | { readonly kind: "syncTimedOut"; readonly generationId: number }
  /** After a restart. */
  | { readonly kind: "loaded" }
  /** The broker stops or the group was deleted. */
  | { readonly kind: "unloaded"; readonly errorCode: ErrorCode }
  | StoredEvent;

export interface JoinedMember {
  readonly memberId: string;
  readonly groupInstanceId: string | null;
  readonly metadata: Uint8Array;
}

export interface JoinReply {
  readonly kind: "joined";
  readonly errorCode: ErrorCode;
  readonly memberId: string;
  readonly generationId: number;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string;
  readonly skipAssignment: boolean;
  /** All members, for the leader only. */
  readonly members: readonly JoinedMember[];
}

export interface SyncReply {
  readonly kind: "synced";
  readonly errorCode: ErrorCode;
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly assignment: Uint8Array;
}

export interface PlainReply {
  readonly kind: "answered";
  readonly errorCode: ErrorCode;
}

export interface LeaveReply {
  readonly kind: "left";
  /** One for each member asked for, in order. */
  readonly errorCodes: readonly ErrorCode[];
}

export type GroupReply = JoinReply | SyncReply | PlainReply | LeaveReply;

export type GroupEffect =
  | { readonly kind: "reply"; readonly requestId: number; readonly reply: GroupReply }
  /** Replaces a timer of the same name; `event` comes when it is over. */
  | {
      readonly kind: "startTimer";
      readonly timer: string;
      readonly delayMs: number;
      readonly event: GroupEvent;
    }
  | { readonly kind: "stopTimer"; readonly timer: string }
  /** Makes the group durable; `outcome` comes back with what became of it. */
  | { readonly kind: "store"; readonly stored: StoredGroup; readonly outcome?: StoredEvent };

/** Names of timers; a group has one of each, and one session for each member. */
export const JOIN_TIMER = "join";
export const SYNC_TIMER = "sync";
export function sessionTimer(memberId: string): string {
  return `session ${memberId}`;
}
