/** Indexes in archives: read by range, through a bounded cache, with every checksum compared. */

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import {
  closeIndex,
  FrozenIndex,
  freezeIndexes,
  LiveIndex,
  NativeError,
  openIndexNumbers,
  searchIndexes,
} from "../../src/core/native.ts";
import {
  archiveStats,
  mergeIndexes,
  openArchivedIndex,
  setArchiveCacheBytes,
} from "../../src/core/native-segments.ts";
import type { ShimSearchRequest } from "../../src/core/shim-query.ts";
import { ArchiveWriter, type ChunkCompression } from "../../src/segment/archive-writer.ts";
import { indexOf, packOf, type TestRecord } from "./packed-records.ts";

const directory = await mkdtemp(join(tmpdir(), "chronik-archive-index-"));
afterAll(async () => {
  for (const number of openIndexNumbers()) closeIndex(number);
  await rm(directory, { recursive: true });
});

setDefaultTimeout(30_000);

const CHUNK_BYTES = 64 * 1024;

/** A new archive with a file of batches, as sealing writes it. */
async function createArchive(path: string, batchesBytes = 1_000): Promise<number> {
  const writer = await ArchiveWriter.create(systemDisk, path);
  const options = { name: "batches.log", chunkBytes: 256 * 1024, compression: "stored" } as const;
  await writer.beginFile({ ...options, sizeBytes: batchesBytes });
  const block = new Uint8Array(1 << 20).fill(0x42);
  for (let left = batchesBytes; left > 0; left -= block.length) {
    await writer.write(block.subarray(0, left));
  }
  await writer.endFile();
  return (await writer.finish()).lengthBytes;
}

/** Adds an index's directory to an archive. @returns its new length */
async function appendIndex(
  archive: { readonly path: string; readonly lengthBytes: number },
  indexDirectory: string,
  options: {
    readonly name?: string;
    readonly compression?: ChunkCompression;
    readonly chunkBytes?: number;
  } = {},
): Promise<number> {
  const { name = "index", compression = "stored", chunkBytes = CHUNK_BYTES } = options;
  const writer = await ArchiveWriter.append(systemDisk, archive.path, archive.lengthBytes);
  for (const file of (await readdir(indexDirectory)).filter((one) => !one.startsWith("."))) {
    const bytes = await Bun.file(join(indexDirectory, file)).bytes();
    const sizeBytes = bytes.length;
    await writer.beginFile({ name: `${name}/${file}`, sizeBytes, chunkBytes, compression });
    await writer.write(bytes);
    await writer.endFile();
  }
  return (await writer.finish()).lengthBytes;
}

/** An index with thousands of records and words, frozen. */
function frozenOf(name: string, recordCount: number): string {
  const path = join(directory, name);
  const random = seededRandom(recordCount);
  using live = new LiveIndex();
  for (let offset = 0; offset < recordCount; offset += 1_000) {
    const records = Array.from({ length: 1_000 }, (_, index): TestRecord => {
      const words = Array.from({ length: 12 }, () => Math.floor(random() * 1e6).toString(36));
      return { key: `key-${offset + index}`, value: `${words.join(" ")} place${offset + index}` };
    });
    live.add(packOf(records, { baseOffset: offset, topic: offset % 2_000 === 0 ? "even" : "odd" }));
  }
  live.commit();
  freezeIndexes([live.number], path);
  return path;
}

const REQUESTS: readonly ShimSearchRequest[] = [
  { query: { kind: "all" }, size: 100, sort: [{ by: "offset", order: "desc" }] },
  { query: { kind: "match", field: "_value", text: "place777 place4242" }, size: 10 },
  { query: { kind: "term", field: "_key", value: "key-4999" }, size: 10 },
  { query: { kind: "prefix", field: "_value", value: "place49" }, size: 1_000 },
  { query: { kind: "wildcard", field: "_key", pattern: "*99" }, size: 1_000 },
  { query: { kind: "term", field: "_topic", value: "odd" }, size: 5, from: 100 },
  { query: { kind: "all" }, size: 20, sort: [{ by: "field", field: "_topic", order: "desc" }] },
  {
    query: { kind: "match", field: "_value", text: "place777 place4242" },
    size: 0,
    aggregations: {
      topics: { terms: { field: "values:_topic" } },
      keys: { terms: { field: "values:_key" } },
      offsets: { stats: { field: "number:_offset" } },
    },
  },
];

const frozenPath = frozenOf("frozen", 6_000);

