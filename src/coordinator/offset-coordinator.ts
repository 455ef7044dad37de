/** Committed offsets: who may commit, what is kept, and when it expires (KIP-211). */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { MetaStore, PartitionOffset } from "../meta/meta-store.ts";
import { offsetSizeBytes } from "../meta/meta-store.ts";
import { ErrorCode } from "../protocol/errors.ts";
import type { Group } from "./group.ts";
import type { GenerationIdentity, GroupCoordinator } from "./group-coordinator.ts";
import type { GroupSettings } from "./group-settings.ts";
import { storeCodeOf } from "./store-code.ts";
import { subscribedTopicsOf } from "./subscription.ts";

const MINUTE_MS = 60_000;
/** Between two searches for expired offsets (Kafka's `offsets.retention.check.interval.ms`). */
const EXPIRY_ROUND_MS = 600_000;
/** JSON of one offset without its texts, generously. */
const OFFSET_ENTRY_BYTES = 160;
/** A character of JSON takes at most this (`\u0000`). */
const BYTES_PER_CHARACTER_MAX = 6;
/** Commits are cut into commands of about this size, well below the limit of an entry. */
const COMMAND_BYTES_TARGET = 256 * 1024;
/** Groups looked through for expired offsets before others get a turn. */
const GROUPS_PER_TURN = 200;

export interface OffsetCoordinatorOptions {
  readonly store: MetaStore;
  readonly groups: GroupCoordinator;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: GroupSettings;
}

/** An offset to commit; its partition is known to exist. */
export type NewOffset = Omit<PartitionOffset, "commitTimestampMs" | "expireTimestampMs"> & {
  /** Undefined: now. */
  readonly commitTimestampMs?: number | undefined;
};

export interface CommitRequest extends GenerationIdentity {
  /** Undefined: as the broker's settings say. */
  readonly retentionTimeMs: number | undefined;
  readonly offsets: readonly NewOffset[];
}

export class OffsetCoordinator {
  readonly #options: OffsetCoordinatorOptions;
  /** The last commit of each group that is not durable yet. */
  readonly #pendingCommits = new Map<string, Promise<unknown>>();
  #stopTimer: CancelTimer | undefined;

  constructor(options: OffsetCoordinatorOptions) {
    this.#options = options;
  }

  /**
   * Commits what may be committed. Resolves when it is durable.
   * @returns a code for the whole request or, if that is none, one for each offset, in order.
   */
  async commit(request: CommitRequest) {
    const errorCode = this.#options.groups.commitCode(request);
    const refusedAll = (code: ErrorCode) => ({ errorCode: code, errorCodes: [] });
    if (errorCode !== ErrorCode.none) return refusedAll(errorCode);
    const { store, settings } = this.#options;
    const addedBytes = growthBytes(store, request);
    const endBytes = store.committedOffsetsBytes + addedBytes;
    if (addedBytes > 0 && endBytes > settings.committedOffsetsBytesMax) {
      return refusedAll(ErrorCode.invalidCommitOffsetSize);
    }
    const errorCodes = request.offsets.map(({ metadata }) =>
      metadata.length > settings.offsetMetadataMaxBytes
        ? ErrorCode.offsetMetadataTooLarge
        : ErrorCode.none,
    );
    const accepted = request.offsets.filter((_, index) => errorCodes[index] === ErrorCode.none);
    const failure = await this.#store(request, accepted);
    return failure === ErrorCode.none ? { errorCode, errorCodes } : refusedAll(failure);
  }

  /** Resolves when all commits of the group that were accepted before are durable, or have failed. */
  async whenStable(groupId: string): Promise<void> {
    await this.#pendingCommits.get(groupId);
  }

