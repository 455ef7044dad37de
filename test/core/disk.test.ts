/** The machine's files through the one gateway. */

import { expect, test } from "bun:test";
import { chmod, mkdtemp, rm, utimes } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { blockingDisk } from "../../src/core/blocking-disk.ts";
import { DiskError, readWholeFile, replaceFile, systemDisk } from "../../src/core/disk.ts";

const DISKS = [
  ["thread pool", systemDisk],
  ["blocking", blockingDisk],
] as const;

async function inDirectory(use: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-disk-"));
  try {
    await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

test.each(DISKS)(
  "disk (%s): what is written in any way is read back, and the end is told",
  (_, disk) =>
    inDirectory(async (directory) => {
      const path = join(directory, "file");
      const file = await disk.create(path, 100);
      await file.write(new Uint8Array(10).fill(1), 0);
      await file.writeDurably(new Uint8Array(10).fill(2), 10);
      await file.sync();
      const target = new Uint8Array(40);
      expect(await file.read(target, 0)).toBe(40);
      expect([target[0], target[9], target[10], target[19], target[20]]).toEqual([1, 1, 2, 2, 0]);
      expect(await file.read(new Uint8Array(40), 90)).toBe(10);
      expect(await file.sizeBytes()).toBe(100);
      await file.resize(15);
      await file.resize(17);
      expect(await file.read(target, 13)).toBe(4);
      expect([...target.subarray(0, 4)]).toEqual([2, 2, 0, 0]);
      await file.close();
      const again = await disk.open(path, "read");
      await expect(again.write(new Uint8Array(1), 0)).rejects.toThrow(DiskError);
      await again.close();
    }),
);

test("disk: names are listed, renamed and removed", () =>
  inDirectory(async (directory) => {
    const nested = join(directory, "a", "b");
    await systemDisk.createDirectory(nested);
    await systemDisk.createDirectory(nested);
    await (await systemDisk.create(join(nested, "two"), 0)).close();
    await (await systemDisk.create(join(nested, "one"), 0)).close();
    expect(await systemDisk.list(nested)).toEqual(["one", "two"]);
    await systemDisk.rename({ from: join(nested, "one"), to: join(nested, "three") });
    await systemDisk.remove(join(nested, "two"));
    await systemDisk.syncDirectory(nested);
    expect(await systemDisk.list(nested)).toEqual(["three"]);
    expect(await systemDisk.list(join(nested, "missing"))).toEqual([]);
    expect(await systemDisk.freeBytes(nested)).toBeGreaterThan(0);
  }));

test("disk: a file's time is that of its last write", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "file");
    await expect(systemDisk.stat(path)).rejects.toThrow(DiskError);
    const file = await systemDisk.create(path, 0);
    await utimes(path, 1_000, 1_000);
    expect(await systemDisk.stat(path)).toEqual({ sizeBytes: 0, modifiedMs: 1_000_000 });
    await file.write(new Uint8Array(1), 0);
    const { sizeBytes, modifiedMs } = await systemDisk.stat(path);
    expect(sizeBytes).toBe(1);
    expect(modifiedMs).toBeGreaterThan(1_000_000);
    await file.close();
  }));

test("disk: a link gives a file another name, never that of another file", () =>
  inDirectory(async (directory) => {
    const [first, second] = [join(directory, "first"), join(directory, "second")];
    await replaceFile(systemDisk, first, new Uint8Array([1]));
    await systemDisk.link({ from: first, to: second });
    await systemDisk.remove(first);
    expect(await readWholeFile(systemDisk, second)).toEqual(new Uint8Array([1]));
    await replaceFile(systemDisk, first, new Uint8Array([2]));
    const taken = await systemDisk.link({ from: first, to: second }).catch((thrown) => thrown);
    expect(taken).toMatchObject({ kind: "exists" });
    expect(await readWholeFile(systemDisk, second)).toEqual(new Uint8Array([1]));
    await systemDisk.createDirectory(join(directory, "below"));
    expect(await systemDisk.entries(directory)).toEqual([
      { name: "below", isDirectory: true },
      { name: "first", isDirectory: false },
      { name: "second", isDirectory: false },
    ]);
    expect(await systemDisk.entries(join(directory, "missing"))).toEqual([]);
  }));

test("disk: a file is replaced as a whole", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "file");
    expect(await readWholeFile(systemDisk, path)).toBeUndefined();
    await replaceFile(systemDisk, path, new Uint8Array([1, 2, 3]));
    await replaceFile(systemDisk, path, new Uint8Array([4]));
    expect(await readWholeFile(systemDisk, path)).toEqual(new Uint8Array([4]));
    expect(await systemDisk.list(directory)).toEqual(["file"]);
  }));

test.each(DISKS)("disk (%s): errors say in one sentence what is wrong with which path", (_, disk) =>
  inDirectory(async (directory) => {
    const missing = join(directory, "missing", "file");
    const opening = disk.open(missing, "read");
    await expect(opening).rejects.toThrow(`${missing} does not exist.`);
    await expect(opening).rejects.toMatchObject({ kind: "missing" });
    expect(() => disk.lock(missing)).toThrow(DiskError);
    // A device that is always full stands for a full disk.
    const full = await disk.open("/dev/full", "readWrite");
    const writing = full.write(new Uint8Array(10), 0);
    await expect(writing).rejects.toMatchObject({ kind: "full" });
    await expect(writing).rejects.toThrow("The disk is full");
    await full.close();
  }),
);

test("disk: a directory without write permission is told", () =>
  inDirectory(async (directory) => {
    if (process.getuid?.() === 0) return; // Root may write everywhere.
    await chmod(directory, 0o500);
    const creating = systemDisk.create(join(directory, "file"), 0);
    await expect(creating).rejects.toMatchObject({ kind: "denied" });
    await chmod(directory, 0o700);
  }));

test("disk: a lock has one holder and is free after a release", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "lock");
    const lock = systemDisk.lock(path);
    expect(() => systemDisk.lock(path)).toThrow("is locked");
    lock.release();
    systemDisk.lock(path).release();
  }));

test("disk: a lock keeps other processes out and ends with its process, however it ends", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "lock");
    const gateway = join(import.meta.dir, "../../src/core/disk.ts");
    const script = `
      const { systemDisk } = await import(${JSON.stringify(gateway)});
      systemDisk.lock(${JSON.stringify(path)});
      // What nobody refers to is collected, but not a lock.
      Bun.gc(true);
      await null;
      Bun.gc(true);
      process.stdout.write("held");
      setInterval(() => {}, 1000);
    `;
    const holder = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
    try {
      await holder.stdout.getReader().read();
      expect(() => systemDisk.lock(path)).toThrow("is locked");
    } finally {
      holder.kill("SIGKILL");
      await holder.exited;
    }
    systemDisk.lock(path).release();
  }));
