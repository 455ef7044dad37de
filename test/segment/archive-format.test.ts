/** Trailer and table of contents of an archive: what was written is read, and anything else is refused. */

import { expect, test } from "bun:test";
import { crc32c } from "../../src/core/native.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import {
  decodeTrailer,
  encodeTrailer,
  TRAILER_BYTES,
  type Trailer,
} from "../../src/segment/archive-format.ts";
import {
  CHUNK_ROW_BYTES,
  chunkPlace,
  decodeTableOfContents,
  encodeTableOfContents,
  faultOfName,
  type TableOfContents,
  writeChunkPlace,
} from "../../src/segment/archive-toc.ts";

const PLACE = { name: "segment-1", position: 12_345 };
const TRAILER: Trailer = {
  tocPosition: 2 ** 41 + 77,
  tocMemberBytes: 4_000_000_000,
  tocBytes: 3_999_999_000,
  tocCrc: 0xfedcba98,
};

test("archive trailer: what was written is read", () => {
  const bytes = encodeTrailer(TRAILER);
  expect(bytes.length).toBe(TRAILER_BYTES);
  expect(decodeTrailer(bytes, PLACE)).toEqual(TRAILER);
  expect(Bun.gunzipSync(Uint8Array.from(bytes)).length).toBe(0);
});

test("archive trailer: any changed bit and any cut is refused", () => {
  const bytes = encodeTrailer(TRAILER);
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const flipped = bytes.slice();
    flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    expect(storageError(() => decodeTrailer(flipped, PLACE))).toStartWith(
      "The archive segment-1 is corrupt at position 12345: ",
    );
  }
  for (let length = 0; length < bytes.length; length += 1) {
    expect(storageError(() => decodeTrailer(bytes.subarray(0, length), PLACE))).toContain(
      "no trailer",
    );
  }
});

test("archive trailer: a newer version is told", () => {
  const bytes = encodeTrailer(TRAILER);
  bytes[25] = 2;
  const view = new DataView(bytes.buffer);
  view.setUint32(46, crc32c(bytes, 0, 46));
  expect(storageError(() => decodeTrailer(bytes, PLACE))).toBe(
    "The archive segment-1 has format 2, of a newer version of this program. Use that version.",
  );
});

test("archive toc: what was written is read", () => {
  const toc = smallToc();
  const decoded = decodeTableOfContents(encodeTableOfContents(toc), archiveOf(5_000));
  expect(decoded.entries).toEqual(toc.entries);
  expect(decoded.chunkRows).toEqual(toc.chunkRows);
  expect(chunkPlace(decoded.chunkRows, 1)).toEqual({ position: 662, memberBytes: 30, crc: 8 });
});

test("archive toc: rows that can't be true are refused", () => {
  const good = encodeTableOfContents(smallToc());
  const wrong: readonly (readonly [position: number, byte: number, reason: string])[] = [
    [0, 0x41, "no table of contents"],
    [9, 2, "newer version"],
    [15, 4, "length of its rows"],
    [19, 4, "length of its rows"],
    [12, 0xff, "length of its rows"],
    [24, 0x2f, "is not made of"],
    [24 + 100, 0x80, "impossible size"],
    [24 + 100, 0x02, "impossible size"],
    [24 + 107, 250, "has not its chunks"],
    [24 + 111, 1, "has not its chunks"],
    [24 + 115, 3, "has not its chunks"],
    [24 + 116, 1, "impossible chunks"],
    [24 + 119, 0, "impossible chunks"],
    [24 + 384 + 11, 0, "can't be where"],
    [24 + 384 + 11, 200, "can't be where"],
    [24 + 384 + 16 + 7, 0, "can't be where"],
    [24 + 384 + 32 + 4, 1, "chunks lie behind the end"],
  ];
  for (const [position, byte, reason] of wrong) {
    const bytes = good.slice();
    bytes[position] = byte;
    const decode = () => decodeTableOfContents(bytes, archiveOf(5_000));
    expect(storageError(decode), `byte ${position} = ${byte}`).toContain(reason);
  }
});

test("archive toc: names that lead elsewhere are told", () => {
  for (const name of ["a", "segment.json", "index/0a.term", ".managed.json", "x".repeat(100)]) {
    expect(faultOfName(name)).toBeUndefined();
  }
  const bad = ["", "/a", "a/", "a//b", "..", "../a", "a/..", "a..b", ".", "./a", "a/./b", "a\0"];
  for (const name of [...bad, "a b", "ä", "a\n", "x".repeat(101), "toc.bin"]) {
    expect(faultOfName(name)).toBeString();
  }
});

/** Three files: two chunks, none, one. */
function smallToc(): TableOfContents {
  const chunkRows = new Uint8Array(3 * CHUNK_ROW_BYTES);
  writeChunkPlace(chunkRows, 0, { position: 540, memberBytes: 122, crc: 7 });
  writeChunkPlace(chunkRows, 1, { position: 662, memberBytes: 30, crc: 8 });
  writeChunkPlace(chunkRows, 2, { position: 2_000, memberBytes: 25, crc: 9 });
  return {
    entries: [
      { name: "a", sizeBytes: 150, chunkBytes: 100, firstChunk: 0, chunkCount: 2 },
      { name: "c", sizeBytes: 0, chunkBytes: 100, firstChunk: 2, chunkCount: 0 },
      { name: "d/e", sizeBytes: 10, chunkBytes: 10, firstChunk: 2, chunkCount: 1 },
    ],
    chunkRows,
  };
}

function archiveOf(tocPosition: number) {
  return { name: "segment-1", trailer: { ...TRAILER, tocPosition } };
}

function storageError(action: () => unknown): string {
  try {
    action();
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    expect(thrown.code).toBe(ErrorCode.kafkaStorageError);
    return thrown.message;
  }
  throw new Error("nothing was thrown");
}