test("archived index: it answers as the directory it was made from", async () => {
  using frozen = new FrozenIndex(frozenPath);
  const variants = [
    { compression: "stored" },
    { compression: "deflate" },
    { compression: "stored", chunkBytes: 1_000 },
    { compression: "deflate", chunkBytes: 40_000 },
  ] as const;
  for (const [index, options] of variants.entries()) {
    const path = join(directory, `same-${index}`);
    const old = { path, lengthBytes: await createArchive(path) };
    expect(() => openArchivedIndex(old)).toThrow("there is none");
    const lengthBytes = await appendIndex(old, frozenPath, options);
    using archived = openArchivedIndex({ path, lengthBytes, isVerified: true });
    expect(archived.stats()).toEqual(frozen.stats());
    for (const request of REQUESTS) {
      const found = searchIndexes([archived.number], request);
      expect(found.total).toBeGreaterThan(0);
      expect(found).toEqual(searchIndexes([frozen.number], request));
    }
    expect(() => openArchivedIndex(old)).toThrow("there is none");
  }
});

test("archived index: it merges as any other, and outlives its file's name", async () => {
  const path = join(directory, "merged-from");
  const lengthBytes = await appendIndex(
    { path, lengthBytes: await createArchive(path) },
    frozenPath,
  );
  using archived = openArchivedIndex({ path, lengthBytes });
  await rm(path);
  const target = join(directory, "merged");
  const keep = { kind: "topics", topicIds: ["id-of-odd"] } as const;
  const stats = mergeIndexes({ sources: [archived.number], directory: target, keep });
  expect(stats).toMatchObject({ documentCount: 3_000, topicIds: ["id-of-odd"] });
  using merged = new FrozenIndex(target, { isVerified: true });
  const request = { query: { kind: "term", field: "_topic", value: "odd" }, size: 10 } as const;
  expect(searchIndexes([merged.number], request).total).toBe(3_000);
});

test("archived index: of two indexes the later one counts", async () => {
  const path = join(directory, "twice");
  const target = join(directory, "second");
  using second = indexOf([{ value: "second" }]);
  freezeIndexes([second.number], target);
  const first = await appendIndex({ path, lengthBytes: await createArchive(path) }, frozenPath);
  const lengthBytes = await appendIndex({ path, lengthBytes: first }, target, { name: "index-2" });
  using archived = openArchivedIndex({ path, lengthBytes, isVerified: true });
  expect(archived.stats().documentCount).toBe(1);
  using old = openArchivedIndex({ path, lengthBytes: first });
  expect(old.stats().documentCount).toBe(6_000);
});

test("archived index: a cold search reads a small part of a large archive", async () => {
  const path = join(directory, "large");
  const recordCount = 20_000;
  const large = frozenOf("large-index", recordCount);
  // As much again in batches: what they are does not matter here.
  const batchesBytes = 16 * 2 ** 20;
  const old = { path, lengthBytes: await createArchive(path, batchesBytes) };
  const lengthBytes = await appendIndex(old, large);
  await rm(large, { recursive: true });
  const before = archiveStats().bytesRead;
  using archived = openArchivedIndex({ path, lengthBytes });
  const opened = archiveStats().bytesRead;
  const query = { kind: "match", field: "_value", text: "place777" } as const;
  expect(searchIndexes([archived.number], { query, size: 10 }).total).toBe(1);
  const cold = archiveStats().bytesRead;
  expect(opened - before).toBeLessThan(lengthBytes * 0.02);
  expect(cold - before).toBeLessThan(lengthBytes * 0.05);
  expect(searchIndexes([archived.number], { query, size: 10 }).total).toBe(1);
  expect(archiveStats().bytesRead - cold).toBe(0);
});

test("archived index: a word on a JSON path is found without reading the column of whole strings", async () => {
  const path = join(directory, "strings");
  const random = seededRandom(7);
  const strings = Array.from({ length: 8_000 }, (_, index) => {
    const words = Array.from({ length: 6 }, () => Math.floor(random() * 1e9).toString(36));
    return `${words.join(" ")} place${index}`;
  });
  using live = indexOf(strings.map((text) => ({ value: JSON.stringify({ text }) })));
  const frozen = join(directory, "strings-index");
  freezeIndexes([live.number], frozen);
  const lengthBytes = await appendIndex({ path, lengthBytes: await createArchive(path) }, frozen);
  const readBytesOf = (value: string): number => {
    using archived = openArchivedIndex({ path, lengthBytes });
    const before = archiveStats().bytesRead;
    const query = { kind: "term", field: "text", value } as const;
    expect(searchIndexes([archived.number], { query, size: 10 }).total).toBe(1);
    return archiveStats().bytesRead - before;
  };
  const columnBytes = strings.join("").length / 2;
  expect(readBytesOf(strings[777] ?? "")).toBeGreaterThan(columnBytes);
  expect(readBytesOf("place777")).toBeLessThan(columnBytes);
});

