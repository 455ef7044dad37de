/**
 * Frames that real clients and Apache Kafka exchanged (recorded by `golden/record.ts`): they are read as what
 * Kafka's own classes read in them, and written again they are the same bytes.
 */
import { expect, test } from "bun:test";
import { ALL_MESSAGES, type MessageCodec } from "../../src/protocol/generated/all-messages.ts";
import { API_MESSAGES } from "../../src/protocol/generated/api-keys.ts";
import { kebabCase } from "../../src/protocol/generator/model.ts";
import { Reader } from "../../src/protocol/reader.ts";
import {
  readRequestHeader,
  readResponseHeader,
  writeRequestHeader,
  writeResponseHeader,
} from "../../src/protocol/request-header.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { differences } from "./oracle/kafka-json.ts";

const FIXTURES = `${import.meta.dir}/../fixtures/protocol/`;
/** What is missing would not be missed otherwise. */
const EXCHANGES_MIN = 50;

interface Bodies {
  readonly request: unknown;
  readonly response: unknown;
}

const names = [...new Bun.Glob("*.json").scanSync(FIXTURES)]
  .map((name) => name.slice(0, -5))
  .sort();

async function frameOf(name: string, kind: "request" | "response"): Promise<Uint8Array> {
  const text = await Bun.file(`${FIXTURES}${name}.${kind}.hex`).text();
  return Buffer.from(text.replace(/^#.*\n/, "").replaceAll("\n", ""), "hex");
}

function codecOf(name: string): MessageCodec {
  const codec = ALL_MESSAGES.find((candidate) => candidate.name === name);
  if (codec === undefined) throw new Error(`There is no ${name}.`);
  return codec;
}

/** `fetch-v17` as key and version. */
function apiOf(name: string): { apiKey: number; apiVersion: number; apiName: string } {
  const [, api, version] = /^(.+)-v(\d+)$/.exec(name) ?? [];
  const found = API_MESSAGES.find((candidate) => kebabCase(candidate.name) === api);
  if (found === undefined) throw new Error(`${name} is no API and version.`);
  return { apiKey: found.apiKey, apiVersion: Number(version), apiName: found.name };
}

test("golden: the recorded exchanges are there", () => {
  expect(names.length).toBeGreaterThanOrEqual(EXCHANGES_MIN);
});

test.each(names)("golden: %s", async (name) => {
  const { apiKey, apiVersion, apiName } = apiOf(name);
  const expected = (await Bun.file(`${FIXTURES}${name}.json`).json()) as Bodies;
  const writer = new Writer();

  const request = await frameOf(name, "request");
  const requestReader = new Reader(request);
  const header = readRequestHeader(requestReader);
  expect(header).toMatchObject({ apiKey, apiVersion });
  const requestCodec = codecOf(`${apiName}Request`);
  const requestBody = requestCodec.read(requestReader, apiVersion);
  expect(requestReader.remaining).toBe(0);
  expect(differences(expected.request, requestBody)).toEqual([]);
  writeRequestHeader(writer, header);
  requestCodec.write(writer, requestBody, apiVersion);
  expect(hexOf(writer.bytesWritten())).toBe(hexOf(request));

  const response = await frameOf(name, "response");
  const responseReader = new Reader(response);
  const correlationId = readResponseHeader(responseReader, apiKey, apiVersion);
  expect(correlationId).toBe(header.correlationId);
  const responseCodec = codecOf(`${apiName}Response`);
  const responseBody = responseCodec.read(responseReader, apiVersion);
  expect(responseReader.remaining).toBe(0);
  expect(differences(expected.response, responseBody)).toEqual([]);
  writer.reset();
  writeResponseHeader(writer, apiKey, apiVersion, correlationId);
  responseCodec.write(writer, responseBody, apiVersion);
  expect(hexOf(writer.bytesWritten())).toBe(hexOf(response));
});

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}
