/** The codecs: what goes in comes out, within a limit, and nothing else than a KafkaError otherwise. */
import { describe, expect, test } from "bun:test";
import { constants, createZstdCompress, gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import { snappyCompress } from "../../src/core/native.ts";
import { compress, decompress } from "../../src/protocol/compression.ts";
import { COMPRESSION_TYPES, compressionTypeOf } from "../../src/protocol/compression-type.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { codeOf } from "./error-code.ts";
import "../seed.ts";

const CODECS = COMPRESSION_TYPES.filter((type) => type !== "none");
const LIMIT_BYTES = 1 << 20;
const EMPTY_FRAME_BYTES = 9;

/** Compressible, but not trivially; 100,000 bytes, which is several blocks of every codec but zstd. */
const content = Uint8Array.from(
  { length: 100_000 },
  (_, index) => 97 + (((index * index) >> 7) % 13),
);

function concatenated(...parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** A zstd frame that does not announce its content, as stream writers make it. (Bun adds an empty frame.) */
async function zstdStream(bytes: Uint8Array): Promise<Uint8Array> {
  const stream = createZstdCompress({ params: { [constants.ZSTD_c_contentSizeFlag]: 0 } });
  stream.write(bytes.subarray(0, bytes.length / 2));
  stream.end(bytes.subarray(bytes.length / 2));
  return concatenated(...(await Array.fromAsync<Buffer>(stream)));
}

describe.each(CODECS)("compression: %s", (codec) => {
  test("what goes in comes out, and equal input gives equal output", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2_000 }), (bytes) => {
        const compressed = compress(codec, bytes);
        expect(decompress(codec, compressed)).toEqual(bytes);
        expect(compress(codec, bytes)).toEqual(compressed);
      }),
    );
    expect(decompress(codec, compress(codec, content))).toEqual(content);
  });

  test("content up to the limit passes, one byte more is MESSAGE_TOO_LARGE", () => {
    const compressed = compress(codec, content);
    expect(decompress(codec, compressed, content.length)).toHaveLength(content.length);
    const code = codeOf(() => decompress(codec, compressed, content.length - 1));
    expect(code).toBe(ErrorCode.messageTooLarge);
  });

  test("a bomb is MESSAGE_TOO_LARGE", () => {
    const bomb = compress(codec, new Uint8Array(64 * LIMIT_BYTES));
    expect(codeOf(() => decompress(codec, bomb, LIMIT_BYTES))).toBe(ErrorCode.messageTooLarge);
  });

  test("every cut is INVALID_RECORD, or what came before for framed Snappy, which has no end mark", () => {
    const compressed = compress(codec, content.subarray(0, 40_000));
    for (let length = 0; length < compressed.length; length += length < 200 ? 1 : 97) {
      const cut = compressed.subarray(0, length);
      let found = 0;
      const code = codeOf(() => {
        found = decompress(codec, cut, LIMIT_BYTES).length;
      });
      if (codec !== "snappy") expect(code, `${length}`).toBe(ErrorCode.invalidRecord);
      expect(found).toBeLessThan(40_000);
    }
  });

  test("no bit flip and no garbage gives another error or more than the limit", () => {
    const compressed = compress(codec, content.subarray(0, 500));
    const attempt = (bytes: Uint8Array): void => {
      const code = codeOf(() => {
        expect(decompress(codec, bytes, 1_000).length).toBeLessThanOrEqual(1_000);
      });
      expect([-99, ErrorCode.invalidRecord, ErrorCode.messageTooLarge]).toContain(code ?? -99);
    };
    for (let bit = 0; bit < compressed.length * 8; bit += 1) {
      const flipped = compressed.slice();
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      attempt(flipped);
    }
    fc.assert(fc.property(fc.uint8Array({ maxLength: 100 }), attempt));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (tail) => {
        attempt(concatenated(compressed.subarray(0, 20), tail));
      }),
    );
  });
});

test("compression: none hands its input through", () => {
  expect(compress("none", content)).toBe(content);
  expect(decompress("none", content, 0)).toBe(content);
});

