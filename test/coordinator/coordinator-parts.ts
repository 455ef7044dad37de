/** A coordinator over a store in memory, and clients that use it in few words. */

import type { JoinRequest, SyncRequest } from "../../src/coordinator/group-coordinator.ts";
import { GroupCoordinator } from "../../src/coordinator/group-coordinator.ts";
import type { GroupSettings } from "../../src/coordinator/group-settings.ts";
import { OffsetCoordinator } from "../../src/coordinator/offset-coordinator.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import { ManualClock } from "../manual-clock.ts";
import { MemoryLog } from "../meta/memory-log.ts";

const DEFAULTS: GroupSettings = {
  groupInitialRebalanceDelayMs: 0,
  groupMinSessionTimeoutMs: 6_000,
  groupMaxSessionTimeoutMs: 1_800_000,
  offsetsRetentionMinutes: 10_080,
  groupMaxSize: 10_000,
  groupsMax: 100_000,
  groupMembersBytesMax: 32 * 1024 * 1024,
  committedOffsetsBytesMax: 64 * 1024 * 1024,
  offsetMetadataMaxBytes: 4_096,
};

export const TOPIC_ID = "AAAAAAAAAAAAAAAAAAAAAQ";

/** A store with the topic `t` of four partitions. */
export async function newStore() {
  const log = new MemoryLog();
  const store = new LocalMetaStore();
  store.attach(log);
  const topic = { topicId: TOPIC_ID, name: "t", partitionCount: 4, configs: {}, createdMs: 0 };
  await store.commit({ kind: "topicCreated", topic });
  return { log, store };
}

/** What a restart finds. */
export function reopen(log: MemoryLog) {
  const kept = new MemoryLog(log.survivors());
  const store = new LocalMetaStore();
  for (const { address, payload } of kept.entries) store.recover(address, payload);
  store.attach(kept);
  return { log: kept, store };
}

export interface Parts {
  readonly log: MemoryLog;
  readonly store: LocalMetaStore;
  readonly clock: ManualClock;
  readonly groups: GroupCoordinator;
  readonly offsets: OffsetCoordinator;
}

export function coordinatorOver(
  { log, store }: { readonly log: MemoryLog; readonly store: LocalMetaStore },
  changes: Partial<GroupSettings> = {},
  clock = new ManualClock(),
): Parts {
  let uuidCount = 0;
  const settings = { ...DEFAULTS, ...changes };
  const logger = silentLogger;
  const newUuid = () => {
    uuidCount += 1;
    return `uuid${uuidCount}`;
  };
  const groups = new GroupCoordinator({ store, clock, logger, settings, newUuid });
  const offsets = new OffsetCoordinator({ store, groups, clock, logger, settings });
  return { log, store, clock, groups, offsets };
}

export async function newCoordinator(changes: Partial<GroupSettings> = {}): Promise<Parts> {
  return coordinatorOver(await newStore(), changes);
}

const subscription = new Uint8Array([0, 0, 0, 0, 0, 1, 0, 1, 116, 0xff, 0xff, 0xff, 0xff]); // Topic t.

export function joinRequest(changes: Partial<JoinRequest> = {}): JoinRequest {
  return {
    groupId: "g",
    memberId: "",
    groupInstanceId: null,
    clientId: "c",
    clientHost: "/127.0.0.1",
    protocolType: "consumer",
    protocols: [{ name: "range", metadata: subscription }],
    sessionTimeoutMs: 10_000,
    rebalanceTimeoutMs: 60_000,
    mustKnowMemberId: false,
    canSkipAssignment: false,
    ...changes,
  };
}

export function syncRequest(changes: Partial<SyncRequest>): SyncRequest {
  return {
    groupId: "g",
    memberId: "",
    groupInstanceId: null,
    generationId: 1,
    protocolType: null,
    protocolName: null,
    assignments: new Map(),
    ...changes,
  };
}

/** One member that is alone in a stable group. @returns its id. */
export async function joinAlone(
  { groups, clock }: Parts,
  changes: Partial<JoinRequest> = {},
): Promise<string> {
  const request = joinRequest(changes);
  const joining = groups.join(request);
  await clock.advance(0);
  const { memberId, generationId } = await joining;
  const assignments = new Map([[memberId, new Uint8Array([1])]]);
  const { groupId } = request;
  await groups.sync(syncRequest({ groupId, memberId, generationId, assignments }));
  return memberId;
}

/** An offset of the topic `t`. */
export function offsetOf(partition: number, offset: number, metadata = "") {
  return { topic: "t", partition, offset, leaderEpoch: -1, metadata };
}

/** A commit of a client that only stores offsets. */
export function simpleCommit(groupId: string, offsets: ReturnType<typeof offsetOf>[]) {
  return {
    groupId,
    memberId: "",
    groupInstanceId: null,
    generationId: -1,
    retentionTimeMs: undefined,
    offsets,
  };
}
