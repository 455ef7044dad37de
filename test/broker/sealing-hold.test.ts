/** What a round of sealing writes is known to those who sweep unknown objects, before it is registered. */

import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { registerSegments } from "../../src/segment/registration.ts";
import { Sealing } from "../../src/segment/sealing.ts";
import { sealSegments } from "../../src/segment/sealing-job.ts";
import type { SealCommand } from "../../src/segment/sealing-messages.ts";
import { simulatedWorkers } from "../simulation/simulated-worker.ts";
import { openedStorage } from "./opened-storage.ts";

const TOPIC_ID = Buffer.alloc(16, 1).toString("base64url");

test("sealing: its segments are held from the start of the round until they are registered", async () => {
  const dataDir = await mkdtemp(join(tmpdir(), "chronik-hold-"));
  try {
    const storage = await openedStorage(dataDir);
    const { meta, logs, wal, segments } = storage;
    const topic = { topicId: TOPIC_ID, name: "t", partitionCount: 1, configs: {}, createdMs: 0 };
    await meta.commit({ kind: "topicCreated", topic });
    const partition = logs.partition(TOPIC_ID, 0);
    if (partition === undefined) throw new Error("the partition is gone");
    const record = { offset: 0, timestampMs: 1, key: null, headers: [], attributes: 0 };
    const bytes = encodeBatch(batchOf([{ ...record, value: new Uint8Array(9) }]));
    const batch = { bytes, start: 0, end: bytes.length, header: readBatchHeader(bytes, 0) };
    await wal.whenDurable(logs.append(partition, batch).endAddress);
    const held: boolean[] = [];
    const sealing = new Sealing({
      ...{ ...storage, clock: systemClock, logger: silentLogger, walDirectory: `${dataDir}/wal` },
      register: async (added) => {
        held.push(...added.map(({ segmentId }) => segments.isHeld(segmentId)));
        await registerSegments(meta, added);
      },
      createWorker: simulatedWorkers({
        disk: systemDisk,
        lifeOf: () => undefined,
        job: async (disk, message) => {
          const command = message as SealCommand;
          held.push(...command.segments.map(({ segmentId }) => segments.isHeld(segmentId)));
          return { kind: "sealed", segments: await sealSegments(disk, command) };
        },
      }),
    });
    const round = await sealing.seal();
    expect(held).toEqual([true, true]);
    const isStillHeld = round?.segments.map(({ segmentId }) => segments.isHeld(segmentId));
    expect(isStillHeld).toEqual([false]);
    await storage.close(true);
  } finally {
    await rm(dataDir, { recursive: true });
  }
});
