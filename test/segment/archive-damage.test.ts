/** Damaged archives: the content, or an error that names archive and position; never other bytes. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { AssertionError } from "../../src/core/assert.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { crc32c } from "../../src/core/native.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import { decodeTrailer, encodeTrailer, TRAILER_BYTES } from "../../src/segment/archive-format.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import { ArchiveWriter } from "../../src/segment/archive-writer.ts";
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
  { name: "a", content: noise(150, 1), chunkBytes: 100, compression: "stored" },
  { name: "b", content: prose(300, 2), chunkBytes: 200, compression: "deflate" },
];
const SECOND: readonly TestFile[] = [
  { name: "index/c", content: noise(10, 3), chunkBytes: 100, compression: "stored" },
];

test("archive damage: a flipped byte gives the content or an error that says where", async () => {
  const bytes = await archiveBytes(FIRST, SECOND);
  let refused = 0;
  for (let position = 0; position < bytes.length; position += 1) {
    for (const mask of [1 << (position % 8), 0xff]) {
      const flipped = bytes.slice();
      flipped[position] = (flipped[position] ?? 0) ^ mask;
      const fault = await faultOf(flipped, flipped.length, [...FIRST, ...SECOND]);
      if (fault === undefined) continue;
      refused += 1;
      const [, where] = /^The archive archive-1 is corrupt at position (\d+): /.exec(fault) ?? [];
      const isNear = Number(where) <= position && Number(where) > position - 1_000;
      if (!isNear) throw new Error(`a byte at ${position} was flipped: ${fault}`);
    }
  }
  // Each chunk, the table of contents and the trailer, whatever the byte; tar's headers are for tar.
  const { tocPosition, tocMemberBytes } = trailerOf(bytes);
  expect(tocPosition + tocMemberBytes).toBeLessThan(bytes.length);
  expect(refused).toBeGreaterThan(2 * (tocMemberBytes + TRAILER_BYTES + 160));
});

test("archive damage: cut at any length, it is refused", async () => {
  const bytes = await archiveBytes(FIRST);
  for (let length = 0; length < bytes.length; length += 1) {
    const cut = bytes.slice(0, length);
    const early = await faultOf(cut, bytes.length, FIRST);
    expect(early).toBe(
      `The archive archive-1 is corrupt at position ${length}: it ends here, too early.`,
    );
    expect(await faultOf(cut, length, FIRST)).toContain("trailer");
  }
});

test("archive damage: what lies beyond the registered length means nothing", async () => {
  const bytes = await archiveBytes(FIRST);
  const longer = new Uint8Array(bytes.length + 500).fill(0x1f);
  longer.set(bytes);
  expect(await faultOf(longer, bytes.length, FIRST)).toBeUndefined();
  expect(await faultOf(longer, longer.length, FIRST)).toContain("no trailer");
});

test("archive damage: a table of contents that can't be where the trailer says is refused", async () => {
  const bytes = await archiveBytes(FIRST);
  const trailer = trailerOf(bytes);
  const wrong = [
    { ...trailer, tocPosition: trailer.tocPosition - 1 },
    { ...trailer, tocPosition: -1 },
    { ...trailer, tocPosition: 2 ** 40 },
    { ...trailer, tocMemberBytes: 0xffff_ffff },
    { ...trailer, tocBytes: 0xffff_ffff },
    { ...trailer, tocBytes: 0xffff_ffff, tocMemberBytes: 0xffff_ffff },
  ];
  for (const each of wrong) {
    const changed = bytes.slice();
    changed.set(encodeTrailer(each), bytes.length - TRAILER_BYTES);
    expect(await faultOf(changed, changed.length, FIRST)).toContain("can't be where it is said");
  }
});

test("archive damage: a chunk with the right checksum and the wrong form is refused", async () => {
  const bytes = await archiveBytes(FIRST);
  const reader = await ArchiveReader.open(memorySource(bytes), bytes.length);
  const { tocPosition, tocMemberBytes } = trailerOf(bytes);
  const rows = tocPosition + tocMemberBytes - 8 - reader.contents.chunkRows.length;
  for (const chunk of [0, 2]) {
    const changed = bytes.slice();
    const view = new DataView(changed.buffer);
    const row = rows + chunk * 16;
    const position = view.getUint32(row + 4);
    // The length of the content, the last byte of a member's footer.
    const memberBytes = view.getUint32(row + 8);
    changed[position + memberBytes - 1] = 1;
    view.setUint32(row + 12, crc32c(changed, position, position + memberBytes));
    const tocCrc = crc32c(changed, tocPosition, tocPosition + tocMemberBytes);
    const trailer = encodeTrailer({ ...trailerOf(bytes), tocCrc });
    changed.set(trailer, bytes.length - TRAILER_BYTES);
    expect(await faultOf(changed, changed.length, FIRST)).toBe(
      `The archive archive-1 is corrupt at position ${position}: a chunk has not the form of one.`,
    );
  }
});

test("archive append: what an append that was cut short left behind is cut", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const firstLength = await addFiles(await ArchiveWriter.create(systemDisk, path), FIRST);
    const first = await bytesOf(systemDisk, path);
    const halfway = await ArchiveWriter.append(systemDisk, path, firstLength);
    const content = noise(2_000_000, 4);
    const options = { sizeBytes: 3_000_000, chunkBytes: 262_144, compression: "stored" } as const;
    await halfway.beginFile({ name: "index/d", ...options });
    await halfway.write(content);
    expect(Bun.file(path).size).toBeGreaterThan(firstLength + 1_000_000);
    // The process dies here.
    const again = await ArchiveWriter.append(systemDisk, path, firstLength);
    expect(Bun.file(path).size).toBe(firstLength);
    const lengthBytes = await addFiles(again, SECOND);
    expect(await bytesOf(systemDisk, path)).toEqual(await archiveBytes(FIRST, SECOND));
    expect((await bytesOf(systemDisk, path)).subarray(0, firstLength)).toEqual(first);
    expect(lengthBytes).toBe(Bun.file(path).size);
  }));

test("archive append: refused where there is no such archive", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const lengthBytes = await addFiles(await ArchiveWriter.create(systemDisk, path), FIRST);
    for (const wrong of [lengthBytes - 1, lengthBytes + 1, 0]) {
      const opening = () => ArchiveWriter.append(systemDisk, path, wrong);
      expect(await storageError(opening)).toContain(`The archive ${path} is corrupt`);
    }
    expect(Bun.file(path).size).toBe(lengthBytes);
  }));

test("archive abort: a new one is gone, an old one is as before", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const options = { sizeBytes: 2_000_000, chunkBytes: 1_000, compression: "stored" } as const;
    const created = await ArchiveWriter.create(systemDisk, path);
    await created.beginFile({ name: "a", ...options });
    await created.write(noise(1_000_000, 5));
    await created.abort();
    expect(await systemDisk.list(directory)).toEqual([]);
    const lengthBytes = await addFiles(await ArchiveWriter.create(systemDisk, path), FIRST);
    const appended = await ArchiveWriter.append(systemDisk, path, lengthBytes);
    await appended.beginFile({ name: "z", ...options });
    await appended.write(noise(1_000_000, 6));
    await appended.abort();
    await appended.abort();
    expect(await bytesOf(systemDisk, path)).toEqual(await archiveBytes(FIRST));
  }));

test("archive writer: calls out of order, wrong sizes and wrong names are refused", () =>
  inDirectory(async (directory) => {
    const path = join(directory, "archive");
    const options = { name: "a", sizeBytes: 10, chunkBytes: 4, compression: "stored" } as const;
    const misuses: readonly ((writer: ArchiveWriter) => Promise<unknown>)[] = [
      (writer) => writer.write(new Uint8Array(1)),
      (writer) => writer.endFile(),
      (writer) => writer.beginFile({ ...options, name: "a/../../b" }),
      (writer) => writer.beginFile({ ...options, name: "x".repeat(101) }),
      (writer) => writer.beginFile({ ...options, name: "toc.bin" }),
      (writer) => writer.beginFile({ ...options, name: "taken" }),
      (writer) => writer.beginFile({ ...options, sizeBytes: 2 ** 40 + 1 }),
      (writer) => writer.beginFile({ ...options, chunkBytes: 0 }),
      (writer) => writer.beginFile({ ...options, chunkBytes: 2 ** 21 }),
      (writer) => Promise.all([writer.beginFile(options), writer.write(new Uint8Array(1))]),
      async (writer) => {
        await writer.beginFile(options);
        await writer.write(new Uint8Array(11));
      },
      async (writer) => {
        await writer.beginFile(options);
        await writer.write(new Uint8Array(9));
        await writer.endFile();
      },
      async (writer) => {
        await writer.beginFile(options);
        await writer.finish();
      },
    ];
    for (const misuse of misuses) {
      const writer = await ArchiveWriter.create(systemDisk, path);
      await writer.beginFile({ ...options, name: "taken", sizeBytes: 0 });
      await writer.endFile();
      await expect(misuse(writer)).rejects.toThrow(AssertionError);
      await writer.abort();
    }
    expect(await systemDisk.list(directory)).toEqual([]);
  }));

/** Why the archive is refused; undefined if its files are read, which then are `files`. */
async function faultOf(
  bytes: Uint8Array,
  lengthBytes: number,
  files: readonly TestFile[],
): Promise<string | undefined> {
  let contents: ReadonlyMap<string, Uint8Array>;
  try {
    contents = await readAll(memorySource(bytes), lengthBytes);
  } catch (thrown) {
    if (thrown instanceof KafkaError && thrown.code === ErrorCode.kafkaStorageError) {
      return thrown.message;
    }
    throw thrown;
  }
  if (!isContentOf(contents, files)) throw new Error("other bytes were read");
  return undefined;
}

function trailerOf(bytes: Uint8Array) {
  const position = bytes.length - TRAILER_BYTES;
  return decodeTrailer(bytes.subarray(position), { name: "archive-1", position });
}