test("archive cache: it stays within its size, and goes with the index", async () => {
  const path = join(directory, "cached");
  const lengthBytes = await appendIndex(
    { path, lengthBytes: await createArchive(path) },
    frozenPath,
    { chunkBytes: 4_000 },
  );
  const { cacheBytesMax, cacheBytes } = archiveStats();
  const archived = openArchivedIndex({ path, lengthBytes });
  for (const bytesMax of [20_000, 100_000, 0, 1_000_000]) {
    setArchiveCacheBytes(bytesMax);
    for (const request of REQUESTS) {
      expect(searchIndexes([archived.number], request).total).toBeGreaterThan(0);
      expect(archiveStats().cacheBytes).toBeLessThanOrEqual(bytesMax);
    }
  }
  expect(archiveStats().cacheBytes).toBeGreaterThan(0);
  archived.close();
  expect(archiveStats().cacheBytes).toBeLessThanOrEqual(cacheBytes);
  setArchiveCacheBytes(cacheBytesMax);
  expect(archiveStats().cacheBytesMax).toBe(cacheBytesMax);
});

test("archived index: damage anywhere is told, or does not matter", async () => {
  const path = join(directory, "damaged");
  using small = indexOf([{ key: "k", value: "quick brown fox" }]);
  const smallPath = join(directory, "small");
  freezeIndexes([small.number], smallPath);
  const old = await createArchive(path);
  const lengthBytes = await appendIndex({ path, lengthBytes: old }, smallPath, { chunkBytes: 100 });
  const bytes = await Bun.file(path).bytes();
  let toldCount = 0;
  for (let position = 0; position < bytes.length; position += 13) {
    const damaged = bytes.slice();
    damaged[position] = (damaged[position] ?? 0) ^ 0x10;
    await Bun.write(path, damaged);
    try {
      openArchivedIndex({ path, lengthBytes, isVerified: true }).close();
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(NativeError);
      expect(String(thrown)).not.toContain("panic");
      toldCount += 1;
    }
  }
  // Tar headers, padding and the batches are not the index's.
  expect(toldCount).toBeGreaterThan((bytes.length - old) / 13 / 3);
  for (let length = 0; length < bytes.length; length += 101) {
    await Bun.write(path, bytes.subarray(0, length));
    expect(() => openArchivedIndex({ path, lengthBytes })).toThrow("unusable");
    expect(() => openArchivedIndex({ path, lengthBytes: length })).toThrow("unusable");
  }
});

test("archived index: damage that a search meets is told, and the other indexes are searched", async () => {
  const path = join(directory, "damaged-later");
  const lengthBytes = await appendIndex(
    { path, lengthBytes: await createArchive(path) },
    frozenPath,
    { chunkBytes: 1_000 },
  );
  const bytes = await Bun.file(path).bytes();
  using archived = openArchivedIndex({ path, lengthBytes });
  await Bun.write(path, new Uint8Array(bytes.length));
  using frozen = new FrozenIndex(frozenPath);
  const reason = expect.stringContaining("corrupt");
  for (const request of REQUESTS.slice(1)) {
    const { failures, ...found } = searchIndexes([frozen.number, archived.number], request);
    expect(failures).toEqual([{ index: archived.number, reason }]);
    expect(found).toEqual(searchIndexes([frozen.number], request));
  }
  await Bun.write(path, bytes);
  for (const request of REQUESTS) {
    expect(searchIndexes([archived.number], request).failures).toBeUndefined();
  }
});

test("archived index: files that are no archive are errors", async () => {
  const path = join(directory, "none");
  expect(() => openArchivedIndex({ path, lengthBytes: 100 })).toThrow(NativeError);
  for (const lengthBytes of [0, 10, 63, 64, 1_000]) {
    await Bun.write(path, new Uint8Array(lengthBytes).fill(0x1f));
    expect(() => openArchivedIndex({ path, lengthBytes })).toThrow("unusable");
  }
  expect(() => openArchivedIndex({ path, lengthBytes: 2 ** 40 })).toThrow("unusable");
});
