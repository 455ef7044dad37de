/**
 * A group of the classic protocol as data. Never changed in place: `group-machine.ts` makes the next one.
 *
 *   Empty ──join──► PreparingRebalance ──all joined──► CompletingRebalance ──leader synced──► Stable
 *     ▲                   │   ▲                               │                                 │
 *     └──nobody left──────┘   └──────── join, leave, expiry ──┴─────────────────────────────────┘
 *
 * Dead is the state of a group that this broker gave up: deleted or unloaded.
 */

import { assert } from "../core/assert.ts";
import type { StoredGroup, StoredMember } from "../meta/meta-store.ts";

/** Kafka's names, as ListGroups shows them. */
export type GroupState = "Empty" | "PreparingRebalance" | "CompletingRebalance" | "Stable" | "Dead";

/** One way of assigning partitions that a member knows, with what its client says about itself. */
export interface MemberProtocol {
  readonly name: string;
  readonly metadata: Uint8Array;
}

export interface Member {
  readonly memberId: string;
  /** Set for static members: they keep their place through a restart of the client. */
  readonly groupInstanceId: string | null;
  readonly clientId: string;
  readonly clientHost: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  /** In the order of preference. */
  readonly protocols: readonly MemberProtocol[];
  readonly assignment: Uint8Array;
  /** The JoinGroup request that waits for the rebalance. */
  readonly joinRequestId: number | undefined;
  /** The SyncGroup request that waits for the leader's. */
  readonly syncRequestId: number | undefined;
  /** Has not been part of a generation: it may expire although its JoinGroup waits. */
  readonly isNew: boolean;
  /** The client knows this member id, so it can come back with it. */
  readonly isIdKnown: boolean;
}

/** Invariants: `leaderId` is a member's id; it is null exactly when there are no members. */
export interface Group {
  readonly groupId: string;
  readonly state: GroupState;
  readonly previousState: GroupState;
  /** When `state` was entered; wall time. */
  readonly stateTimestampMs: number;
  readonly generationId: number;
  /** Null until somebody joined: such a group only holds committed offsets. */
  readonly protocolType: string | null;
  readonly protocolName: string | null;
  readonly leaderId: string | null;
  /** By member id, in the order of joining. */
  readonly members: ReadonlyMap<string, Member>;
  /** Ids given out with MEMBER_ID_REQUIRED that have not come back. */
  readonly pendingMemberIds: ReadonlySet<string>;
  /** Members of this generation that have not sent SyncGroup. */
  readonly pendingSyncIds: ReadonlySet<string>;
  /** Somebody joined since the delay of the first rebalance was last extended. */
  readonly isMemberAdded: boolean;
}

export const NO_ASSIGNMENT = new Uint8Array(0);

/** A group that nobody joined yet. */
export function emptyGroup(groupId: string, nowMs: number): Group {
  return {
    groupId,
    state: "Empty",
    previousState: "Dead",
    stateTimestampMs: nowMs,
    generationId: 0,
    protocolType: null,
    protocolName: null,
    leaderId: null,
    members: new Map(),
    pendingMemberIds: new Set(),
    pendingSyncIds: new Set(),
    isMemberAdded: false,
  };
}

/** The member with this group instance id. */
export function staticMember(group: Group, groupInstanceId: string): Member | undefined {
  for (const member of group.members.values()) {
    if (member.groupInstanceId === groupInstanceId) return member;
  }
  return undefined;
}

export function awaitingJoinCount(group: Group): number {
  let count = 0;
  for (const member of group.members.values()) if (member.joinRequestId !== undefined) count += 1;
  return count;
}

export function haveAllJoined(group: Group): boolean {
  return group.pendingMemberIds.size === 0 && awaitingJoinCount(group) === group.members.size;
}

/** How long a rebalance waits: as long as the most patient member allows. */
export function rebalanceTimeoutMsOf(group: Group): number {
  let timeoutMs = 0;
  for (const member of group.members.values()) {
    timeoutMs = Math.max(timeoutMs, member.rebalanceTimeoutMs);
  }
  return timeoutMs;
}

/** Whether a member with these protocols could take part. */
export function supportsProtocols(
  group: Group,
  { protocolType, protocols }: Pick<Group, "protocolType"> & Pick<Member, "protocols">,
): boolean {
  if (group.state === "Empty") return protocolType !== "" && protocols.length > 0;
  if (group.protocolType !== protocolType) return false;
  const common = commonProtocols(group);
  return protocols.some(({ name }) => group.members.size === 0 || common.has(name));
}

