/** The metadata store over its log: visibility, order, reservation of names, recovery. */

import { expect, test } from "bun:test";
import { LocalMetaStore, META_ENTRY_BYTES_LIMIT } from "../../src/meta/local-meta-store.ts";
import { encodeMetaCommand, MetaRecoveryError } from "../../src/meta/meta-command.ts";
import type { MetaCommand, Topic } from "../../src/meta/meta-store.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import { MemoryLog } from "./memory-log.ts";

function topicOf(name: string, topicId = `id-of-${name}`): Topic {
  return { topicId, name, partitionCount: 1, configs: {}, createdMs: 5 };
}

function created(name: string, topicId?: string): MetaCommand {
  return { kind: "topicCreated", topic: topicOf(name, topicId) };
}

function committed(groupId: string, topic: string, offset: number): MetaCommand {
  const offsets = [
    { topic, partition: 0, offset, leaderEpoch: 1, metadata: "m", commitTimestampMs: 9 },
  ];
  return { kind: "offsetsCommitted", groupId, offsets };
}

function openStore(log = new MemoryLog()) {
  const store = new LocalMetaStore();
  for (const { address, payload } of log.entries) store.recover(address, payload);
  store.attach(log);
  return { store, log };
}

async function codeOf(promise: Promise<unknown>): Promise<number | undefined> {
  return await promise.then(
    () => undefined,
    (thrown: unknown) => (thrown instanceof KafkaError ? thrown.code : undefined),
  );
}

/** Everything that reads can tell. */
function viewOf(store: LocalMetaStore): unknown {
  return {
    topics: [...store.topics()],
    groups: [...store.groupIds()].map((groupId) => [
      groupId,
      store.storedGroup(groupId),
      [...store.committedOffsets(groupId)],
    ]),
    nextProducerId: store.nextProducerId,
  };
}

test("commit: a topic is visible once durable, and its name taken before", async () => {
  const { store, log } = openStore();
  log.isAutomatic = false;
  const creation = store.commit(created("a"));
  expect(store.topic("a")).toBeUndefined();
  expect(await codeOf(store.commit(created("a", "other")))).toBe(ErrorCode.topicAlreadyExists);
  const settled = store.topicCreation("a");
  expect(settled).toBeInstanceOf(Promise);
  log.sync();
  await creation;
  await settled;
  expect(store.topic("a")).toEqual(topicOf("a"));
  expect(store.topicById("id-of-a")).toEqual(topicOf("a"));
  expect(store.topicCreation("a")).toBeUndefined();
});

test("commit: commands apply in the order of the log, each before its promise resolves", async () => {
  const { store, log } = openStore();
  log.isAutomatic = false;
  const seen: string[] = [];
  store.onApplied(({ kind }) => seen.push(kind));
  const first = store.commit(created("a"));
  const second = store.commit({ kind: "partitionsAdded", topicId: "id-of-a", partitionCount: 3 });
  const third = store.commit({ kind: "topicDeleted", topicId: "id-of-a", name: "a" });
  const fourth = store.commit(created("a", "again"));
  log.sync();
  await Promise.all([first, second, third, fourth]);
  expect(seen).toEqual(["topicCreated", "partitionsAdded", "topicDeleted", "topicCreated"]);
  expect(store.topic("a")?.topicId).toBe("again");
  expect(store.topicById("id-of-a")).toBeUndefined();
});

test("commit: a topic that is being deleted cannot be changed", async () => {
  const { store, log } = openStore();
  await store.commit(created("a"));
  log.isAutomatic = false;
  const deletion = store.commit({ kind: "topicDeleted", topicId: "id-of-a", name: "a" });
  const change = { kind: "topicConfigsSet", topicId: "id-of-a", configs: {} } as const;
  expect(await codeOf(store.commit(change))).toBe(ErrorCode.unknownTopicId);
  const again = { kind: "topicDeleted", topicId: "id-of-a", name: "a" } as const;
  expect(await codeOf(store.commit(again))).toBe(ErrorCode.unknownTopicId);
  log.sync();
  await deletion;
});

test("commit: partitions only grow", async () => {
  const { store } = openStore();
  await store.commit(created("a"));
  const same = { kind: "partitionsAdded", topicId: "id-of-a", partitionCount: 1 } as const;
  expect(await codeOf(store.commit(same))).toBe(ErrorCode.invalidPartitions);
});

test("commit: a failed log rejects, shows nothing and frees nothing", async () => {
  const { store, log } = openStore();
  log.isAutomatic = false;
  const creation = store.commit(created("a"));
  log.fail();
  expect(await codeOf(creation)).toBe(ErrorCode.kafkaStorageError);
  expect(store.topic("a")).toBeUndefined();
  expect(await codeOf(store.commit(created("b")))).toBe(ErrorCode.kafkaStorageError);
});

test("commit: waits for room without losing its turn", async () => {
  const { store, log } = openStore();
  log.makeRoom(0);
  const first = store.commit(created("a"));
  const second = store.commit({ kind: "partitionsAdded", topicId: "id-of-a", partitionCount: 2 });
  const third = store.commit({ kind: "topicDeleted", topicId: "id-of-a", name: "a" });
  expect(log.entries).toBeEmpty();
  log.makeRoom(1_000_000);
  await Promise.all([first, second, third]);
  expect(store.topicCount).toBe(0);
  await store.commit(created("b"));
  expect(store.topicCount).toBe(1);
});

