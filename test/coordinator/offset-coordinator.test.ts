/** Committed offsets: acceptance, durability, order, expiry; and producer ids. */

import { expect, test } from "bun:test";
import { PRODUCER_ID_BLOCK_SIZE, ProducerIds } from "../../src/coordinator/producer-ids.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { settle } from "../manual-clock.ts";
import {
  coordinatorOver,
  joinAlone,
  newCoordinator,
  newStore,
  offsetOf,
  reopen,
  simpleCommit,
} from "./coordinator-parts.ts";

const DAY_MS = 86_400_000;

test("commit: a client without a group makes one; a member's generation counts", async () => {
  const parts = await newCoordinator();
  const { groups, offsets, store } = parts;
  await offsets.commit(simpleCommit("simple", [offsetOf(0, 5, "text")]));
  expect(store.committedOffset("simple", { topic: "t", partition: 0 })).toMatchObject({
    offset: 5,
    metadata: "text",
  });
  expect(groups.group("simple")).toMatchObject({ state: "Empty", protocolType: null });
  const memberId = await joinAlone(parts);
  const commit = { ...simpleCommit("g", [offsetOf(0, 7)]), memberId };
  expect((await offsets.commit({ ...commit, generationId: 1 })).errorCode).toBe(ErrorCode.none);
  expect((await offsets.commit({ ...commit, generationId: 2 })).errorCode).toBe(
    ErrorCode.illegalGeneration,
  );
  expect((await offsets.commit(simpleCommit("g", [offsetOf(0, 9)]))).errorCode).toBe(
    ErrorCode.unknownMemberId,
  );
  expect((await offsets.commit({ ...commit, groupId: "x", generationId: 1 })).errorCode).toBe(
    ErrorCode.groupIdNotFound,
  );
});

test("commit: metadata of 4,096 characters is kept, one more is refused alone", async () => {
  const { offsets, store } = await newCoordinator();
  const { errorCode, errorCodes } = await offsets.commit(
    simpleCommit("g", [
      offsetOf(0, 1, "m".repeat(4_096)),
      offsetOf(1, 1, "m".repeat(4_097)),
      offsetOf(2, 1, "\u0000".repeat(4_096)),
    ]),
  );
  expect(errorCode).toBe(ErrorCode.none);
  expect(errorCodes).toEqual([ErrorCode.none, ErrorCode.offsetMetadataTooLarge, ErrorCode.none]);
  expect([...store.committedOffsets("g")].length).toBe(2);
});

test("commit: a huge one is cut into commands that fit", async () => {
  const { offsets, store, log } = await newCoordinator();
  const many = Array.from({ length: 5_000 }, (_, partition) =>
    offsetOf(partition, 1, "m".repeat(99)),
  );
  expect((await offsets.commit(simpleCommit("g", many))).errorCode).toBe(ErrorCode.none);
  expect([...store.committedOffsets("g")].length).toBe(5_000);
  expect(log.entries.length).toBeGreaterThan(2);
  for (const { payload } of log.entries) expect(payload.length).toBeLessThan(512 * 1024);
});

test("commit: the limit on all offsets refuses new ones, not those that go on", async () => {
  const { offsets } = await newCoordinator({ committedOffsetsBytesMax: 400 });
  const codeOf = async (...list: ReturnType<typeof offsetOf>[]) =>
    (await offsets.commit(simpleCommit("g", list))).errorCode;
  expect(await codeOf(offsetOf(0, 1), offsetOf(1, 1))).toBe(ErrorCode.none);
  expect(await codeOf(offsetOf(2, 1))).toBe(ErrorCode.invalidCommitOffsetSize);
  expect(await codeOf(offsetOf(0, 2), offsetOf(1, 2))).toBe(ErrorCode.none);
  expect(await codeOf(offsetOf(0, 3, "m".repeat(200)))).toBe(ErrorCode.invalidCommitOffsetSize);
});

test("commit: answered when durable; whenStable waits for it; a failure is told", async () => {
  const { offsets, store, log } = await newCoordinator();
  log.isAutomatic = false;
  const committing = offsets.commit(simpleCommit("g", [offsetOf(0, 1)]));
  let isStable = false;
  const waiting = offsets.whenStable("g").then(() => {
    isStable = true;
  });
  await settle();
  expect(isStable).toBe(false);
  expect(store.hasCommittedOffsets("g")).toBe(false);
  log.sync();
  await Promise.all([committing, waiting]);
  expect(store.hasCommittedOffsets("g")).toBe(true);
  await offsets.whenStable("g");
  const failing = offsets.commit(simpleCommit("g", [offsetOf(0, 2)]));
  log.fail();
  expect((await failing).errorCode).toBe(ErrorCode.notCoordinator);
});

