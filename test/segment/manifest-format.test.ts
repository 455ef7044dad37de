/**
 * The bytes of the manifest's objects. `REWRITE=1 bun test <this file>` writes the golden file again, for a format that
 * is not released.
 */

import { beforeAll, expect, test } from "bun:test";
import { resolve } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { crc32c, loadNative } from "../../src/core/native.ts";
import { writeInt32At } from "../../src/protocol/big-endian.ts";
import {
  decodeManifest,
  decodeManifestHeader,
  EMPTY_CONTENT,
  encodeManifest,
  type ManifestContent,
  type ManifestHeader,
  ManifestVersionError,
  manifestKeyOf,
  parseManifestKey,
} from "../../src/segment/manifest-format.ts";
import { decodeSegmentFacts } from "../../src/segment/segment-facts.ts";
import { bytesOf } from "./archive-fixture.ts";

const V1 = resolve(import.meta.dir, "../fixtures/segment/manifest-v1.bin");
const HEADER_CRC_POSITION = 73;

const [TOPIC, OTHER, SEGMENT, REMOVED, CLUSTER] = [1, 2, 3, 4, 5].map((byte) =>
  Buffer.alloc(16, byte).toString("base64url"),
) as [string, string, string, string, string];

const HEADER: ManifestHeader = {
  kind: "delta",
  generation: 42,
  link: 41,
  clusterId: CLUSTER,
  createdMs: 1_700_000_000_000,
  coveredEnd: 2 ** 32 + 77,
  sealedEnd: 2 ** 32 + 33,
};

const CONTENT: ManifestContent = {
  topics: [{ topicId: TOPIC, name: "orders-ä" }],
  logStarts: [{ topicId: TOPIC, partition: 3, offset: 17 }],
  deletedTopics: [{ topicId: OTHER, endAddress: 99 }],
  removedIds: [REMOVED],
  added: [
    {
      ...{ segmentId: SEGMENT, level: 1, createdMs: 5, lengthBytes: 4_000 },
      ...{ startAddress: 7, endAddress: 2 ** 32 + 33, searchIndex: null },
      ranges: [
        {
          ...{ topicId: TOPIC, partition: 3, startOffset: 10, endOffset: 20, position: 0 },
          ...{ sizeBytes: 900, minTimestampMs: 1, maxTimestampMs: 2, batchCount: 2 },
          ...{ recordCount: 10, rowStart: 0, rowCount: 0 },
        },
      ],
    },
  ],
};

beforeAll(async () => {
  await loadNative();
  if (Bun.env["REWRITE"] === "1") await Bun.write(V1, encodeManifest(HEADER, CONTENT));
});

function decoded(bytes: Uint8Array): { header: ManifestHeader; content: ManifestContent } {
  const { header, content, segments } = decodeManifest(bytes);
  return { header, content: { ...content, added: segments.map(decodeSegmentFacts) } };
}

test("manifest format: what was written is read, of each kind", () => {
  for (const kind of ["part", "full", "delta"] as const) {
    const header = { ...HEADER, kind };
    for (const content of [CONTENT, EMPTY_CONTENT]) {
      const bytes = encodeManifest(header, content);
      expect(decoded(bytes)).toEqual({ header, content });
      expect(decodeManifestHeader(bytes)).toEqual(header);
    }
  }
});

test("manifest format: the golden file of version 1 is read", async () => {
  expect(decoded(await bytesOf(systemDisk, V1))).toEqual({
    header: HEADER,
    content: CONTENT,
  });
});

test("manifest format: every cut and every changed byte is refused", () => {
  const bytes = encodeManifest(HEADER, CONTENT);
  for (let length = 0; length < bytes.length; length += 1) {
    expect(() => decodeManifest(bytes.subarray(0, length))).toThrow();
    const changed = bytes.slice();
    changed[length] = (changed[length] ?? 0) ^ 4;
    expect(() => decodeManifest(changed)).toThrow();
  }
  expect(() => decodeManifest(Buffer.concat([bytes, new Uint8Array(1)]))).toThrow();
});

test("manifest format: a later version is refused as one", () => {
  const bytes = encodeManifest(HEADER, CONTENT);
  writeInt32At(bytes, 8, 2);
  writeInt32At(bytes, HEADER_CRC_POSITION, crc32c(bytes, 0, HEADER_CRC_POSITION) | 0);
  expect(() => decodeManifest(bytes)).toThrow(ManifestVersionError);
});

test("manifest format: keys are in the order of generations, and tell them", () => {
  const keys = [manifestKeyOf(9), manifestKeyOf(9, 0), manifestKeyOf(9, 12), manifestKeyOf(10)];
  expect(keys.toSorted()).toEqual(keys);
  expect(keys.map(parseManifestKey)).toEqual([
    { generation: 9, part: undefined },
    { generation: 9, part: 0 },
    { generation: 9, part: 12 },
    { generation: 10, part: undefined },
  ]);
  expect(parseManifestKey("manifests/9")).toBeUndefined();
  expect(parseManifestKey(`${SEGMENT}.tar.gz`)).toBeUndefined();
});
