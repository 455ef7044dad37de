/** The log manager: who is told when the WAL has become durable. */

import { expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { LogManager } from "../../src/log/log-manager.ts";
import { NOTHING_SEALED } from "../../src/log/sealed-log.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { batchWith, inDirectory, openWal } from "../wal/wal-fixture.ts";

const PARTITION_COUNT = 50;
const TOPIC_ID = Buffer.alloc(16, 7).toString("base64url");

test("log manager: one sync calls a waiter of many partitions once", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const logs = new LogManager({
      clock: systemClock,
      leaderEpoch: 1,
      batchIndexBytesMax: 1024 * 1024,
      sealed: NOTHING_SEALED,
    });
    logs.attach(wal);
    logs.ensureTopic({ topicId: TOPIC_ID, name: "t", partitionCount: PARTITION_COUNT });
    let syncCount = 0;
    let callCount = 0;
    wal.onDurable(() => {
      syncCount += 1;
    });
    const waiter = (): void => {
      callCount += 1;
    };
    const bytes = batchWith(10);
    const batch = { bytes, start: 0, end: bytes.length, header: readBatchHeader(bytes, 0) };
    let endAddress = 0;
    for (const partition of logs.partitions()) {
      partition.waiters.add(waiter);
      endAddress = logs.append(partition, batch).endAddress;
    }
    await wal.whenDurable(endAddress);
    for (const partition of logs.partitions()) expect(partition.highWatermark).toBe(1);
    expect(callCount).toBeGreaterThan(0);
    expect(callCount).toBeLessThanOrEqual(syncCount);
    await wal.close();
  }));
