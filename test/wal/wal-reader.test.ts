/** The reader for Workers, beside a WAL that is open. */

import { expect, test } from "bun:test";
import type { Wal } from "../../src/wal/wal.ts";
import { WalFreedError } from "../../src/wal/wal-errors.ts";
import { WalReader } from "../../src/wal/wal-reader.ts";
import { appendBatch, batchWith, inDirectory, openWal } from "./wal-fixture.ts";

test("wal-reader: reads everything durable from any place on", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const addresses = await fill(wal, 300);
    const reader = new WalReader({ directory });
    const all = await readFrom(reader, wal.startAddress, wal.durableAddress);
    expect(all).toEqual(addresses);
    for (let index = 0; index < addresses.length; index += 13) {
      const from = addresses[index] ?? 0;
      const found = await readFrom(reader, from, wal.durableAddress);
      expect(found).toContain(from);
      expect(found).toEqual(addresses.slice(-found.length));
    }
    await wal.close();
  }));

test("wal-reader: goes on where it ended", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    const reader = new WalReader({ directory });
    let next = wal.startAddress;
    const found: number[] = [];
    const expected: number[] = [];
    for (let round = 0; round < 30; round += 1) {
      expected.push(...(await fill(wal, 1 + (round % 11))));
      for await (const chunk of reader.entriesFrom(next, wal.durableAddress)) {
        for (const entry of chunk.entries) found.push(entry.address);
        next = chunk.endAddress;
      }
      expect(next).toBe(wal.durableAddress);
    }
    expect(found).toEqual(expected);
    await wal.close();
  }));

test("wal-reader: a freed file is told from a damaged one", () =>
  inDirectory(async (directory) => {
    const { wal } = await openWal(directory);
    await fill(wal, 300);
    const unpin = wal.pin(wal.startAddress);
    const start = wal.startAddress;
    await wal.release(wal.durableAddress);
    expect(wal.startAddress).toBe(start);
    unpin();
    await wal.release(wal.durableAddress);
    expect(wal.startAddress).toBeGreaterThan(start);
    const reader = new WalReader({ directory });
    await expect(readFrom(reader, start, wal.durableAddress)).rejects.toThrow(WalFreedError);
    const kept = await readFrom(reader, wal.startAddress, wal.durableAddress);
    expect(kept.length).toBeGreaterThan(0);
    await wal.close();
  }));

async function fill(wal: Wal, count: number): Promise<number[]> {
  const addresses: number[] = [];
  for (let index = 0; index < count; index += 1) {
    addresses.push(await appendBatch(wal, batchWith((index * 61) % 2000, index)));
    if (index % 5 === 0) await wal.whenDurable(wal.appendedAddress);
  }
  await wal.whenDurable(wal.appendedAddress);
  return addresses;
}

async function readFrom(reader: WalReader, from: number, end: number): Promise<number[]> {
  const addresses: number[] = [];
  for await (const chunk of reader.entriesFrom(from, end)) {
    for (const entry of chunk.entries) addresses.push(entry.address);
  }
  return addresses;
}
