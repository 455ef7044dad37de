/** Checkpoints are written one after another: a crash in between leaves some that are older than others. */

import { expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Storage } from "../../src/broker-storage.ts";
import { nextTurn, systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { registerSegments } from "../../src/segment/registration.ts";
import { Sealing } from "../../src/segment/sealing.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { loadSegmentIndex } from "../../src/segment/segment-index-file.ts";
import { GatedDisk } from "./gated-disk.ts";
import { openedStorage, openedStorageOn } from "./opened-storage.ts";

const TOPIC_ID = Buffer.alloc(16, 1).toString("base64url");

function append({ logs }: Storage, baseSequence: number, index = 0) {
  const value = new Uint8Array(10);
  const record = { offset: 0, timestampMs: 1000, key: null, value, headers: [], attributes: 0 };
  const producer = { producerId: 1, producerEpoch: 0, baseSequence };
  const bytes = encodeBatch(batchOf([record], producer));
  const partition = logs.partition(TOPIC_ID, index);
  if (partition === undefined) throw new Error("the partition is gone");
  const header = readBatchHeader(bytes, 0);
  return logs.append(partition, { bytes, start: 0, end: bytes.length, header });
}

test("storage: a log keeps its end and its producers when the metadata's checkpoint is older than its own", async () => {
  const directory = await mkdtemp(join(tmpdir(), "chronik-checkpoints-"));
  try {
    const before = await openedStorage(join(directory, "before"));
    const topic = { topicId: TOPIC_ID, name: "t", partitionCount: 1, configs: {}, createdMs: 0 };
    await before.meta.commit({ kind: "topicCreated", topic });
    await before.meta.commit({ kind: "partitionsAdded", topicId: TOPIC_ID, partitionCount: 2 });
    for (const index of [0, 1]) {
      append(before, 0, index);
      await before.wal.whenDurable(append(before, 1, index).endAddress);
    }
    await before.checkpoint();
    await cp(join(directory, "before"), join(directory, "after"), { recursive: true });
    await before.close(true);
    // The power went after the logs' checkpoint and before the metadata's, of which this would be the first.
    await rm(join(directory, "after", "meta.checkpoint"));
    const after = await openedStorage(join(directory, "after"));
    for (const index of [0, 1]) {
      const partition = after.logs.partition(TOPIC_ID, index);
      expect(partition?.highWatermark).toBe(2);
      expect(partition?.epochs.epochAt(1)).toBe(before.identity.leaderEpoch);
      expect(append(after, 1, index)).toMatchObject({ isDuplicate: true, baseOffset: 1 });
      expect(append(after, 2, index)).toMatchObject({ isDuplicate: false, baseOffset: 2 });
    }
    await after.close(true);
  } finally {
    await rm(directory, { recursive: true });
  }
});

/** Registers segments, and writes a checkpoint at some moment of that. @returns what the checkpoint does */
type Interleaving = (world: {
  readonly storage: Storage;
  readonly gated: GatedDisk;
  readonly segments: readonly SegmentFacts[];
  /** Resolves when the index of segments has been written. */
  readonly whenIndexWritten: () => Promise<void>;
}) => Promise<number>;

const INTERLEAVINGS: Readonly<Record<string, Interleaving>> = {
  "begins while the entry is not durable": async (world) => {
    const { storage, gated, segments, whenIndexWritten } = world;
    gated.closeGate();
    const registering = registerSegments(storage.meta, segments);
    const checkpointing = storage.checkpoint();
    await whenIndexWritten();
    gated.openGate();
    await registering;
    return await checkpointing;
  },
  "begins when the entry is durable, and not applied yet": async ({ storage, segments }) => {
    const { promise, resolve } = Promise.withResolvers<number>();
    const { wal, meta } = storage;
    const address = wal.appendedAddress;
    let hasBegun = false;
    wal.onDurable((durableAddress) => {
      if (hasBegun || durableAddress <= address) return;
      hasBegun = true;
      resolve(storage.checkpoint());
    });
    await registerSegments(meta, segments);
    return await promise;
  },
  "has written the index before the entry comes": async (world) => {
    const { storage, gated, segments, whenIndexWritten } = world;
    gated.closeGate();
    append(storage, 2);
    const checkpointing = storage.checkpoint();
    await whenIndexWritten();
    const registering = registerSegments(storage.meta, segments);
    gated.openGate();
    await registering;
    return await checkpointing;
  },
  "begins when it is applied": async ({ storage, segments }) => {
    await registerSegments(storage.meta, segments);
    return await storage.checkpoint();
  },
};

test.each(Object.keys(INTERLEAVINGS))(
  "storage: a registration is not lost when a checkpoint %s",
  async (name) => {
    const directory = await mkdtemp(join(tmpdir(), "chronik-checkpoints-"));
    const gated = new GatedDisk();
    try {
      const dataDir = join(directory, "before");
      const storage = await openedStorageOn(gated.disk, dataDir);
      const topic = { topicId: TOPIC_ID, name: "t", partitionCount: 1, configs: {}, createdMs: 0 };
      await storage.meta.commit({ kind: "topicCreated", topic });
      await storage.wal.whenDurable(append(storage, 0).endAddress);
      await storage.wal.whenDurable(append(storage, 1).endAddress);
      const load = () => loadSegmentIndex(systemDisk, join(dataDir, "segments.index"));
      let neededFrom = -1;
      const sealing = new Sealing({
        ...{ ...storage, clock: systemClock, logger: silentLogger },
        walDirectory: join(dataDir, "wal"),
        register: async (segments) => {
          const whenIndexWritten = async (): Promise<void> => {
            while ((await load()) === undefined) await nextTurn();
          };
          const interleaving = INTERLEAVINGS[name];
          neededFrom =
            (await interleaving?.({ storage, gated, segments, whenIndexWritten })) ?? neededFrom;
        },
      });
      const round = await sealing.seal();
      expect(round?.segments.length).toBe(1);
      // What the checkpoint lets go of is in the index.
      expect(neededFrom).toBeLessThanOrEqual((await load())?.coveredEnd ?? -1);
      await cp(dataDir, join(directory, "after"), { recursive: true });
      sealing.stop();
      await storage.close(true);
      const after = await openedStorage(join(directory, "after"));
      for (const { segmentId } of round?.segments ?? []) {
        expect(after.segments.index.segment(segmentId)).toBeDefined();
      }
      await after.close(true);
    } finally {
      gated.openGate();
      await rm(directory, { recursive: true });
    }
  },
);
