/** Indexes in archives: read by range, through a bounded cache, with every checksum compared. */

import { afterAll, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  archiveStats,
  NativeError,
  openArchivedIndex,
  setArchiveCacheBytes,
} from "../../src/core/native.ts";

const directory = await mkdtemp(join(tmpdir(), "chronik-archive-index-"));
afterAll(() => rm(directory, { recursive: true }));

test("archived index: files that are no archive are errors", async () => {
  const path = join(directory, "none");
  expect(() => openArchivedIndex({ path, lengthBytes: 100 })).toThrow(NativeError);
  for (const lengthBytes of [0, 10, 63, 64, 1_000]) {
    await Bun.write(path, new Uint8Array(lengthBytes).fill(0x1f));
    expect(() => openArchivedIndex({ path, lengthBytes })).toThrow("unusable");
  }
  expect(() => openArchivedIndex({ path, lengthBytes: 2 ** 40 })).toThrow("unusable");
});

test("archive cache: its size can be set", () => {
  const { cacheBytesMax } = archiveStats();
  setArchiveCacheBytes(1_000);
  expect(archiveStats().cacheBytesMax).toBe(1_000);
  setArchiveCacheBytes(cacheBytesMax);
});
