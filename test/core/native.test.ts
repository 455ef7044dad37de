/** The codecs and the error boundary of the Rust shim. */
import { expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  crc32c,
  loadNative,
  lowerThreadPriority,
  lz4FrameCompress,
  lz4FrameDecompress,
  NativeError,
  panicForTest,
  snappyCompress,
  snappyDecompress,
} from "../../src/core/native.ts";

const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** CRC-32C bit by bit, as the definition says. */
function crc32cReference(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit += 1) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

test("crc32c: the check value of the standard, unsigned", () => {
  expect(crc32c(bytesOf("123456789"))).toBe(0xe3069283);
  expect(crc32c(new Uint8Array(0))).toBe(0);
});

test("crc32c: any range equals the bitwise definition, whole or in two parts", () => {
  const bytes = Uint8Array.from({ length: 300 }, (_, i) => (i * 31 + 7) & 255);
  for (let start = 0; start < bytes.length; start += 13) {
    const view = bytes.subarray(start);
    const expected = crc32cReference(view);
    expect(crc32c(bytes, start)).toBe(expected);
    expect(crc32c(view)).toBe(expected);
    const middle = start + ((bytes.length - start) >> 1);
    expect(crc32c(bytes, middle, bytes.length, crc32c(bytes, start, middle))).toBe(expected);
  }
});

test("crc32c: a range outside the bytes is refused", () => {
  expect(() => crc32c(new Uint8Array(4), 0, 5)).toThrow("outside");
  expect(() => crc32c(new Uint8Array(4), -1, 4)).toThrow("outside");
  expect(() => crc32c(new Uint8Array(4), 3, 2)).toThrow("outside");
});

for (const [name, compress, decompress] of [
  ["lz4", lz4FrameCompress, lz4FrameDecompress],
  ["snappy", snappyCompress, snappyDecompress],
] as const) {
  test(`${name}: bytes of any size survive`, () => {
    for (const length of [0, 1, 100, 65_536, 65_537, 1_000_000]) {
      const bytes = Uint8Array.from({ length }, (_, i) => (i * i) >> 3);
      expect(decompress(compress(bytes), length)).toEqual(bytes);
    }
  });

  test(`${name}: content above the limit, cuts and noise are errors`, () => {
    const packed = compress(new Uint8Array(1_000_000));
    expect(() => decompress(packed, 999_999)).toThrow("limit");
    for (let length = 1; length < Math.min(packed.length, 200); length += 1) {
      expect(() => decompress(packed.subarray(0, length), 1_000_000)).toThrow(NativeError);
    }
    expect(() => decompress(bytesOf("neither of them is this"), 1_000_000)).toThrow(NativeError);
  });
}

test("native: a panic in the library arrives as an error with its text", () => {
  expect(() => panicForTest("ünexpected")).toThrow("ünexpected");
  expect(() => panicForTest("again")).toThrow(NativeError);
  expect(crc32c(bytesOf("123456789"))).toBe(0xe3069283);
});

test("native: loading again does nothing, and leaves no copy behind", async () => {
  const directory = await mkdtemp(join(tmpdir(), "chronik-native-"));
  await loadNative({ fallbackDirectory: directory });
  await loadNative({ fallbackDirectory: directory });
  expect(await readdir(directory)).toEqual([]);
  await rm(directory, { recursive: true });
});

test("lowerThreadPriority: lowers only", () => {
  lowerThreadPriority(0);
});
