/** A partition's own sums: how much a fetch from an offset finds. */

import { expect, test } from "bun:test";
import { Partition } from "../../src/log/partition.ts";
import { NOTHING_SEALED } from "../../src/log/sealed-log.ts";
import { readBatchHeader } from "../../src/protocol/record-batch.ts";
import { ENTRY_HEADER_BYTES } from "../../src/wal/wal-format.ts";
import { batchWith } from "../wal/wal-fixture.ts";

/** 100 adjacent batches of one record: a single run. */
function partitionOfOneRun(): { partition: Partition; batchBytes: number } {
  const topicIdBytes = new Uint8Array(16);
  const partition = new Partition({ topicId: "id", topicIdBytes, name: "t" }, 0, NOTHING_SEALED);
  const bytes = batchWith(300);
  const header = readBatchHeader(bytes, 0);
  for (let baseOffset = 0; baseOffset < 100; baseOffset += 1) {
    partition.recover(
      {
        header: { ...header, baseOffset },
        leaderEpoch: 1,
        address: 4096 + baseOffset * (bytes.length + ENTRY_HEADER_BYTES),
        sizeBytes: bytes.length,
        isLegacy: false,
        isCheckpointed: false,
      },
      0,
    );
  }
  expect(partition.batches.runCount).toBe(1);
  return { partition, batchBytes: bytes.length };
}

test("partition: what lies before the offset in its run is not counted as available", () => {
  const { partition, batchBytes } = partitionOfOneRun();
  const within = 100 * (batchBytes + ENTRY_HEADER_BYTES);
  expect(partition.availableBytes(0, within)).toBeGreaterThanOrEqual(100 * batchBytes);
  const lastBytes = partition.availableBytes(99, within);
  expect(lastBytes).toBeGreaterThanOrEqual(batchBytes);
  expect(lastBytes).toBeLessThan(2 * batchBytes);
  expect(partition.availableBytes(100, within)).toBe(0);
  expect(partition.availableBytes(50, 10)).toBe(10);
});

test("partition: records that are deleted before the log is recovered stay deleted", () => {
  const topicIdBytes = new Uint8Array(16);
  const partition = new Partition({ topicId: "id", topicIdBytes, name: "t" }, 0, NOTHING_SEALED);
  partition.deleteRecordsBefore(15);
  expect([partition.logStartOffset, partition.logEndOffset]).toEqual([15, 15]);
  const header = { ...readBatchHeader(batchWith(300), 0), lastOffsetDelta: 9, producerId: 5 };
  const recover = (baseOffset: number): void => {
    const address = 4096 + baseOffset * 1000;
    const place = {
      leaderEpoch: 1,
      address,
      sizeBytes: 300,
      isLegacy: false,
      isCheckpointed: false,
    };
    const producer = { producerEpoch: 0, baseSequence: baseOffset };
    partition.recover({ header: { ...header, ...producer, baseOffset }, ...place }, 0);
  };
  // What is wholly deleted has no place, but its producer is known.
  recover(0);
  expect([partition.batches.runCount, partition.logEndOffset]).toEqual([0, 15]);
  expect(partition.producers.check({ ...header, producerEpoch: 0, baseSequence: 0 })).toEqual(
    expect.objectContaining({ baseOffset: 0 }),
  );
  recover(10);
  recover(20);
  expect([partition.batches.runCount, partition.logEndOffset]).toEqual([2, 30]);
  expect(partition.highWatermark).toBe(30);
  partition.deleteRecordsBefore(5);
  expect(partition.logStartOffset).toBe(15);
  partition.deleteRecordsBefore(25);
  expect([partition.deletedRunCount, partition.logStartOffset]).toEqual([1, 25]);
  partition.deleteRecordsBefore(30);
  expect(partition.deletedRunCount).toBe(2);
});
