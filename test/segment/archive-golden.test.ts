/**
 * An archive of every format version opens for ever: a new version gets a new file beside the old ones.
 * `REWRITE=1 bun test <this file>` writes it again, for a format that is not released.
 */

import { expect, test } from "bun:test";
import { resolve } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import {
  archiveBytes,
  bytesOf,
  isContentOf,
  memorySource,
  noise,
  prose,
  readAll,
  type TestFile,
} from "./archive-fixture.ts";

const V1 = resolve(import.meta.dir, "../fixtures/segment/archive-v1.tar.gz");
/** Noise is stored in any case, so no other version of libdeflate can change the bytes of these. */
const CREATED: readonly TestFile[] = [
  { name: "segment.json", content: prose(900, 1), chunkBytes: 65_536, compression: "stored" },
  { name: "offsets.bin", content: new Uint8Array(0), chunkBytes: 65_536, compression: "stored" },
  { name: "batches.log", content: noise(1_500, 2), chunkBytes: 1_024, compression: "deflate" },
];
const APPENDED: readonly TestFile[] = [
  { name: "index/meta.json", content: prose(40_000, 3), chunkBytes: 32_769, compression: "stored" },
  { name: "index/a.store", content: prose(1_500, 4), chunkBytes: 1_024, compression: "deflate" },
];

if (Bun.env["REWRITE"] === "1") await Bun.write(V1, await archiveBytes(CREATED, APPENDED));

test("golden: archive-v1.tar.gz opens", async () => {
  const bytes = await bytesOf(systemDisk, V1);
  const contents = await readAll(memorySource(bytes), bytes.length);
  expect(isContentOf(contents, [...CREATED, ...APPENDED])).toBe(true);
  const { entries } = (await ArchiveReader.open(memorySource(bytes), bytes.length)).contents;
  expect(entries.map(({ chunkCount }) => chunkCount)).toEqual([1, 0, 2, 2, 2]);
});

test("golden: archive-v1.tar.gz is what the writer writes", async () => {
  const created = await archiveBytes(CREATED);
  const golden = await bytesOf(systemDisk, V1);
  expect(Buffer.compare(golden.subarray(0, created.length), created)).toBe(0);
});