test("compression: attribute numbers name the codecs, others are unsupported", () => {
  expect([0, 1, 2, 3, 4, 0x7f8 | 4].map(compressionTypeOf)).toEqual([...COMPRESSION_TYPES, "zstd"]);
  for (const attributes of [5, 6, 7]) {
    const code = codeOf(() => compressionTypeOf(attributes));
    expect(code).toBe(ErrorCode.unsupportedCompressionType);
  }
});

test("compression: a level is the codec's own", () => {
  for (const codec of ["gzip", "zstd"] as const) {
    expect(compress(codec, content, 9).length).toBeLessThan(compress(codec, content, 1).length);
    expect(decompress(codec, compress(codec, content, 9))).toEqual(content);
  }
});

test("compression: gzip members in a row are one content", () => {
  const members = concatenated(gzipSync(content), gzipSync("and more"));
  expect(decompress("gzip", members)).toHaveLength(content.length + 8);
  const code = codeOf(() => decompress("gzip", members, content.length));
  expect(code).toBe(ErrorCode.messageTooLarge);
});

describe("compression: Snappy", () => {
  const framed = compress("snappy", content);
  const lengthPosition = 16;

  test("a bare block is read too", () => {
    expect(decompress("snappy", snappyCompress(content))).toEqual(content);
  });

  test("streams in a row are one content", () => {
    expect(decompress("snappy", concatenated(framed, framed))).toHaveLength(2 * content.length);
  });

  test("a header without blocks is empty content", () => {
    expect(decompress("snappy", framed.subarray(0, lengthPosition))).toHaveLength(0);
  });

  test("block lengths that do not fit are INVALID_RECORD", () => {
    for (const length of [-1, -0x8000_0000, 0, 0x7fff_ffff, framed.length]) {
      const changed = framed.slice();
      new DataView(changed.buffer).setInt32(lengthPosition, length);
      expect(codeOf(() => decompress("snappy", changed))).toBe(ErrorCode.invalidRecord);
    }
  });

  test("a block that announces gigabytes is refused", () => {
    const announced = Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0x07, 0);
    expect(codeOf(() => decompress("snappy", announced))).toBe(ErrorCode.messageTooLarge);
  });
});

describe("compression: zstd", () => {
  const skippable = Uint8Array.of(0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3);

  test("a frame that does not announce its content is read, and limited", async () => {
    const stream = await zstdStream(content);
    expect(decompress("zstd", stream)).toEqual(content);
    const code = codeOf(() => decompress("zstd", stream, content.length - 1));
    expect(code).toBe(ErrorCode.messageTooLarge);
    const bomb = await zstdStream(new Uint8Array(64 * LIMIT_BYTES));
    expect(codeOf(() => decompress("zstd", bomb, LIMIT_BYTES))).toBe(ErrorCode.messageTooLarge);
    const frameBytes = stream.length - EMPTY_FRAME_BYTES;
    expect(decompress("zstd", stream.subarray(0, frameBytes))).toEqual(content);
    for (let length = 0; length < frameBytes; length += 1) {
      const cutCode = codeOf(() => decompress("zstd", stream.subarray(0, length), content.length));
      expect(cutCode).toBe(ErrorCode.invalidRecord);
    }
  });

  test("frames in a row, checksums and skippable frames are read", () => {
    const checked = zstdCompressSync(content, {
      params: { [constants.ZSTD_c_checksumFlag]: 1 },
    });
    const frames = concatenated(skippable, zstdCompressSync("one"), checked, skippable);
    expect(decompress("zstd", frames)).toHaveLength(3 + content.length);
    checked[checked.length - 1] = (checked.at(-1) ?? 0) ^ 1;
    expect(codeOf(() => decompress("zstd", checked))).toBe(ErrorCode.invalidRecord);
  });

  test("a frame that announces more than its blocks can hold is refused", () => {
    const lie = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xe0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0);
    expect(codeOf(() => decompress("zstd", lie))).toBe(ErrorCode.invalidRecord);
  });
});
