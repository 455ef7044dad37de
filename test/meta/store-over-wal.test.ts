/** The metadata store over the real WAL: recovery with and without a checkpoint, files given back, lost files. */

import { expect, test } from "bun:test";
import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { readCheckpoint, writeCheckpoint } from "../../src/meta/checkpoint.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import { appendBatch, batchWith, inDirectory, openWal } from "../wal/wal-fixture.ts";
import { randomCommand, viewOf } from "./random-commands.ts";

async function openStore(directory: string) {
  const store = new LocalMetaStore();
  const checkpoint = join(directory, "meta.checkpoint");
  await readCheckpoint(systemDisk, checkpoint, store);
  const { wal } = await openWal(join(directory, "wal"), {
    slabBytes: 64 * 1024,
    startAddress: store.appliedEnd,
    onEntry: ({ kind, address, payload }) => {
      if (kind === "metadata") store.recover(address, payload);
    },
  });
  store.attach(wal);
  return { store, wal, writeCheckpoint: () => writeCheckpoint(systemDisk, checkpoint, store) };
}

/** What a crash leaves is what is on the disk now: a copy stands for it. */
async function crashCopy(directory: string): Promise<string> {
  const copy = `${directory}-crashed`;
  await rm(copy, { recursive: true, force: true });
  await cp(directory, copy, { recursive: true });
  return copy;
}

test("recovery: acknowledged commands survive a crash, from WAL and checkpoint", async () => {
  await inDirectory(async (directory) => {
    const random = seededRandom(7);
    const { store, wal, writeCheckpoint } = await openStore(directory);
    for (let count = 0; count < 120; count += 1) {
      await store.commit(randomCommand(store, random));
      await appendBatch(wal, batchWith(2_000, count));
      if (count % 25 === 10) await writeCheckpoint();
      if (count % 10 !== 0) continue;
      const copy = await crashCopy(directory);
      const reopened = await openStore(copy);
      expect(viewOf(reopened.store), `after ${count}`).toEqual(viewOf(store));
      await reopened.wal.close();
      await rm(copy, { recursive: true });
    }
    await wal.close();
  });
});

test("checkpoint: covers the log up to its durable end, also while only records are appended", async () => {
  await inDirectory(async (directory) => {
    const { store, wal, writeCheckpoint } = await openStore(directory);
    await store.commit(randomCommand(store, seededRandom(1)));
    const before = store.appliedEnd;
    for (let count = 0; count < 40; count += 1) {
      const address = await appendBatch(wal, batchWith(8_000, count));
      await wal.whenDurable(address + 8_000);
    }
    expect(store.appliedEnd).toBeGreaterThan(before);
    expect(store.appliedEnd).toBe(wal.durableAddress);
    await writeCheckpoint();
    const view = viewOf(store);
    const fileCount = wal.sizes().fileCount;
    await wal.release(store.appliedEnd);
    expect(wal.sizes().fileCount).toBeLessThan(fileCount);
    const copy = await crashCopy(directory);
    const reopened = await openStore(copy);
    expect(viewOf(reopened.store)).toEqual(view);
    await reopened.store.commit(randomCommand(reopened.store, seededRandom(2)));
    await reopened.wal.close();
    await wal.close();
    await rm(copy, { recursive: true });
  });
});

test("recovery: a WAL without the files that the checkpoint needs stops the start", async () => {
  await inDirectory(async (directory) => {
    const { store, wal, writeCheckpoint } = await openStore(directory);
    await store.commit(randomCommand(store, seededRandom(1)));
    await wal.close();
    await writeCheckpoint();
    await rm(join(directory, "wal"), { recursive: true });
    await expect(openStore(directory)).rejects.toThrow("missing");
  });
});
