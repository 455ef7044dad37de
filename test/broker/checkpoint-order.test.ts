/** Checkpoints are written one after another: a crash in between leaves some that are older than others. */

import { expect, test } from "bun:test";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Storage } from "../../src/broker-storage.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { openedStorage } from "./opened-storage.ts";

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
