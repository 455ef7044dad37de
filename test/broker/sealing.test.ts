/** The log over its tiers: random appends, deletions, seals, releases and restarts, and every read is
 * what was appended and not deleted. */

import { afterEach, expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Storage } from "../../src/broker-storage.ts";
import { seededRandom, systemClock } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { readBatches } from "../../src/log/log-reader.ts";
import { firstRecordSince, recordOfMaxTimestamp } from "../../src/log/partition-times.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { registerRound } from "../../src/segment/registration.ts";
import { Sealing } from "../../src/segment/sealing.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { fileSequenceOf, walAddressOf } from "../../src/wal/wal-address.ts";
import { expectWhole } from "../segment/whole.ts";
import { openedStorage } from "./opened-storage.ts";

const TOPIC_IDS = [1, 2].map((byte) => Buffer.alloc(16, byte).toString("base64url"));
const PARTITION_COUNT = 2;
/** More for a longer search: each takes some 50 ms. */
const STEP_COUNT = Number(Bun.env["STEPS"] ?? 60);
const WAL_FILE_BYTES = 1024 * 1024;

interface ModelRecord {
  readonly offset: number;
  readonly timestampMs: number;
}

/** A partition as it must be: the stored batches, and the times of their records. */
interface Model {
  logStartOffset: number;
  readonly batches: Uint8Array[];
  readonly records: ModelRecord[];
}

class World {
  readonly #random: () => number;
  readonly #models = new Map<string, Model>();
  #dataDir: string;
  #storage: Storage | undefined;
  #sealing: Sealing | undefined;
  readonly #rangeCountMax: number;

  constructor(random: () => number, dataDir: string) {
    this.#random = random;
    this.#dataDir = dataDir;
    this.#rangeCountMax = 1 + this.#below(5);
  }

