/** Fields that a version does not have: defaults on reading, refusal or silence on writing. */
import { expect, test } from "bun:test";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import {
  type FetchRequestInput,
  readFetchRequest,
  writeFetchRequest,
} from "../../src/protocol/generated/fetch-request.ts";
import { writeMetadataRequest } from "../../src/protocol/generated/metadata-request.ts";
import {
  readProduceRequest,
  writeProduceRequest,
} from "../../src/protocol/generated/produce-request.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { uuidOf, ZERO_UUID } from "../../src/protocol/uuid.ts";
import { Writer } from "../../src/protocol/writer.ts";

const FETCH: FetchRequestInput = { maxWaitMs: 500, minBytes: 1, topics: [] };

function written(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.bytesWritten();
}

function codeOf(write: (writer: Writer) => void): ErrorCode | undefined {
  try {
    written(write);
  } catch (thrown) {
    if (thrown instanceof KafkaError) return thrown.code;
    throw thrown;
  }
  return undefined;
}

test("fields: what is left out is written and read as its default", () => {
  for (const version of [0, 4, 12, 18]) {
    const bytes = written((writer) => writeFetchRequest(writer, FETCH, version));
    expect(readFetchRequest(new Reader(bytes), version)).toMatchObject({
      ...FETCH,
      clusterId: null,
      replicaId: -1,
      maxBytes: 0x7fffffff,
      sessionEpoch: -1,
      rackId: "",
      replicaState: { replicaId: -1, replicaEpoch: -1 },
    });
  }
});

test("fields: a value that the version cannot carry is refused", () => {
  const forgotten = { ...FETCH, forgottenTopicsData: [{ topic: "a", partitions: [1] }] };
  expect(codeOf((writer) => writeFetchRequest(writer, forgotten, 7))).toBeUndefined();
  expect(codeOf((writer) => writeFetchRequest(writer, forgotten, 6))).toBe(
    ErrorCode.unsupportedVersion,
  );
  const follower = { ...FETCH, replicaState: { replicaId: 3 } };
  expect(codeOf((writer) => writeFetchRequest(writer, follower, 14))).toBe(
    ErrorCode.unsupportedVersion,
  );
});

test("fields: an ignorable value is left out silently", () => {
  const withRack = { ...FETCH, rackId: "rack", sessionId: 5 };
  const bytes = written((writer) => writeFetchRequest(writer, withRack, 6));
  expect(bytes).toEqual(written((writer) => writeFetchRequest(writer, FETCH, 6)));
});

test("fields: null in a version that cannot say so is refused", () => {
  expect(codeOf((writer) => writeMetadataRequest(writer, { topics: null }, 1))).toBeUndefined();
  expect(codeOf((writer) => writeMetadataRequest(writer, { topics: null }, 0))).toBe(
    ErrorCode.unsupportedVersion,
  );
});

test("fields: a topic is named by its name or its id, as the version has it", () => {
  const topicId = uuidOf(
    Uint8Array.from({ length: 16 }, (_, index) => index),
    0,
  );
  const request = {
    acks: -1,
    timeoutMs: 1,
    topicData: [{ name: "a", topicId, partitionData: [] }],
  };
  for (const [version, expected] of [
    [12, { name: "a", topicId: ZERO_UUID }],
    [13, { name: "", topicId }],
  ] as const) {
    const bytes = written((writer) => writeProduceRequest(writer, request, version));
    expect(readProduceRequest(new Reader(bytes), version).topicData[0]).toMatchObject(expected);
  }
});

test("fields: a tagged field of a later version is kept and written back", () => {
  const unknownTaggedFields = [{ tag: 1, bytes: Uint8Array.of(1, 2, 3) }];
  const request = { ...FETCH, clusterId: "c", unknownTaggedFields };
  const bytes = written((writer) => writeFetchRequest(writer, request, 12));
  const decoded = readFetchRequest(new Reader(bytes), 12);
  expect(decoded).toMatchObject(request);
  expect(written((writer) => writeFetchRequest(writer, decoded, 12))).toEqual(bytes);
});

test("fields: records in several pieces are one field on the wire", () => {
  const records = [Uint8Array.of(1, 2), Uint8Array.of(3)];
  const topicData = [{ name: "a", partitionData: [{ index: 0, records }] }];
  const bytes = written((writer) => {
    writeProduceRequest(writer, { acks: 1, timeoutMs: 1, topicData }, 9);
  });
  const partition = readProduceRequest(new Reader(bytes), 9).topicData[0]?.partitionData[0];
  expect(partition?.records).toEqual(Uint8Array.of(1, 2, 3));
});
