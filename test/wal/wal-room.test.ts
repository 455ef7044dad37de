/** Limits of the WAL: the slab, the size bound, the disk; and files that are used again. */

import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { seededRandom } from "../../src/core/clock.ts";
import { WalFullError } from "../../src/wal/wal-errors.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";
import { appendBatch, batchWith, inDirectory, openWal } from "./wal-fixture.ts";

const NO_FAULTS = { syncFailure: 0, capacityBytes: Number.POSITIVE_INFINITY, sectorSurvival: 1 };

test("wal room: bytes that are not durable fill the slab, and batches wait", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const batch = batchWith(4000);
    let appended = 0;
    while (wal.hasRoom(batch.length)) {
      void appendBatch(wal, batch);
      appended += 1;
    }
    expect(appended).toBeGreaterThan(1);
    expect(appended).toBeLessThan(5);
    // Metadata has a share of its own.
    wal.appendMetadata(new Uint8Array(100));
    await wal.whenRoom(batch.length);
    expect(wal.hasRoom(batch.length)).toBe(true);
    await wal.close();
  }));

test("wal room: the size bound refuses batches, metadata goes on, freeing helps", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory, { walBytesMax: 3 * 64 * 1024 });
    const batch = batchWith(4000);
    const fill = async () => {
      for (;;) await wal.whenDurable(await appendBatch(wal, batch));
    };
    await expect(fill()).rejects.toThrow(WalFullError);
    await expect(fill()).rejects.toThrow("size bound");
    expect(wal.sizes().fileCount).toBe(2);
    for (let left = 10; left > 0; left -= 1) {
      await wal.whenDurable(wal.appendMetadata(new Uint8Array(1000)));
    }
    await wal.release(wal.durableAddress);
    await wal.whenDurable(await appendBatch(wal, batch));
    await wal.close();
  }));

test("wal room: freed files are used again, and their old entries never come back", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    let offset = 0;
    for (let round = 0; round < 12; round += 1) {
      for (let left = 20; left > 0; left -= 1) {
        await appendBatch(wal, batchWith(3000, offset), { baseOffset: offset });
        offset += 1;
      }
      await wal.whenDurable(wal.appendedAddress);
      await wal.release(wal.durableAddress);
    }
    const names = await readdir(directory);
    expect(names.length).toBeLessThan(6);
    const start = wal.startAddress;
    const { entries } = await openWal(directory);
    const offsets = entries.map((entry) => entry.baseOffset);
    expect(offsets.at(-1)).toBe(offset - 1);
    expect(offsets).toEqual(offsets.map((_, index) => (offsets[0] ?? 0) + index));
    expect(entries[0]?.address).toBeGreaterThanOrEqual(start);
  }));

test("wal room: a full disk refuses batches and stops nothing else", async () => {
  const capacityBytes = 150_000;
  const disk = new SimulatedDisk(seededRandom(1), { ...NO_FAULTS, capacityBytes });
  const clock = new SimulatedClock();
  const { wal, failures } = await openWal("wal", {
    disk: disk.process(),
    clock,
    diskFreeBytesMin: 1,
  });
  const fill = async () => {
    for (;;) await wal.whenDurable(await appendBatch(wal, batchWith(4000)));
  };
  await expect(fill()).rejects.toThrow("The disk is full");
  await wal.whenDurable(wal.appendMetadata(new Uint8Array(100)));
  expect(failures).toEqual([]);
  await wal.close();
});

test("wal: a failing disk fails everyone who waits, once and for all", async () => {
  const disk = new SimulatedDisk(seededRandom(1), { ...NO_FAULTS });
  const real = disk.process();
  let isFailing = false;
  const failing = {
    ...real,
    create: async (path: string, sizeBytes: number) => {
      const file = await real.create(path, sizeBytes);
      const writeDurably = file.writeDurably.bind(file);
      return {
        ...file,
        writeDurably: (bytes: Uint8Array, position: number) =>
          isFailing ? Promise.reject(new Error("broken")) : writeDurably(bytes, position),
      };
    },
  };
  const { wal, failures } = await openWal("wal", { disk: failing, clock: new SimulatedClock() });
  isFailing = true;
  const address = await appendBatch(wal, batchWith(100));
  await expect(wal.whenDurable(address)).rejects.toThrow("can't be written");
  expect(failures).toHaveLength(1);
  await expect(appendBatch(wal, batchWith(100))).rejects.toThrow("can't be written");
  expect(() => wal.appendMetadata(new Uint8Array(1))).toThrow("can't be written");
  expect(wal.durableAddress).toBeLessThan(address);
  await wal.close();
});

test("wal room: batches of half a slab, in a file as large as the slab", () =>
  inDirectory(async (directory) => {
    const sizes = { slabBytes: 64 * 1024, fileBytes: 64 * 1024 };
    const { wal } = await openWal(directory, sizes);
    for (let index = 0; index < 10; index += 1) {
      await appendBatch(wal, batchWith(wal.batchBytesLimit - 100, index), { baseOffset: index });
      if (index % 3 === 0) await appendBatch(wal, batchWith(10));
    }
    await wal.close();
    const { wal: again, entries } = await openWal(directory, sizes);
    expect(entries).toHaveLength(14);
    await again.close();
  }));
