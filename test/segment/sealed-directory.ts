/** A data directory with sealed segments and records that are still in the WAL, as a stopped broker leaves it. */

import { join } from "node:path";
import { startManifests } from "../../src/broker-manifests.ts";
import type { Storage } from "../../src/broker-storage.ts";
import { systemClock } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { registerSegments } from "../../src/segment/registration.ts";
import { Sealing } from "../../src/segment/sealing.ts";
import { openedStorage } from "../broker/opened-storage.ts";

const TOPIC_IDS = [1, 2].map((byte) => Buffer.alloc(16, byte).toString("base64url"));
const PARTITION_COUNT = 2;
const WAL_FILE_BYTES = 4 * 1024 * 1024;

/** Two rounds are sealed; of each partition some batches are not. */
export async function makeSealedDirectory(dataDir: string): Promise<void> {
  const storage = await openedStorage(
    dataDir,
    ...["--wal-file-bytes", String(WAL_FILE_BYTES)],
    ...["--wal-slab-bytes", String(WAL_FILE_BYTES)],
    ...["--message-max-bytes", "200000"],
  );
  const manifests = startManifests({
    ...{ storage, clock: systemClock, logger: silentLogger, metrics: createMetrics("test") },
    config: { walIndexingIntervalSecs: 1 },
  });
  const sealing = new Sealing({
    ...storage,
    clock: systemClock,
    logger: silentLogger,
    walDirectory: join(dataDir, "wal"),
    register: (segments) => registerSegments(storage.meta, segments),
  });
  for (const [number, topicId] of TOPIC_IDS.entries()) {
    const topic = { topicId, name: `t-${number}`, partitionCount: PARTITION_COUNT };
    await storage.meta.commit({
      kind: "topicCreated",
      topic: { ...topic, configs: {}, createdMs: 0 },
    });
  }
  for (let round = 0; round < 3; round += 1) {
    await append(storage, 40);
    if (round < 2) await sealing.seal();
    if (round === 0) await storage.checkpoint();
  }
  sealing.stop();
  await manifests.stop();
  await storage.close(true);
}

async function append({ wal, logs }: Storage, batchCount: number): Promise<void> {
  let endAddress = 0;
  for (let count = 0; count < batchCount; count += 1) {
    const topicId = TOPIC_IDS[count % 3 === 0 ? 1 : 0] ?? "";
    const partition = logs.partition(topicId, count % PARTITION_COUNT);
    if (partition === undefined) throw new Error("the partition is gone");
    const bytes = batchNumber(count);
    const header = readBatchHeader(bytes, 0);
    const appended = logs.append(partition, { bytes, start: 0, end: bytes.length, header });
    endAddress = appended.endAddress;
  }
  await wal.whenDurable(endAddress);
}

/** Some are large, so that ranges have rows. */
function batchNumber(number: number): Uint8Array {
  const records = Array.from({ length: 1 + (number % 4) }, (_, offset) => ({
    offset,
    timestampMs: 1000 + ((number * 37 + offset) % 91),
    key: null,
    value: Buffer.alloc(number % 5 === 0 ? 40_000 : 300, 97 + (number % 26)),
    headers: [],
    attributes: 0,
  }));
  return encodeBatch(batchOf(records));
}