test("commit: a rejected command in the queue for room does not stop those behind", async () => {
  const { store, log } = openStore();
  await store.commit(created("a"));
  log.makeRoom(0);
  const refused = store.commit(created("a", "other"));
  const accepted = store.commit(created("b"));
  log.makeRoom(1_000_000);
  expect(await codeOf(refused)).toBe(ErrorCode.topicAlreadyExists);
  await accepted;
  expect(store.topicCount).toBe(2);
});

test("commit: an oversized command is refused before it reaches the log", async () => {
  const { store, log } = openStore();
  const configs = { x: "y".repeat(META_ENTRY_BYTES_LIMIT) };
  const command = { kind: "topicConfigsSet", topicId: "id-of-a", configs } as const;
  expect(await codeOf(store.commit(command))).toBe(ErrorCode.recordListTooLarge);
  expect(log.entries).toBeEmpty();
});

test("collidingTopic: names that differ in a dot only", async () => {
  const { store } = openStore();
  await store.commit(created("a.b"));
  expect(store.collidingTopic("a_b")).toBe("a.b");
  expect(store.collidingTopic("a.b")).toBeUndefined();
  await store.commit({ kind: "topicDeleted", topicId: "id-of-a.b", name: "a.b" });
  expect(store.collidingTopic("a_b")).toBeUndefined();
});

test("offsets: last commit holds, deletion of the topic takes them along", async () => {
  const { store } = openStore();
  await store.commit(created("a"));
  await store.commit(committed("g", "a", 1));
  await store.commit(committed("g", "a", 7));
  expect(store.committedOffset("g", { topic: "a", partition: 0 })?.offset).toBe(7);
  expect([store.groupCount, store.committedOffsetsBytes]).toEqual([1, 162]);
  expect([...store.groupIds()]).toEqual(["g"]);
  await store.commit({ kind: "topicDeleted", topicId: "id-of-a", name: "a" });
  expect(store.hasCommittedOffsets("g")).toBe(false);
  expect([store.groupCount, store.committedOffsetsBytes]).toEqual([0, 0]);
  expect([...store.groupIds()]).toEqual([]);
});

test("recover: durable commands come back, others do not", async () => {
  const { store, log } = openStore();
  await store.commit(created("a"));
  await store.commit(committed("g", "a", 3));
  await store.commit({ kind: "producerIdsAllocated", nextProducerId: 1000 });
  const group = {
    groupId: "g",
    protocolType: "consumer",
    generationId: 4,
    protocolName: "range",
    leaderId: "m",
    stateTimestampMs: 5,
    members: [],
  };
  await store.commit({ kind: "groupStored", group });
  const before = viewOf(store);
  log.isAutomatic = false;
  const lost = store.commit(created("lost"));
  const reopened = openStore(new MemoryLog(log.survivors()));
  expect(viewOf(reopened.store)).toEqual(before);
  await reopened.store.commit(created("lost"));
  log.sync();
  await lost;
});

test("recover: an entry of a newer broker stops the start", () => {
  const store = new LocalMetaStore();
  const newer = new TextEncoder().encode('{"version":3,"command":{"kind":"topicCreated"}}');
  expect(() => store.recover(1, newer)).toThrow(MetaRecoveryError);
  const unknown = new TextEncoder().encode('{"version":1,"command":{"kind":"toString"}}');
  expect(() => store.recover(1, unknown)).toThrow(MetaRecoveryError);
  expect(() => store.recover(1, new Uint8Array([0xff]))).toThrow(MetaRecoveryError);
});

test("recover: entries that the checkpoint covers are skipped", () => {
  const store = new LocalMetaStore();
  store.restore(created("a"), 100);
  store.recover(99, encodeMetaCommand({ kind: "topicDeleted", topicId: "id-of-a", name: "a" }));
  expect(store.topicCount).toBe(1);
  store.recover(100, encodeMetaCommand(created("b")));
  expect(store.topicCount).toBe(2);
});

test("log start offsets: never go back, survive a restart, and go with their topic", async () => {
  const { store, log } = openStore();
  const topicId = "id-of-a";
  const startAt = (offset: number): MetaCommand => ({
    kind: "logStartOffsetsSet",
    topicId,
    offsets: [{ partition: 0, offset }],
  });
  expect(await codeOf(store.commit(startAt(1)))).toBe(ErrorCode.unknownTopicId);
  await store.commit(created("a"));
  log.isAutomatic = false;
  const first = store.commit(startAt(7));
  expect(store.logStartOffset(topicId, 0)).toBe(0);
  log.sync();
  await first;
  log.isAutomatic = true;
  await store.commit(startAt(5));
  expect(store.logStartOffset(topicId, 0)).toBe(7);
  expect(store.logStartOffset(topicId, 1)).toBe(0);
  const { store: reopened } = openStore(new MemoryLog(log.survivors()));
  expect([...reopened.logStartOffsets(topicId)]).toEqual([{ partition: 0, offset: 7 }]);
  await reopened.commit({ kind: "topicDeleted", topicId, name: "a" });
  expect([...reopened.logStartOffsets(topicId)]).toEqual([]);
});

test("recover: metadata of version 1 is read", () => {
  const store = new LocalMetaStore();
  const text = `{"version":1,"command":${JSON.stringify(created("a"))}}`;
  store.recover(1, new TextEncoder().encode(text));
  expect(store.topic("a")).toEqual(topicOf("a"));
});
