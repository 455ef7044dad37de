/** The checkpoint of the logs: what was written is read back, and damage is told, never taken for a log. */

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import {
  LogCheckpointError,
  readLogCheckpoint,
  writeLogCheckpoint,
} from "../../src/log/log-checkpoint.ts";
import { LogManager } from "../../src/log/log-manager.ts";
import type { PartitionState } from "../../src/log/partition.ts";
import { NOTHING_SEALED } from "../../src/log/sealed-log.ts";
import { fileSequenceOf, walAddressOf } from "../../src/wal/wal-address.ts";
import { inDirectory, openWal } from "../wal/wal-fixture.ts";

const TOPIC_ID = Buffer.alloc(16, 7).toString("base64url");
const goldenOf = (version: number): string =>
  resolve(import.meta.dir, `../fixtures/log/logs-v${version}.checkpoint`);

const STATES: readonly PartitionState[] = [
  { logEndOffset: 0, epochs: [], producers: [] },
  {
    logEndOffset: 2 ** 40,
    epochs: [
      { leaderEpoch: 1, startOffset: 0 },
      { leaderEpoch: 4, startOffset: 17 },
    ],
    producers: [
      {
        producerId: 2 ** 45,
        epoch: 3,
        lastSeenMs: 1_700_000_000_000,
        batches: [
          { baseSequence: 2 ** 31 - 1, lastSequence: 4, baseOffset: 10, lastOffset: 15 },
          { baseSequence: 5, lastSequence: 5, baseOffset: 16, lastOffset: 16 },
        ],
      },
      { producerId: 0, epoch: 0, lastSeenMs: -1, batches: [] },
    ],
  },
];

/** Writes what a log manager with these partitions has. @returns the file's bytes */
async function written(directory: string): Promise<Uint8Array> {
  const { wal } = await openWal(`${directory}/wal`);
  const options = { clock: systemClock, leaderEpoch: 9, batchIndexBytesMax: 1024 * 1024 };
  const logs = new LogManager({ ...options, sealed: NOTHING_SEALED });
  logs.ensureTopic({ topicId: TOPIC_ID, name: "t", partitionCount: STATES.length });
  for (const [partition, state] of STATES.entries()) {
    logs.restore({ topicId: TOPIC_ID, partition }, state);
  }
  const path = `${directory}/logs.checkpoint`;
  const coveredEnd = await writeLogCheckpoint(systemDisk, path, { logs, wal });
  expect(coveredEnd).toBe(wal.appendedAddress);
  expect(await readLogCheckpoint(systemDisk, path)).toEqual({
    // No batch lives in the log: the file that is being written is the first to be read.
    liveStart: walAddressOf(fileSequenceOf(coveredEnd), 0),
    partitions: STATES.map((state, partition) => ({
      ...{ topicId: TOPIC_ID, partition, coveredEnd, state },
    })),
  });
  await wal.close();
  return await Bun.file(path).bytes();
}

test("log checkpoint: what was written is read back", () =>
  inDirectory(async (directory) => {
    await written(directory);
  }));

test("log checkpoint: without a file there is nothing", async () => {
  expect(await readLogCheckpoint(systemDisk, "/nowhere/logs.checkpoint")).toEqual({
    liveStart: 0,
    partitions: [],
  });
});

test("log checkpoint: a cut or a changed byte is refused with the file's name", () =>
  inDirectory(async (directory) => {
    const bytes = await written(directory);
    const path = `${directory}/damaged`;
    const expectRefused = async (damaged: Uint8Array): Promise<void> => {
      await Bun.write(path, damaged);
      const error = await readLogCheckpoint(systemDisk, path).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(LogCheckpointError);
      expect(String(error)).toContain(path);
    };
    for (let at = 0; at < bytes.length; at += 1) {
      await expectRefused(bytes.subarray(0, at));
      const flipped = bytes.slice();
      flipped[at] = (flipped[at] ?? 0) ^ 0x10;
      await expectRefused(flipped);
    }
  }));

test.each([
  [1, 0],
  [2, 3 * 2 ** 32],
])("log checkpoint: one of version %d is read for ever", async (version, expectedStart) => {
  const { liveStart, partitions } = await readLogCheckpoint(systemDisk, goldenOf(version));
  expect(liveStart).toBe(expectedStart);
  expect(partitions.map(({ state }) => state)).toEqual([...STATES]);
  expect(partitions.map(({ topicId, partition }) => `${topicId}/${partition}`)).toEqual([
    `${TOPIC_ID}/0`,
    `${TOPIC_ID}/1`,
  ]);
});