test("expiry: offsets of a client without a group go some time after their commit", async () => {
  const { offsets, groups, clock, store } = await newCoordinator();
  await offsets.commit(simpleCommit("g", [offsetOf(0, 1)]));
  await clock.advance(6 * DAY_MS);
  await offsets.commit(simpleCommit("g", [offsetOf(1, 1)]));
  await clock.advance(1 * DAY_MS);
  await offsets.removeExpired();
  expect([...store.committedOffsets("g")].map(({ partition }) => partition)).toEqual([1]);
  await clock.advance(6 * DAY_MS);
  await offsets.removeExpired();
  expect(groups.group("g")).toBeUndefined();
});

test("expiry: offsets of a group are kept while it has members, then for the retention", async () => {
  const parts = await newCoordinator({ groupMaxSessionTimeoutMs: 30 * DAY_MS });
  const { offsets, groups, clock, store } = parts;
  const memberId = await joinAlone(parts, { sessionTimeoutMs: 20 * DAY_MS });
  await offsets.commit({ ...simpleCommit("g", [offsetOf(0, 1)]), memberId, generationId: 1 });
  await clock.advance(10 * DAY_MS);
  await offsets.removeExpired();
  expect(store.hasCommittedOffsets("g")).toBe(true);
  groups.leave("g", [{ memberId, groupInstanceId: null }]);
  await clock.advance(7 * DAY_MS - 1);
  await offsets.removeExpired();
  expect(store.hasCommittedOffsets("g")).toBe(true);
  await clock.advance(1);
  await offsets.removeExpired();
  expect([...store.groupIds()]).toEqual([]);
});

test("expiry: a stable group loses what it no longer subscribes to", async () => {
  const parts = await newCoordinator();
  const { offsets, clock, store } = parts;
  const other = { topicId: "other", name: "other", partitionCount: 1, configs: {}, createdMs: 0 };
  await store.commit({ kind: "topicCreated", topic: other });
  await offsets.commit(simpleCommit("g", [offsetOf(0, 1), { ...offsetOf(0, 1), topic: "other" }]));
  await clock.advance(8 * DAY_MS);
  await joinAlone(parts);
  await offsets.removeExpired();
  expect([...store.committedOffsets("g")].map(({ topic }) => topic)).toEqual(["t"]);
});

test("expiry: a retention that the client asked for holds instead", async () => {
  const { offsets, clock, store } = await newCoordinator();
  const request = { ...simpleCommit("g", [offsetOf(0, 1)]), retentionTimeMs: 1_000 };
  await offsets.commit(request);
  await clock.advance(999);
  await offsets.removeExpired();
  expect(store.hasCommittedOffsets("g")).toBe(true);
  await clock.advance(1);
  await offsets.removeExpired();
  expect(store.hasCommittedOffsets("g")).toBe(false);
});

test("expiry: runs from time to time until closed", async () => {
  const { offsets, clock, store } = await newCoordinator({ offsetsRetentionMinutes: 1 });
  await offsets.commit(simpleCommit("g", [offsetOf(0, 1)]));
  offsets.start();
  await clock.advance(600_000);
  expect(store.hasCommittedOffsets("g")).toBe(false);
  await offsets.commit(simpleCommit("g", [offsetOf(0, 1)]));
  await clock.advance(600_000);
  expect(store.hasCommittedOffsets("g")).toBe(false);
  offsets.close();
  expect(clock.timerCount).toBe(0);
});

test("producer ids: never given twice, restarts included", async () => {
  let parts = await newStore();
  const given = new Set<number>();
  for (let restart = 0; restart < 3; restart += 1) {
    const producerIds = new ProducerIds(parts.store);
    const count = PRODUCER_ID_BLOCK_SIZE + 10;
    const batch = await Promise.all(Array.from({ length: count }, () => producerIds.next()));
    for (const producerId of batch) {
      expect(given.has(producerId)).toBe(false);
      given.add(producerId);
    }
    parts = reopen(parts.log);
  }
  expect(Math.max(...given)).toBeLessThan(6 * PRODUCER_ID_BLOCK_SIZE);
  expect(given.has(0)).toBe(true);
});

test("producer ids: a failed log gives none, and the next caller tries again", async () => {
  const { store, log } = await newStore();
  log.isAutomatic = false;
  const producerIds = new ProducerIds(store);
  const first = producerIds.next();
  log.fail();
  await expect(first).rejects.toMatchObject({ code: ErrorCode.kafkaStorageError });
  await expect(producerIds.next()).rejects.toMatchObject({ code: ErrorCode.kafkaStorageError });
});

test("restart: offsets are there", async () => {
  const { offsets, log } = await newCoordinator();
  await offsets.commit(simpleCommit("g", [offsetOf(3, 8, "ä")]));
  const { store } = coordinatorOver(reopen(log));
  expect(store.committedOffset("g", { topic: "t", partition: 3 })).toMatchObject({
    offset: 8,
    metadata: "ä",
  });
});