/** The protocol that most members like best among those that all know; the earlier vote wins a tie. */
export function selectedProtocol(group: Group): string {
  const common = commonProtocols(group);
  const votes = new Map<string, number>();
  for (const { protocols } of group.members.values()) {
    const vote = protocols.find(({ name }) => common.has(name));
    assert(vote !== undefined, `group ${group.groupId} has no common protocol`);
    votes.set(vote.name, (votes.get(vote.name) ?? 0) + 1);
  }
  const [first, ...others] = votes;
  assert(first !== undefined, `group ${group.groupId} has no members to select a protocol`);
  return others.reduce((best, vote) => (vote[1] > best[1] ? vote : best), first)[0];
}

function commonProtocols(group: Group): ReadonlySet<string> {
  const counts = new Map<string, number>();
  for (const { protocols } of group.members.values()) {
    for (const name of new Set(protocols.map((protocol) => protocol.name))) {
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
  }
  const common = [...counts].filter(([, count]) => count === group.members.size);
  return new Set(common.map(([name]) => name));
}

/** What the member says under the group's protocol; empty if it does not know that. */
export function metadataOf(member: Member, protocolName: string | null): Uint8Array {
  return member.protocols.find(({ name }) => name === protocolName)?.metadata ?? NO_ASSIGNMENT;
}

export function areSameProtocols(
  left: readonly MemberProtocol[],
  right: readonly MemberProtocol[],
): boolean {
  return (
    left.length === right.length &&
    left.every(({ name, metadata }, index) => {
      const other = right[index];
      return other?.name === name && Buffer.compare(other.metadata, metadata) === 0;
    })
  );
}

/** Bytes that the members' own data take, for the limit over all groups. */
export function sizeBytesOf(group: Group): number {
  let sizeBytes = 0;
  for (const member of group.members.values()) {
    sizeBytes += member.assignment.length + protocolsSizeBytes(member.protocols);
  }
  return sizeBytes;
}

export function protocolsSizeBytes(protocols: readonly MemberProtocol[]): number {
  return protocols.reduce((sum, { name, metadata }) => sum + name.length + metadata.length, 0);
}

/** What survives a restart. `assignments` stand for those that the members have, as far as given. */
export function storedGroupOf(
  group: Group,
  assignments: ReadonlyMap<string, Uint8Array> = new Map(),
): StoredGroup {
  const storedMemberOf = (member: Member): StoredMember => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    sessionTimeoutMs: member.sessionTimeoutMs,
    subscription: base64Of(metadataOf(member, group.protocolName)),
    assignment: base64Of(assignments.get(member.memberId) ?? member.assignment),
  });
  return {
    groupId: group.groupId,
    protocolType: group.protocolType ?? "",
    generationId: group.generationId,
    protocolName: group.protocolName,
    leaderId: group.leaderId,
    stateTimestampMs: group.stateTimestampMs,
    members: [...group.members.values()].map(storedMemberOf),
  };
}

/** The group after a restart: stable with its members, who have to send heartbeats from now on. */
export function groupOfStored(stored: StoredGroup): Group {
  const { groupId, protocolName } = stored;
  const memberOf = (member: StoredMember): Member => ({
    memberId: member.memberId,
    groupInstanceId: member.groupInstanceId,
    clientId: member.clientId,
    clientHost: member.clientHost,
    rebalanceTimeoutMs: member.rebalanceTimeoutMs,
    sessionTimeoutMs: member.sessionTimeoutMs,
    protocols: [{ name: protocolName ?? "", metadata: bytesOf(member.subscription) }],
    assignment: bytesOf(member.assignment),
    joinRequestId: undefined,
    syncRequestId: undefined,
    isNew: false,
    isIdKnown: true,
  });
  return {
    ...emptyGroup(groupId, stored.stateTimestampMs),
    state: stored.members.length === 0 ? "Empty" : "Stable",
    generationId: stored.generationId,
    protocolType: stored.protocolType === "" ? null : stored.protocolType,
    protocolName,
    leaderId: stored.leaderId,
    members: new Map(stored.members.map((member) => [member.memberId, memberOf(member)])),
  };
}

function base64Of(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

function bytesOf(base64: string): Uint8Array {
  return new Uint8Array(Buffer.from(base64, "base64"));
}
