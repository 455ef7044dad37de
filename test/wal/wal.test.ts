/** The WAL on the machine's own files: append, wait, read, reopen. */

import { expect, test } from "bun:test";
import { readInt32At, readInt64At } from "../../src/protocol/big-endian.ts";
import { KafkaError } from "../../src/protocol/errors.ts";
import { appendBatch, batchWith, inDirectory, openWal } from "./wal-fixture.ts";

test("wal: what was durable is there after a reopen, in order", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const addresses: number[] = [];
    for (let index = 0; index < 200; index += 1) {
      const batch = batchWith((index * 37) % 3000, index);
      addresses.push(await appendBatch(wal, batch, { partition: index % 5, baseOffset: index }));
      if (index % 7 === 0) await wal.whenDurable(wal.appendedAddress);
    }
    await wal.close();
    const again = await openWal(directory);
    expect(again.wal.recovery).toMatchObject({ isClean: true, cutBytes: 0, entryCount: 200 });
    expect(again.wal.runNumber).toBe(2);
    expect(again.entries.map((entry) => entry.address)).toEqual(addresses);
    for (const [index, entry] of again.entries.entries()) {
      const expected = batchWith((index * 37) % 3000, index);
      expect(entry).toMatchObject({ kind: "batch", version: 2, partition: index % 5 });
      expect(entry.baseOffset).toBe(index);
      expect(readInt64At(entry.payload, 0)).toBe(index);
      expect(readInt32At(entry.payload, 12)).toBe(3);
      expect(entry.payload.subarray(16)).toEqual(expected.subarray(16));
    }
    await again.wal.close();
  }));

test("wal: many small groups, and a reopen without a close", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    for (let index = 0; index < 50; index += 1) {
      await appendBatch(wal, batchWith(100, index), { baseOffset: index });
      await wal.whenDurable(wal.appendedAddress);
    }
    const again = await openWal(directory);
    expect(again.wal.recovery).toMatchObject({ isClean: false, entryCount: 50 });
    await appendBatch(again.wal, batchWith(10), { baseOffset: 50 });
    await again.wal.close();
    const third = await openWal(directory);
    expect(third.entries.map((entry) => entry.baseOffset)).toEqual([...Array(51).keys()]);
    expect(third.wal.recovery.isClean).toBe(true);
    await third.wal.close();
  }));

test("wal: bytes are readable from the slab, then from the file", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const first = batchWith(500, 1);
    const address = await appendBatch(wal, first);
    await wal.whenDurable(address);
    const view = wal.viewOf(address, first.length) ?? new Uint8Array(0);
    expect(Buffer.compare(view.subarray(16), first.subarray(16))).toBe(0);
    for (let index = 0; index < 20; index += 1) await appendBatch(wal, batchWith(1000, index));
    await wal.whenDurable(wal.appendedAddress);
    expect(wal.viewOf(address, first.length)).toBeUndefined();
    const target = new Uint8Array(first.length + 10);
    await wal.read(address, target, 10, first.length);
    expect(Buffer.compare(target.subarray(26), first.subarray(16))).toBe(0);
    await wal.close();
  }));

test("wal: a batch with a wrong CRC is refused and leaves no trace", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const bad = batchWith(100);
    bad[80] = (bad[80] ?? 0) ^ 1;
    await expect(appendBatch(wal, bad)).rejects.toThrow(KafkaError);
    await appendBatch(wal, batchWith(100), { baseOffset: 7 });
    await wal.close();
    const again = await openWal(directory);
    expect(again.entries.map((entry) => entry.baseOffset)).toEqual([7]);
    await again.wal.close();
  }));

test("wal: metadata lies between batches in order", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    await appendBatch(wal, batchWith(10));
    await wal.whenDurable(wal.appendMetadata(new TextEncoder().encode("topic created")));
    await appendBatch(wal, batchWith(10));
    await wal.close();
    const again = await openWal(directory);
    expect(again.entries.map((entry) => entry.kind)).toEqual(["batch", "metadata", "batch"]);
    expect(new TextDecoder().decode(again.entries[1]?.payload)).toBe("topic created");
    await again.wal.close();
  }));
