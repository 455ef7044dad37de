/** Recovery from files that are damaged on purpose: what is cut, what is refused, and in which words. */

import { expect, test } from "bun:test";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32c } from "../../src/core/native.ts";
import { writeInt32At } from "../../src/protocol/big-endian.ts";
import { filePositionOf, fileSequenceOf, walAddressOf } from "../../src/wal/wal-address.ts";
import { WalCorruptionError, WalVersionError } from "../../src/wal/wal-errors.ts";
import { walFileName } from "../../src/wal/wal-format.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { appendBatch, batchWith, inDirectory, openWal } from "./wal-fixture.ts";

/** Three groups, each with one batch; the WAL is left as a crash leaves it. */
async function threeGroups(directory: string): Promise<number[]> {
  const { wal } = await openWal(directory);
  const addresses: number[] = [];
  for (let index = 0; index < 3; index += 1) {
    addresses.push(await appendBatch(wal, batchWith(1000, index), { baseOffset: index }));
    await wal.whenDurable(wal.appendedAddress);
  }
  return addresses;
}

async function changeFile(path: string, change: (bytes: Buffer) => void): Promise<void> {
  const bytes = await readFile(path);
  change(bytes);
  await writeFile(path, bytes);
}

function flip(bytes: Buffer, position: number): void {
  bytes[position] = (bytes[position] ?? 0) ^ 0x10;
}

test.each([0, 1])("recovery: damage to group %d, which is known durable, is refused", (index) =>
  inDirectory(async (directory) => {
    const addresses = await threeGroups(directory);
    const path = join(directory, walFileName(1));
    const before = await readFile(path);
    for (const back of [-500, -1, 40, 100, 105]) {
      const position = filePositionOf(addresses[index] ?? 0) - back;
      await changeFile(path, (bytes) => flip(bytes, position));
      const opening = openWal(directory);
      await expect(opening).rejects.toThrow(WalCorruptionError);
      await expect(opening).rejects.toThrow(path);
      await writeFile(path, before);
    }
  }),
);

test("recovery: a damaged last group is the torn tail; it is cut and reported", () =>
  inDirectory(async (directory) => {
    const addresses = await threeGroups(directory);
    const path = join(directory, walFileName(1));
    const position = filePositionOf(addresses[2] ?? 0);
    await changeFile(path, (bytes) => flip(bytes, position + 500));
    const { wal, entries } = await openWal(directory);
    expect(entries.map((entry) => entry.baseOffset)).toEqual([0, 1]);
    expect(wal.recovery).toMatchObject({ isClean: false, cutBytes: 4096 });
    await appendBatch(wal, batchWith(10), { baseOffset: 2 });
    await wal.close();
    const again = await openWal(directory);
    expect(again.entries.map((entry) => entry.baseOffset)).toEqual([0, 1, 2]);
    await again.wal.close();
  }));

test("recovery: damage to the last group is refused when the log was quiet after it", () =>
  inDirectory(async (directory) => {
    const clock = new SimulatedClock();
    const { wal } = await openWal(directory, { clock });
    const address = await appendBatch(wal, batchWith(1000));
    await wal.whenDurable(address);
    const isMarked = new Promise<void>((resolve) => wal.onDurable(() => resolve()));
    clock.advance(1000);
    await isMarked;
    const path = join(directory, walFileName(1));
    await changeFile(path, (bytes) => flip(bytes, filePositionOf(address) + 500));
    await expect(openWal(directory)).rejects.toThrow(WalCorruptionError);
  }));

test("recovery: damage anywhere in a WAL that was closed is refused", () =>
  inDirectory(async (directory) => {
    const addresses = await threeGroups(directory);
    await (await openWal(directory)).wal.close();
    const path = join(directory, walFileName(1));
    await changeFile(path, (bytes) => flip(bytes, filePositionOf(addresses[2] ?? 0) + 500));
    await expect(openWal(directory)).rejects.toThrow(WalCorruptionError);
  }));

test("recovery: files that nobody needs at start are not read", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const addresses: number[] = [];
    for (let baseOffset = 0; baseOffset < 40; baseOffset += 1) {
      addresses.push(await appendBatch(wal, batchWith(7_000, baseOffset), { baseOffset }));
      await wal.whenDurable(wal.appendedAddress);
    }
    const [first = 0] = addresses;
    const walkStart = addresses.at(-1) ?? 0;
    const lastSequence = fileSequenceOf(walkStart);
    expect(lastSequence).toBeGreaterThanOrEqual(4);
    const path = join(directory, walFileName(1));
    await changeFile(path, (bytes) => flip(bytes, filePositionOf(first) + 500));
    await expect(openWal(directory)).rejects.toThrow(path);
    const again = await openWal(directory, { walkStart });
    const isWalked = (address: number): boolean => fileSequenceOf(address) >= lastSequence - 1;
    expect(again.entries.map(({ address }) => address)).toEqual(addresses.filter(isWalked));
    expect(again.wal.recovery.isClean).toBe(false);
    expect([again.wal.startAddress, again.wal.runNumber]).toEqual([wal.startAddress, 2]);
    await again.wal.close();
  }));

test("recovery: a missing file is named", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    for (let index = 0; index < 200; index += 1) await appendBatch(wal, batchWith(1000, index));
    await wal.close();
    const names = await readdir(directory);
    expect(names.length).toBeGreaterThan(3);
    await rm(join(directory, walFileName(2)));
    await expect(openWal(directory)).rejects.toThrow(walFileName(2));
    await rm(join(directory, walFileName(1)));
    await expect(openWal(directory, { startAddress: walAddressOf(1, 5000) })).rejects.toThrow(
      walFileName(1),
    );
  }));

test("recovery: files of a newer version are left alone", () =>
  inDirectory(async (directory) => {
    await threeGroups(directory);
    await changeFile(join(directory, walFileName(1)), (bytes) => {
      bytes[9] = 9;
      writeInt32At(bytes, 0, crc32c(bytes, 4, 64));
    });
    const opening = openWal(directory);
    await expect(opening).rejects.toThrow(WalVersionError);
    await expect(opening).rejects.toThrow("newer version");
  }));

test("recovery: other settings of slab and file are taken over", () =>
  inDirectory(async (directory) => {
    await threeGroups(directory);
    const larger = await openWal(directory, { slabBytes: 64 * 1024, fileBytes: 256 * 1024 });
    expect(larger.entries).toHaveLength(3);
    for (let index = 3; index < 40; index += 1) {
      await appendBatch(larger.wal, batchWith(9000, index), { baseOffset: index });
    }
    await larger.wal.close();
    const smaller = await openWal(directory, { fileBytes: 32 * 1024 });
    expect(smaller.entries).toHaveLength(40);
    for (let index = 40; index < 80; index += 1) {
      await appendBatch(smaller.wal, batchWith(3000, index), { baseOffset: index });
    }
    await smaller.wal.close();
    const { wal, entries } = await openWal(directory);
    expect(entries.map((entry) => entry.baseOffset)).toEqual([...Array(80).keys()]);
    await wal.close();
  }));
