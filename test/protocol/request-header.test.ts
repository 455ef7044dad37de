/** Headers: their form for every API and version, and what can be said of requests nobody knows. */
import { expect, test } from "bun:test";
import { KafkaError } from "../../src/protocol/errors.ts";
import { API_MESSAGES, ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { readRequestHeader as readGeneratedHeader } from "../../src/protocol/generated/request-header.ts";
import { writeResponseHeader as writeGeneratedHeader } from "../../src/protocol/generated/response-header.ts";
import { Reader } from "../../src/protocol/reader.ts";
import {
  readRequestHeader,
  readResponseHeader,
  requestHeaderVersion,
  responseHeaderVersion,
  writeRequestHeader,
  writeResponseHeader,
} from "../../src/protocol/request-header.ts";
import { Writer } from "../../src/protocol/writer.ts";

const CONTROLLED_SHUTDOWN_KEY = 7;

test.each(API_MESSAGES)("request header: $name in every version", (api) => {
  for (let apiVersion = api.minVersion; apiVersion <= api.maxVersion; apiVersion += 1) {
    const isShutdownV0 = api.apiKey === CONTROLLED_SHUTDOWN_KEY && apiVersion === 0;
    const clientId = isShutdownV0 ? null : "größe";
    const writer = new Writer();
    const header = { apiKey: api.apiKey, apiVersion, correlationId: -7, clientId };
    writeRequestHeader(writer, header);
    const reader = new Reader(writer.bytesWritten());
    const headerVersion = requestHeaderVersion(api.apiKey, apiVersion);
    expect(readRequestHeader(reader)).toEqual({ ...header, headerVersion });
    expect(reader.remaining).toBe(0);
    const generated = readGeneratedHeader(new Reader(writer.bytesWritten()), headerVersion);
    expect(generated).toMatchObject({ requestApiKey: api.apiKey, correlationId: -7 });
    for (let length = 0; length < writer.position; length += 1) {
      const cut = new Reader(writer.bytesWritten(), 0, length);
      expect(() => readRequestHeader(cut)).toThrow(KafkaError);
    }
  }
});

test.each(API_MESSAGES)("response header: $name in every version", (api) => {
  for (let apiVersion = api.minVersion; apiVersion <= api.maxVersion; apiVersion += 1) {
    const writer = new Writer();
    writeResponseHeader(writer, api.apiKey, apiVersion, 42);
    const generated = new Writer();
    const headerVersion = responseHeaderVersion(api.apiKey, apiVersion);
    writeGeneratedHeader(generated, { correlationId: 42 }, headerVersion);
    expect(writer.bytesWritten()).toEqual(generated.bytesWritten());
    const reader = new Reader(writer.bytesWritten());
    expect(readResponseHeader(reader, api.apiKey, apiVersion)).toBe(42);
    expect(reader.remaining).toBe(0);
  }
});

test("response header: ApiVersions answers without tagged fields in every version", () => {
  for (let apiVersion = 0; apiVersion <= 4; apiVersion += 1) {
    expect(responseHeaderVersion(ApiKey.apiVersions, apiVersion)).toBe(0);
  }
});

test("request header: an unknown API or version still gives key, version and correlation id", () => {
  for (const [apiKey, apiVersion] of [
    [999, 0],
    [-1, 3],
    [ApiKey.apiVersions, 77],
    [ApiKey.produce, -1],
  ] as const) {
    const writer = new Writer();
    writer.writeInt16(apiKey);
    writer.writeInt16(apiVersion);
    writer.writeInt32(12);
    writer.writeInt16(0x7fff);
    expect(readRequestHeader(new Reader(writer.bytesWritten()))).toEqual({
      apiKey,
      apiVersion,
      correlationId: 12,
      clientId: null,
      headerVersion: -1,
    });
  }
});

test("request header: tagged fields are skipped", () => {
  const writer = new Writer();
  writeRequestHeader(writer, { apiKey: 3, apiVersion: 12, correlationId: 1, clientId: null });
  const withTags = [...writer.bytesWritten().slice(0, -1), 1, 0, 2, 9, 9, 55];
  const reader = new Reader(Uint8Array.from(withTags));
  expect(readRequestHeader(reader)).toMatchObject({ clientId: null, headerVersion: 2 });
  expect(reader.readInt8()).toBe(55);
});
