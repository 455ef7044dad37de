/**
 * The owner of all groups: feeds the machine of `group-machine.ts` with requests, timers and outcomes of the store,
 * and does what it says. Requests that wait (JoinGroup, SyncGroup) are promises, kept by number in `#waiting`; each
 * is settled by a reply, by the end of its connection, or by `close`.
 */

import { assert } from "../core/assert.ts";
import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { MetaStore } from "../meta/meta-store.ts";
import { ErrorCode } from "../protocol/errors.ts";
import { randomUuid } from "../protocol/uuid.ts";
import type { Group, GroupState } from "./group.ts";
import { emptyGroup, groupOfStored, protocolsSizeBytes, sizeBytesOf } from "./group.ts";
import type {
  GroupEffect,
  GroupEvent,
  GroupReply,
  JoinEvent,
  JoinReply,
  MemberIdentity,
  PlainReply,
  SyncEvent,
  SyncReply,
} from "./group-events.ts";
import { groupAfter } from "./group-machine.ts";
import type { GroupSettings } from "./group-settings.ts";
import { NEW_MEMBER_JOIN_TIMEOUT_MS } from "./group-settings.ts";
import type { GroupLimits } from "./group-step.ts";
import { refusedJoin, refusedSync } from "./group-step.ts";
import { storeCodeOf } from "./store-code.ts";

export interface GroupCoordinatorOptions {
  readonly store: MetaStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: GroupSettings;
  /** Makes member ids unique. */
  readonly newUuid?: () => string;
}

/** Calls its listener once when the connection of a request is gone. @returns removes the listener. */
export type OnClose = (listener: () => void) => () => void;

/** A JoinGroup request. The coordinator keeps the bytes: they must not be views of a larger buffer. */
export interface JoinRequest extends Omit<JoinEvent, "kind" | "requestId" | "newMemberId"> {
  readonly groupId: string;
  readonly onClose?: OnClose;
}

/** A SyncGroup request. The coordinator keeps the bytes: they must not be views of a larger buffer. */
export interface SyncRequest extends Omit<SyncEvent, "kind" | "requestId"> {
  readonly groupId: string;
  readonly onClose?: OnClose;
}

/** Who sends a heartbeat or commits. */
export interface GenerationIdentity extends MemberIdentity {
  readonly groupId: string;
  readonly generationId: number;
}

/** A group with what the owner keeps beside it. */
interface LiveGroup {
  group: Group;
  sizeBytes: number;
  readonly timers: Map<string, CancelTimer>;
}

interface Waiting {
  readonly resolve: (reply: GroupReply) => void;
  stopListening: () => void;
}

export class GroupCoordinator {
  readonly #options: GroupCoordinatorOptions;
  readonly #limits: GroupLimits;
  readonly #groups = new Map<string, LiveGroup>();
  readonly #waiting = new Map<number, Waiting>();
  #requestCount = 0;
  /** Equals the sum over `#groups`. */
  #membersBytes = 0;
  #isClosed = false;