  get storage(): Storage {
    if (this.#storage === undefined) throw new Error("not open");
    return this.#storage;
  }

  async open(): Promise<void> {
    const storage = await openedStorage(
      this.#dataDir,
      ...["--wal-file-bytes", String(WAL_FILE_BYTES)],
      ...["--wal-slab-bytes", String(WAL_FILE_BYTES)],
      ...["--message-max-bytes", "200000"],
    );
    this.#storage = storage;
    this.#sealing = new Sealing({
      ...storage,
      clock: systemClock,
      logger: silentLogger,
      walDirectory: join(this.#dataDir, "wal"),
      rangeCountMax: this.#rangeCountMax,
      register: (segments) => registerRound(storage.meta, segments, this.#rangeCountMax),
    });
    if (storage.meta.topicCount > 0) return;
    for (const topicId of TOPIC_IDS) {
      const topic = { topicId, name: `t-${topicId}`, partitionCount: PARTITION_COUNT };
      await storage.meta.commit({
        kind: "topicCreated",
        topic: { ...topic, configs: {}, createdMs: 0 },
      });
    }
  }

  async close(): Promise<void> {
    this.#sealing?.stop();
    await this.#storage?.close(true);
    this.#storage = undefined;
  }

  /** Goes on with a copy of the files as they are: what a SIGKILL leaves. */
  async crash(): Promise<void> {
    const before = this.#dataDir;
    const copy = await temporaryDirectory();
    await cp(before, copy, { recursive: true });
    await this.close();
    await expectWhole(before);
    await expectWhole(copy);
    this.#dataDir = copy;
    await this.open();
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #place() {
    const topicId = TOPIC_IDS[this.#below(TOPIC_IDS.length)] ?? "";
    const index = this.#below(PARTITION_COUNT);
    const partition = this.storage.logs.partition(topicId, index);
    if (partition === undefined) throw new Error("the partition is gone");
    const key = `${topicId}/${index}`;
    const model = this.#models.get(key) ?? { logStartOffset: 0, batches: [], records: [] };
    this.#models.set(key, model);
    return { partition, model };
  }

  async append(): Promise<void> {
    const { wal, logs } = this.storage;
    let endAddress = 0;
    for (let count = 1 + this.#below(40); count > 0; count -= 1) {
      const { partition, model } = this.#place();
      const bytes = this.#batch();
      while (!wal.hasRoom(bytes.length)) await wal.whenRoom(bytes.length);
      const header = readBatchHeader(bytes, 0);
      const appended = logs.append(partition, { bytes, start: 0, end: bytes.length, header });
      endAddress = appended.endAddress;
      const stored = wal.viewOf(endAddress - bytes.length, bytes.length);
      if (stored === undefined) throw new Error("it has just been appended");
      model.batches.push(stored.slice());
      const times = this.#lastTimes;
      for (const [index, timestampMs] of times.entries()) {
        model.records.push({ offset: appended.baseOffset + index, timestampMs });
      }
    }
    await wal.whenDurable(endAddress);
  }

  #lastTimes: readonly number[] = [];

  #batch(): Uint8Array {
    const count = 1 + this.#below(5);
    // CreateTime comes out of order.
    this.#lastTimes = Array.from({ length: count }, () => 1000 + this.#below(100_000));
    const sizeBytes = this.#random() < 0.05 ? 90_000 : 1 + this.#below(3000);
    const records = this.#lastTimes.map((timestampMs, offset) => ({
      offset,
      timestampMs,
      key: null,
      value: Buffer.alloc(sizeBytes, 97 + this.#below(26)),
      headers: [],
      attributes: 0,
    }));
    return encodeBatch(batchOf(records));
  }

  /** Often what has just been written goes too. */
  async deleteRecords(): Promise<void> {
    const { partition, model } = this.#place();
    const { highWatermark, logStartOffset } = partition;
    if (highWatermark === logStartOffset) return;
    const isAll = this.#random() < 0.2;
    const offset = isAll
      ? highWatermark
      : logStartOffset + this.#below(highWatermark - logStartOffset);
    const { topicId } = partition.topic;
    const offsets = [{ partition: partition.index, offset }];
    await this.storage.meta.commit({ kind: "logStartOffsetsSet", topicId, offsets });
    model.logStartOffset = offset;
  }

  async seal(): Promise<void> {
    await this.#sealing?.seal();
  }

  /** A round may take only the oldest part. */
  async sealAll(): Promise<void> {
    while ((await this.#sealing?.seal()) !== undefined);
  }

  /** As maintenance does. */
  async release(): Promise<void> {
    const { wal, logs, checkpoint } = this.storage;
    const checkpointed = await checkpoint();
    const sequences = [checkpointed, wal.durableAddress].map((address) => fileSequenceOf(address));
    const needed = Math.min(logs.oldestLiveSequence ?? Number.POSITIVE_INFINITY, ...sequences);
    if (walAddressOf(needed, 0) > wal.startAddress) await wal.release(walAddressOf(needed, 0));
  }

  async read(): Promise<void> {
    const { partition, model } = this.#place();
    const endOffset = partition.highWatermark;
    expect(endOffset).toBe(model.records.length);
    const { logStartOffset } = model;
    expect(partition.logStartOffset).toBe(logStartOffset);
    if (endOffset === logStartOffset) return;
    const offset = logStartOffset + this.#below(endOffset - logStartOffset);
    const maxBytes = this.#random() < 0.3 ? 0 : this.#below(400_000);
    const limits = { offset, endOffset, maxBytes, isOneBatchDue: true };
    const batches = await readBatches(this.storage.tiers, partition, limits);
    const first = model.batches.findIndex((batch) => lastOffsetOf(batch) >= offset);
    const expected = model.batches.slice(first, first + batches.length);
    expect(batches.length).toBeGreaterThan(0);
    expect(Buffer.concat(batches).equals(Buffer.concat(expected))).toBe(true);
    const sizeBytes = batches.reduce((sum, batch) => sum + batch.length, 0);
    if (batches.length > 1) expect(sizeBytes).toBeLessThanOrEqual(maxBytes);
    expect(partition.availableBytes(offset, 100)).toBeGreaterThan(0);
  }

  /** Follows the log from its start to its end: no gap and no double. */
  async readAll(): Promise<void> {
    for (const partition of this.storage.logs.partitions()) {
      const model = this.#models.get(`${partition.topic.topicId}/${partition.index}`);
      const read: Uint8Array[] = [];
      const logStartOffset = model?.logStartOffset ?? 0;
      let offset = logStartOffset;
      const endOffset = partition.highWatermark;
      while (offset < endOffset) {
        const limits = { offset, endOffset, maxBytes: 100_000, isOneBatchDue: true };
        const batches = await readBatches(this.storage.tiers, partition, limits);
        read.push(...batches);
        offset = lastOffsetOf(batches.at(-1) ?? new Uint8Array(0)) + 1;
      }
      const expected =
        model?.batches.filter((batch) => lastOffsetOf(batch) >= logStartOffset) ?? [];
      expect(Buffer.concat(read).equals(Buffer.concat(expected))).toBe(true);
    }
  }

  async findTimes(): Promise<void> {
    const { partition, model } = this.#place();
    const records = model.records.slice(model.logStartOffset);
    const timestampMs = this.#below(103_000);
    const found = await firstRecordSince(this.storage.tiers, partition, timestampMs);
    expect(found).toEqual(records.find((record) => record.timestampMs >= timestampMs));
    const latest = await recordOfMaxTimestamp(this.storage.tiers, partition);
    const largestMs = Math.max(...records.map((record) => record.timestampMs));
    expect(latest).toEqual(records.find((record) => record.timestampMs === largestMs));
  }
}

function lastOffsetOf(batch: Uint8Array): number {
  const { baseOffset, lastOffsetDelta } = readBatchHeader(batch, 0);
  return baseOffset + lastOffsetDelta;
}

const directories: string[] = [];
async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-sealing-"));
  directories.push(directory);
  return directory;
}
afterEach(async () => {
  for (const directory of directories.splice(0)) await rm(directory, { recursive: true });
});