  /** Starts looking for expired offsets from time to time. */
  start(): void {
    const { clock, logger } = this.#options;
    this.#stopTimer = clock.after(EXPIRY_ROUND_MS, () => {
      this.removeExpired().then(
        () => {
          if (this.#stopTimer) this.start();
        },
        (thrown: unknown) => logger.error("offsets_not_expired", { reason: String(thrown) }),
      );
    });
  }

  close(): void {
    this.#stopTimer?.();
    this.#stopTimer = undefined;
  }

  /** Removes offsets that have expired, and empty groups that have none left. */
  async removeExpired(): Promise<void> {
    let count = 0;
    for (const group of [...this.#options.groups.groups()]) {
      await this.#removeExpiredOf(group);
      count += 1;
      if (count % GROUPS_PER_TURN === 0) await this.#nextTurn();
    }
  }

  async #store(request: CommitRequest, offsets: readonly NewOffset[]): Promise<ErrorCode> {
    const { groupId, retentionTimeMs } = request;
    const { store, clock } = this.#options;
    const nowMs = clock.nowMs();
    const expiry =
      retentionTimeMs === undefined ? {} : { expireTimestampMs: nowMs + retentionTimeMs };
    const stamped = offsets.map((offset) => ({
      ...offset,
      commitTimestampMs: offset.commitTimestampMs ?? nowMs,
      ...expiry,
    }));
    // All are appended in this turn, so that a later request of any client comes after them.
    const commits = commandSizedParts(stamped).map((part) =>
      store.commit({ kind: "offsetsCommitted", groupId, offsets: part }),
    );
    const settled = Promise.allSettled(commits);
    this.#pendingCommits.set(groupId, settled);
    const failed = (await settled).find(({ status }) => status === "rejected");
    if (this.#pendingCommits.get(groupId) === settled) this.#pendingCommits.delete(groupId);
    return failed?.status === "rejected" ? storeCodeOf(failed.reason) : ErrorCode.none;
  }

  async #removeExpiredOf({ groupId }: Group): Promise<void> {
    const { store, groups, clock, settings, logger } = this.#options;
    const group = groups.group(groupId); // It may have changed since the round began.
    if (!group) return;
    const retentionMs = settings.offsetsRetentionMinutes * MINUTE_MS;
    const offsets = [...store.committedOffsets(groupId)];
    const expired = offsets.filter((offset) =>
      isExpired(group, offset, { nowMs: clock.nowMs(), retentionMs }),
    );
    const isAll = expired.length === offsets.length;
    if (isAll && group.state === "Empty" && group.pendingMemberIds.size === 0) {
      await groups.delete(groupId);
    } else if (expired.length > 0) {
      for (const partitions of commandSizedParts(expired)) {
        await store.commit({
          kind: "offsetsRemoved",
          groupId,
          partitions: partitions.map(placeOf),
        });
      }
    } else return;
    logger.info("offsets_expired", { groupId, offsetCount: expired.length, isGroupRemoved: isAll });
  }

  #nextTurn(): Promise<void> {
    return new Promise((resolve) => {
      this.#options.clock.after(0, resolve);
    });
  }
}

/**
 * Kafka's rule: offsets of an empty group expire some time after the last member left; those of a group that only
 * stores offsets, or of topics that a stable group no longer subscribes to, some time after their commit.
 */
function isExpired(
  group: Group,
  offset: PartitionOffset,
  { nowMs, retentionMs }: { readonly nowMs: number; readonly retentionMs: number },
): boolean {
  const fromMs = retentionStartMs(group, offset);
  if (fromMs === undefined) return false;
  if (offset.expireTimestampMs !== undefined) return nowMs >= offset.expireTimestampMs;
  return nowMs - fromMs >= retentionMs;
}

/** Undefined: the offset is in use. */
function retentionStartMs(group: Group, offset: PartitionOffset): number | undefined {
  if (group.protocolType === null) return offset.commitTimestampMs;
  if (group.state === "Empty") return group.stateTimestampMs;
  if (group.state !== "Stable") return undefined;
  const topics = subscribedTopicsOf(group);
  const isUnused = topics !== undefined && !topics.has(offset.topic);
  return isUnused ? offset.commitTimestampMs : undefined;
}

/** Memory that the commit takes beyond what it replaces; groups that go on committing are never refused for it. */
function growthBytes(store: MetaStore, { groupId, offsets }: CommitRequest): number {
  let bytes = 0;
  for (const offset of offsets) {
    const former = store.committedOffset(groupId, offset);
    bytes += offsetSizeBytes(offset) - (former ? offsetSizeBytes(former) : 0);
  }
  return bytes;
}

function placeOf({ topic, partition }: PartitionOffset) {
  return { topic, partition };
}

/** Cuts a list so that each part makes a command of bounded size. */
function commandSizedParts(offsets: readonly PartitionOffset[]): PartitionOffset[][] {
  const parts: PartitionOffset[][] = [];
  let roomBytes = 0;
  for (const offset of offsets) {
    const characters = offset.topic.length + offset.metadata.length;
    const sizeBytes = OFFSET_ENTRY_BYTES + characters * BYTES_PER_CHARACTER_MAX;
    if (sizeBytes > roomBytes) {
      parts.push([]);
      roomBytes = COMMAND_BYTES_TARGET;
    }
    parts.at(-1)?.push(offset);
    roomBytes -= sizeBytes;
  }
  return parts;
}