  /** Takes up the groups of the store: their members have to send heartbeats from now on. */
  constructor(options: GroupCoordinatorOptions) {
    this.#options = options;
    this.#limits = {
      initialRebalanceDelayMs: options.settings.groupInitialRebalanceDelayMs,
      groupSizeMax: options.settings.groupMaxSize,
      newMemberJoinTimeoutMs: NEW_MEMBER_JOIN_TIMEOUT_MS,
    };
    for (const groupId of options.store.groupIds()) {
      const stored = options.store.storedGroup(groupId);
      if (stored) this.#apply(this.#addGroup(groupOfStored(stored)), { kind: "loaded" });
    }
  }

  async join(request: JoinRequest): Promise<JoinReply> {
    const { groupId, onClose, ...event } = request;
    const refusal = this.#joinRefusal(request);
    if (refusal !== undefined) return refusal;
    const live = this.#groups.get(groupId) ?? this.#addGroup(this.#newGroup(groupId));
    const uuid = (this.#options.newUuid ?? randomUuid)();
    const newMemberId = `${request.groupInstanceId ?? request.clientId}-${uuid}`;
    const reply = await this.#ask(
      live,
      (requestId) => ({ kind: "join", requestId, newMemberId, ...event }),
      onClose,
    );
    assert(reply.kind === "joined", `JoinGroup was answered ${reply.kind}`);
    return reply;
  }

  async sync(request: SyncRequest): Promise<SyncReply> {
    const { groupId, onClose, ...event } = request;
    if (groupId === "") return refusedSync(ErrorCode.invalidGroupId);
    const live = this.#groups.get(groupId);
    if (!live) return refusedSync(this.#codeForUnknown(ErrorCode.unknownMemberId));
    const reply = await this.#ask(
      live,
      (requestId) => ({ kind: "sync", requestId, ...event }),
      onClose,
    );
    assert(reply.kind === "synced", `SyncGroup was answered ${reply.kind}`);
    return reply;
  }

  heartbeat({ groupId, ...identity }: GenerationIdentity): ErrorCode {
    if (groupId === "") return ErrorCode.invalidGroupId;
    const live = this.#groups.get(groupId);
    if (!live) return this.#codeForUnknown(ErrorCode.unknownMemberId);
    return this.#askNow(live, (requestId) => ({ kind: "heartbeat", requestId, ...identity }))
      .errorCode;
  }

  /** @returns a code for the whole request or, if that is none, one for each member. */
  leave(groupId: string, members: readonly MemberIdentity[]) {
    const all = (errorCode: ErrorCode) => ({ errorCode, errorCodes: members.map(() => errorCode) });
    if (this.#isClosed) return all(ErrorCode.coordinatorNotAvailable);
    if (groupId === "") return all(ErrorCode.invalidGroupId);
    const live = this.#groups.get(groupId);
    if (!live) return { ...all(ErrorCode.unknownMemberId), errorCode: ErrorCode.none };
    const reply = this.#replyNow(live, (requestId) => ({ kind: "leave", requestId, members }));
    assert(reply.kind === "left", `LeaveGroup was answered ${reply.kind}`);
    return { errorCode: ErrorCode.none, errorCodes: reply.errorCodes };
  }

  /** Whether this client may commit offsets. An accepted commit counts as a heartbeat. */
  commitCode({ groupId, ...identity }: GenerationIdentity): ErrorCode {
    if (this.#isClosed) return ErrorCode.coordinatorNotAvailable;
    const live = this.#groups.get(groupId);
    if (live) {
      return this.#askNow(live, (requestId) => ({ kind: "commit", requestId, ...identity }))
        .errorCode;
    }
    // A client that only stores offsets makes a group by doing so.
    if (identity.generationId < 0) {
      const isRoom = this.#options.store.hasCommittedOffsets(groupId) || this.#hasRoomForGroup();
      return isRoom ? ErrorCode.none : ErrorCode.groupMaxSizeReached;
    }
    const isKnown = this.#options.store.hasCommittedOffsets(groupId);
    return isKnown ? ErrorCode.unknownMemberId : ErrorCode.groupIdNotFound;
  }

  /** The group as it is now; one that only holds offsets is empty and has no protocol type. */
  group(groupId: string): Group | undefined {
    const live = this.#groups.get(groupId);
    if (live) return live.group;
    return this.#options.store.hasCommittedOffsets(groupId) ? this.#newGroup(groupId) : undefined;
  }

  /** All groups, those that only hold offsets included. */
  *groups(): Iterable<Group> {
    for (const { group } of this.#groups.values()) yield group;
    for (const groupId of this.#options.store.groupIds()) {
      const group = this.#groups.has(groupId) ? undefined : this.group(groupId);
      if (group) yield group;
    }
  }

  /** For the metrics; groups that only hold offsets are not counted. */
  countByState(): ReadonlyMap<GroupState, number> {
    const counts = new Map<GroupState, number>();
    for (const { group } of this.#groups.values()) {
      counts.set(group.state, (counts.get(group.state) ?? 0) + 1);
    }
    return counts;
  }

  /** Removes an empty group with its offsets. Resolves when that is durable, or with the reason against it. */
  async delete(groupId: string): Promise<ErrorCode> {
    if (this.#isClosed) return ErrorCode.coordinatorNotAvailable;
    const group = this.group(groupId);
    if (!group) return ErrorCode.groupIdNotFound;
    if (group.state !== "Empty") return ErrorCode.nonEmptyGroup;
    const live = this.#groups.get(groupId);
    if (live) this.#remove(live, ErrorCode.unknownMemberId);
    try {
      await this.#options.store.commit({ kind: "groupRemoved", groupId });
    } catch (thrown) {
      return storeCodeOf(thrown);
    }
    return ErrorCode.none;
  }

  /** Answers everybody who waits with NOT_COORDINATOR and stops all timers. */
  close(): void {
    this.#isClosed = true;
    for (const live of [...this.#groups.values()]) this.#remove(live, ErrorCode.notCoordinator);
    assert(this.#waiting.size === 0, `${this.#waiting.size} requests are left without an answer`);
  }

  /** Requests that wait for others; for metrics and tests. */
  get waitingCount(): number {
    return this.#waiting.size;
  }

  #joinRefusal(request: JoinRequest): JoinReply | undefined {
    const { groupId, memberId, sessionTimeoutMs } = request;
    const { settings } = this.#options;
    if (this.#isClosed) return refusedJoin(ErrorCode.coordinatorNotAvailable, memberId);
    if (groupId === "") return refusedJoin(ErrorCode.invalidGroupId, memberId);
    const isAllowed =
      sessionTimeoutMs >= settings.groupMinSessionTimeoutMs &&
      sessionTimeoutMs <= settings.groupMaxSessionTimeoutMs;
    if (!isAllowed) return refusedJoin(ErrorCode.invalidSessionTimeout, memberId);
    const isKnown = this.#groups.has(groupId) || this.#options.store.hasCommittedOffsets(groupId);
    if (!isKnown && memberId !== "") return refusedJoin(ErrorCode.unknownMemberId, memberId);
    const sizeBytes = protocolsSizeBytes(request.protocols);
    const hasRoom =
      (isKnown || this.#hasRoomForGroup()) &&
      this.#membersBytes + sizeBytes <= settings.groupMembersBytesMax;
    return hasRoom ? undefined : refusedJoin(ErrorCode.groupMaxSizeReached, memberId);
  }

  #hasRoomForGroup(): boolean {
    const { store, settings } = this.#options;
    return Math.max(this.#groups.size, store.groupCount) < settings.groupsMax;
  }

  #codeForUnknown(errorCode: ErrorCode): ErrorCode {
    return this.#isClosed ? ErrorCode.coordinatorNotAvailable : errorCode;
  }

  #newGroup(groupId: string): Group {
    return emptyGroup(groupId, this.#options.clock.nowMs());
  }

  #addGroup(group: Group): LiveGroup {
    const live: LiveGroup = { group, sizeBytes: sizeBytesOf(group), timers: new Map() };
    this.#membersBytes += live.sizeBytes;
    this.#groups.set(group.groupId, live);
    return live;
  }

  #remove(live: LiveGroup, errorCode: ErrorCode): void {
    this.#apply(live, { kind: "unloaded", errorCode });
    assert(live.timers.size === 0, `group ${live.group.groupId} has timers left`);
    this.#groups.delete(live.group.groupId);
    this.#membersBytes -= live.sizeBytes;
  }

  /** Resolves when the machine replies, perhaps much later. */
  #ask(
    live: LiveGroup,
    eventOf: (requestId: number) => GroupEvent,
    onClose: OnClose | undefined,
  ): Promise<GroupReply> {
    this.#requestCount += 1;
    const requestId = this.#requestCount;
    return new Promise((resolve) => {
      const waiting: Waiting = { resolve, stopListening: () => {} };
      this.#waiting.set(requestId, waiting);
      this.#apply(live, eventOf(requestId));
      if (!this.#waiting.has(requestId) || !onClose) return;
      waiting.stopListening = onClose(() => this.#abandon(live, requestId));
    });
  }

  /** The connection is gone. The promise settles all the same, so that whoever awaits it goes on. */
  #abandon(live: LiveGroup, requestId: number): void {
    const waiting = this.#waiting.get(requestId);
    if (!waiting) return;
    if (this.#isCurrent(live)) this.#apply(live, { kind: "abandoned", requestId });
    if (!this.#waiting.delete(requestId)) return;
    const isSync = [...live.group.members.values()].some(
      (member) => member.syncRequestId === requestId,
    );
    const errorCode = ErrorCode.networkException;
    waiting.resolve(isSync ? refusedSync(errorCode) : refusedJoin(errorCode));
  }

  /** For events that the machine answers at once. */
  #replyNow(live: LiveGroup, eventOf: (requestId: number) => GroupEvent): GroupReply {
    let reply: GroupReply | undefined;
    this.#requestCount += 1;
    const requestId = this.#requestCount;
    const resolve = (given: GroupReply): void => {
      reply = given;
    };
    this.#waiting.set(requestId, { resolve, stopListening: () => {} });
    this.#apply(live, eventOf(requestId));
    assert(reply !== undefined, "the group did not answer at once");
    return reply;
  }

  #askNow(live: LiveGroup, eventOf: (requestId: number) => GroupEvent): PlainReply {
    const reply = this.#replyNow(live, eventOf);
    assert(reply.kind === "answered", `expected a plain answer, not ${reply.kind}`);
    return reply;
  }

  #isCurrent(live: LiveGroup): boolean {
    return this.#groups.get(live.group.groupId) === live;
  }

  #apply(live: LiveGroup, event: GroupEvent): void {
    const former = live.group;
    const context = { nowMs: this.#options.clock.nowMs(), limits: this.#limits };
    const { group, effects } = groupAfter(former, event, context);
    live.group = group;
    if (group.members !== former.members) {
      const sizeBytes = sizeBytesOf(group);
      this.#membersBytes += sizeBytes - live.sizeBytes;
      live.sizeBytes = sizeBytes;
    }
    for (const effect of effects) this.#perform(live, effect);
    this.#logTransition(former, group, event);
    if (isBare(group) && this.#isCurrent(live)) this.#remove(live, ErrorCode.unknownMemberId);
  }

  #perform(live: LiveGroup, effect: GroupEffect): void {
    switch (effect.kind) {
      case "reply": {
        const waiting = this.#waiting.get(effect.requestId);
        this.#waiting.delete(effect.requestId);
        waiting?.stopListening();
        waiting?.resolve(effect.reply);
        break;
      }
      case "startTimer":
        live.timers.get(effect.timer)?.();
        live.timers.set(effect.timer, this.#startTimer(live, effect));
        break;
      case "stopTimer":
        live.timers.get(effect.timer)?.();
        live.timers.delete(effect.timer);
        break;
      case "store":
        void this.#storeGroup(live, effect); // Never rejects: its outcome is an event.
        break;
    }
  }

  #startTimer(live: LiveGroup, effect: Extract<GroupEffect, { kind: "startTimer" }>): CancelTimer {
    return this.#options.clock.after(effect.delayMs, () => {
      live.timers.delete(effect.timer);
      this.#apply(live, effect.event);
    });
  }

  async #storeGroup(
    live: LiveGroup,
    { stored, outcome }: Extract<GroupEffect, { kind: "store" }>,
  ): Promise<void> {
    let errorCode: ErrorCode = ErrorCode.none;
    try {
      await this.#options.store.commit({ kind: "groupStored", group: stored });
    } catch (thrown) {
      errorCode = storeCodeOf(thrown);
      const { groupId } = stored;
      this.#options.logger.warn("group_not_stored", { groupId, reason: String(thrown) });
    }
    if (outcome && this.#isCurrent(live)) this.#apply(live, { ...outcome, errorCode });
  }

  #logTransition(former: Group, group: Group, event: GroupEvent): void {
    const { logger } = this.#options;
    const { groupId, state, generationId } = group;
    const memberId = "memberId" in event ? event.memberId : undefined;
    logger.debug("group_event", { groupId, event: event.kind, memberId, state, generationId });
    if (state === former.state || (state !== "Stable" && state !== "Empty")) return;
    const memberCount = group.members.size;
    const name = state === "Stable" ? "group_stable" : "group_empty";
    logger.info(name, { groupId, generationId, memberCount });
  }
}

/** Nobody would miss it: it was never joined, and no id was given out. */
function isBare({ state, protocolType, pendingMemberIds }: Group): boolean {
  return state === "Empty" && protocolType === null && pendingMemberIds.size === 0;
}