/** Some seconds of work, on a machine that others may use too. */
const TIMEOUT_MS = 60_000;
const seed = Number(Bun.env["SEED"] ?? Date.now() % 1_000_000);
test(
  `sealing: the log reads the same over all tiers, through restarts (SEED=${seed})`,
  async () => {
    const random = seededRandom(seed);
    const world = new World(random, await temporaryDirectory());
    await world.open();
    const steps: readonly (() => Promise<void>)[] = [
      ...[() => world.append(), () => world.append(), () => world.append()],
      ...[() => world.read(), () => world.read(), () => world.read(), () => world.findTimes()],
      ...[() => world.seal(), () => world.release()],
      ...[() => world.crash(), () => world.deleteRecords()],
      async () => {
        await world.close();
        await world.open();
      },
    ];
    for (let count = 0; count < STEP_COUNT; count += 1) {
      await steps[Math.floor(random() * steps.length)]?.();
    }
    await world.readAll();
    const sequence = fileSequenceOf(world.storage.wal.appendedAddress);
    while (fileSequenceOf(world.storage.wal.appendedAddress) < sequence + 2) await world.append();
    await world.sealAll();
    // A file that somebody reads at the moment goes a round later; what never goes ends the test by its limit.
    while (fileSequenceOf(world.storage.wal.startAddress) < sequence + 2) await world.release();
    await world.readAll();
    await world.close();
  },
  TIMEOUT_MS,
);

test("sealing: very many partitions become several segments, of which a crash may leave some", async () => {
  const dataDir = await temporaryDirectory();
  const storage = await openedStorage(dataDir);
  const topic = { topicId: TOPIC_IDS[0] ?? "", name: "wide", partitionCount: 7 };
  await storage.meta.commit({
    kind: "topicCreated",
    topic: { ...topic, configs: {}, createdMs: 0 },
  });
  const record = { offset: 0, timestampMs: 1, key: null, value: Buffer.from("v"), headers: [] };
  const bytes = encodeBatch(batchOf([{ ...record, attributes: 0 }]));
  const header = readBatchHeader(bytes, 0);
  for (const partition of storage.logs.partitions()) {
    const batch = { bytes: bytes.slice(), start: 0, end: bytes.length, header };
    await storage.wal.whenDurable(storage.logs.append(partition, batch).endAddress);
  }
  const sealingWith = (register: (segments: readonly SegmentFacts[]) => Promise<void>) =>
    new Sealing({
      ...{ ...storage, clock: systemClock, logger: silentLogger, register },
      walDirectory: join(dataDir, "wal"),
      rangeCountMax: 3,
    });
  // The second entry is never written.
  const cut = sealingWith(async (segments) => {
    await registerRound(storage.meta, segments.slice(0, 1), 3);
    throw new Error("power is out");
  });
  await expect(cut.seal()).rejects.toThrow("power is out");
  cut.stop();
  const whole = sealingWith((segments) => registerRound(storage.meta, segments, 3));
  const startAddress = storage.logs.partition(topic.topicId, 3)?.batches.runAt(0).address ?? 0;
  expect((await whole.seal())?.segments).toHaveLength(2);
  expect(await whole.seal()).toBeUndefined();
  whole.stop();
  const segments = [...storage.segments.index.segments()];
  const ranges = segments.map(({ segmentId }) => storage.segments.index.segment(segmentId)?.ranges);
  expect(ranges.map((of) => of?.map(({ partition }) => partition))).toEqual([
    [0, 1, 2],
    [3, 4, 5],
    [6],
  ]);
  // What the first attempt left lies within the second's range of the log.
  expect(segments.slice(1).every((facts) => facts.startAddress <= startAddress)).toBe(true);
  await storage.close(true);
  await expectWhole(dataDir);
});
