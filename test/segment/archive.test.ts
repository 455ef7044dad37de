/** Archives: what is written is read, by us by range and by tar and gzip as a whole. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import { LocalFileSource } from "../../src/segment/archive-source.ts";
import { ArchiveWriter } from "../../src/segment/archive-writer.ts";
import "../seed.ts";
import {
  addFiles,
  archiveBytes,
  bytesOf,
  inDirectory,
  isContentOf,
  memorySource,
  noise,
  prose,
  readAll,
  storageError,
  type TestFile,
} from "./archive-fixture.ts";

const FIRST: readonly TestFile[] = [
  { name: "segment.json", content: prose(700, 1), chunkBytes: 65_536, compression: "deflate" },
  { name: "ranges.bin", content: noise(512, 2), chunkBytes: 65_536, compression: "stored" },
  { name: "offsets.bin", content: new Uint8Array(0), chunkBytes: 65_536, compression: "stored" },
  { name: "batches.log", content: noise(600_001, 3), chunkBytes: 262_144, compression: "stored" },
];
const SECOND: readonly TestFile[] = [
  { name: "index/a.term", content: prose(200_000, 4), chunkBytes: 65_536, compression: "deflate" },
  { name: "index/.b.json", content: prose(3, 5), chunkBytes: 65_536, compression: "stored" },
];

const fileLists = fc.uniqueArray(
  fc.record({
    name: fc.stringMatching(/^[a-z]{1,4}(\/[a-z_.-]?[a-z]{1,2}){0,2}$/),
    content: fc.oneof(
      fc.uint8Array({ maxLength: 700 }),
      fc.tuple(fc.nat(70_000), fc.nat(), fc.boolean()).map(([size, seed, isProse]) => {
        return isProse ? prose(size, seed) : noise(size, seed);
      }),
    ),
    chunkBytes: fc.integer({ min: 50, max: 40_000 }),
    compression: fc.constantFrom("stored" as const, "deflate" as const),
  }),
  { selector: ({ name }) => name, maxLength: 6 },
);

test("archive: any files, written in any pieces at any number of times, are read", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const property = fc.asyncProperty(
      fileLists,
      fc.nat(6),
      fc.integer({ min: 500, max: 100_000 }),
      async (files, firstCount, writeBytes) => {
        const created = await ArchiveWriter.create(systemDisk, path);
        const firstLength = await addFiles(created, files.slice(0, firstCount), writeBytes);
        const appended = await ArchiveWriter.append(systemDisk, path, firstLength);
        const lengthBytes = await addFiles(appended, files.slice(firstCount), writeBytes);
        const source = memorySource(await bytesOf(systemDisk, path));
        expect(isContentOf(await readAll(source, lengthBytes), files)).toBe(true);
        const before = await readAll(source, firstLength);
        expect(isContentOf(before, files.slice(0, firstCount))).toBe(true);
      },
    );
    await fc.assert(property, { numRuns: 60 });
  }));

test("archive: any range equals the source's, over the edges of blocks and chunks", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const chunkBytes = 100_000;
    const files: TestFile[] = [
      { name: "noise", content: noise(900_000, 7), chunkBytes, compression: "stored" },
      { name: "prose", content: prose(900_000, 8), chunkBytes, compression: "deflate" },
    ];
    const lengthBytes = await addFiles(await ArchiveWriter.create(systemDisk, path), files);
    const source = await LocalFileSource.open(systemDisk, path);
    const reader = await ArchiveReader.open(source, lengthBytes);
    const random = seededRandom(11);
    for (const { name, content } of files) {
      for (let round = 0; round < 150; round += 1) {
        // Near a multiple of 100,000 or 32,768 as often as anywhere.
        const edge = [1, 32_768, 100_000][round % 3] ?? 1;
        const around = Math.floor((random() * content.length) / edge) * edge;
        const position = Math.max(0, around - Math.floor(random() * 3));
        const sizeBytes = Math.floor(random() ** 3 * (content.length + 1 - position));
        const part = await reader.read(name, position, sizeBytes);
        expect(Buffer.compare(part, content.subarray(position, position + sizeBytes))).toBe(0);
      }
    }
    await source.close();
  }));

test("archive: adjacent chunks are one read, and only the chunks that are asked for are read", async () => {
  const bytes = await archiveBytes(FIRST, SECOND);
  const reads: number[] = [];
  const source = memorySource(bytes);
  const reader = await ArchiveReader.open(
    {
      name: "counted",
      readRange: (start, end) => {
        reads.push(end - start);
        return source.readRange(start, end);
      },
    },
    bytes.length,
  );
  expect(reads).toEqual([65_536]);
  await reader.read("batches.log", 0, 1);
  await reader.read("batches.log", 262_143, 2);
  await reader.read("batches.log", 0, 600_001);
  await reader.read("batches.log", 600_001, 0);
  const [chunk = 0, two = 0, all = 0, ...rest] = reads.slice(1);
  expect([chunk, two]).toEqual([262_144 + 58, 2 * (262_144 + 58)]);
  expect([all, rest]).toEqual([two + 75_713 + 18 + 3 * 5, []]);
  expect(reader.bytesRead).toBe(65_536 + chunk + two + all);
  const names = [...FIRST, ...SECOND].map(({ name }) => name);
  expect(reader.entries().map(({ name }) => name)).toEqual(names);
});

test("archive: what is not in it is refused", async () => {
  const bytes = await archiveBytes(FIRST);
  const reader = await ArchiveReader.open(memorySource(bytes), bytes.length);
  expect(await storageError(() => reader.read("batches", 0, 1))).toBe(
    "The archive archive-1 has no file batches.",
  );
  for (const [position, sizeBytes] of [
    [-1, 2],
    [0, -1],
    [0, 701],
    [701, 0],
    [Number.NaN, 1],
  ]) {
    const reading = () => reader.read("segment.json", position ?? 0, sizeBytes ?? 0);
    expect(await storageError(reading)).toContain("of segment.json: it ends at 700");
  }
});

test("archive: a small read of 64 MiB brings less than 600 KiB", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const writer = await ArchiveWriter.create(systemDisk, path);
    const sizeBytes = 64 * 1024 * 1024;
    const content = noise(1_000_003, 9);
    const byteAt = (position: number) => content[position % content.length];
    const options = { chunkBytes: 262_144, compression: "stored" } as const;
    await writer.beginFile({ name: "batches.log", sizeBytes, ...options });
    for (let position = 0; position < sizeBytes; position += content.length) {
      await writer.write(content.subarray(0, sizeBytes - position));
    }
    await writer.endFile();
    const { lengthBytes } = await writer.finish();
    const source = await LocalFileSource.open(systemDisk, path);
    const reader = await ArchiveReader.open(source, lengthBytes);
    const position = 200 * 262_144 - 50;
    const part = await reader.read("batches.log", position, 100);
    expect([...part]).toEqual([...part.keys()].map((index) => byteAt(position + index) ?? -1));
    expect(reader.bytesRead).toBeLessThan(600 * 1024);
    await source.close();
  }));

test("archive: 100,000 chunks, whose table is longer than the first read", async () => {
  const content = noise(1_000_000, 12);
  const bytes = await archiveBytes([
    { name: "many", content, chunkBytes: 10, compression: "stored" },
  ]);
  const reader = await ArchiveReader.open(memorySource(bytes), bytes.length);
  expect(reader.entries()[0]?.chunkCount).toBe(100_000);
  const part = await reader.read("many", 912_345, 2_000);
  expect(Buffer.compare(part, content.subarray(912_345, 914_345))).toBe(0);
});

test.each([
  ["fresh", [FIRST]],
  ["appended", [FIRST, SECOND]],
  ["twice appended", [FIRST, [], SECOND]],
  ["empty", [[]]],
])("archive: tar and gzip open a %s one without a word", (_, lists) =>
  inDirectory(async (directory) => {
    await Bun.write(join(directory, "archive.tar.gz"), await archiveBytes(...lists));
    const files = lists.flat();
    expect(await outputOf(directory, "gzip", "-t", "archive.tar.gz")).toBe("");
    const names = (await outputOf(directory, "tar", "tzf", "archive.tar.gz")).trim().split("\n");
    const expected = lists.flatMap((list) => [...list.map(({ name }) => name), "toc.bin"]);
    expect(names).toEqual(expected);
    expect(await outputOf(directory, "tar", "xzf", "archive.tar.gz")).toBe("");
    for (const { name, content } of files) {
      const unpacked = await Bun.file(join(directory, name)).bytes();
      expect(Buffer.compare(unpacked, content)).toBe(0);
    }
    const toc = await Bun.file(join(directory, "toc.bin")).bytes();
    expect(new DataView(toc.buffer).getUint32(12)).toBe(files.length);
  }),
);

/** What a program prints; nothing may be on stderr. */
async function outputOf(directory: string, ...command: string[]): Promise<string> {
  const ran = Bun.spawn(command, { cwd: directory, stdout: "pipe", stderr: "pipe" });
  const [output, errors] = await Promise.all([ran.stdout.text(), ran.stderr.text()]);
  expect([await ran.exited, errors]).toEqual([0, ""]);
  return output;
}
