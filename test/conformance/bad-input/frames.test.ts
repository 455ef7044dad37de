/** Frames that no client would send: garbage, cuts, lengths that lie, APIs and versions that do not exist. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { ErrorCode } from "../../../src/protocol/errors.ts";
import { ApiKey } from "../../../src/protocol/generated/api-keys.ts";
import { readApiVersionsResponse } from "../../../src/protocol/generated/api-versions-response.ts";
import { Reader } from "../../../src/protocol/reader.ts";
import { BrokerUnderTest, isPeer } from "./broker-under-test.ts";

const SEED = Number(Bun.env["SEED"] ?? Date.now() % 1_000_000);
const GARBAGE_COUNT = 300;
const HOSTILE_COUNT = 1_500;
const TOGETHER = 50;
const FIXTURES = join(import.meta.dir, "../../fixtures/protocol");
const HEADER_BYTES = 8;
const INT32_MAX = 2 ** 31 - 1;
const HOSTILE_LENGTHS = [-1, -2, -(2 ** 31), INT32_MAX];
const LONG_FRAME_BYTES = 80 * 2 ** 20;

const broker = new BrokerUnderTest();

/** Opens a connection, sends, and closes at once: the answer, if any, finds nobody. */
async function throwAt(bytes: Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    const socket = connect({ port: broker.port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.on("close", () => resolve());
    socket.on("connect", () => socket.write(bytes, () => socket.destroy()));
  });
}

async function throwAll(frames: readonly Uint8Array[]): Promise<void> {
  for (let start = 0; start < frames.length; start += TOGETHER) {
    await Promise.all(frames.slice(start, start + TOGETHER).map(throwAt));
  }
}

function framed(body: Uint8Array, announcedBytes = body.length): Uint8Array {
  const bytes = new Uint8Array(4 + body.length);
  new DataView(bytes.buffer).setInt32(0, announcedBytes);
  bytes.set(body, 4);
  return bytes;
}

/** Requests of real clients, header included. */
function realRequests(): Uint8Array[] {
  const files = readdirSync(FIXTURES).filter((name) => name.endsWith(".request.hex"));
  return files.map((name) => {
    const lines = readFileSync(join(FIXTURES, name), "utf8").split("\n");
    return Uint8Array.from(
      Buffer.from(lines.filter((line) => !line.startsWith("#")).join(""), "hex"),
    );
  });
}

/** A small generator of the same numbers for the same seed. */
function randomFrom(seed: number): (end: number) => number {
  let state = seed;
  return (end) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return ((state >>> 8) * end) >>> 24;
  };
}

test(`bad input: random bytes harm nobody (SEED=${SEED})`, async () => {
  const random = randomFrom(SEED);
  const garbage = Array.from({ length: GARBAGE_COUNT }, () =>
    Uint8Array.from({ length: 1 + random(200) }, () => random(256)),
  );
  await broker.expectNoGrowth(async () => {
    await throwAll(garbage);
    await throwAll(garbage.map((bytes) => framed(bytes)));
    await broker.expectOthersUnharmed();
  });
});

test("bad input: every real request, cut at any byte, harms nobody", async () => {
  const [shortest] = realRequests().sort((a, b) => a.length - b.length);
  const longest = realRequests().sort((a, b) => b.length - a.length)[0];
  const requests = [shortest, longest].filter((request) => request !== undefined);
  const cuts = requests.flatMap((request) =>
    Array.from({ length: Math.min(request.length, 300) }, (_, end) => request.subarray(0, end)),
  );
  await throwAll(cuts.map((cut) => framed(cut)));
  await throwAll(cuts.map((cut) => framed(cut, cut.length + 1)));
  await broker.expectOthersUnharmed();
});

test(`bad input: hostile lengths anywhere in real requests harm nobody (SEED=${SEED})`, async () => {
  const random = randomFrom(SEED);
  const requests = realRequests();
  const hostile = Array.from({ length: HOSTILE_COUNT }, () => {
    const request = requests[random(requests.length)]?.slice() ?? new Uint8Array(HEADER_BYTES);
    const view = new DataView(request.buffer, request.byteOffset, request.length);
    const position = HEADER_BYTES + random(Math.max(1, request.length - HEADER_BYTES - 4));
    const choice = random(6);
    const length = HOSTILE_LENGTHS[choice];
    if (length === undefined || position + 4 > request.length)
      request.fill(0xff, position, position + 5);
    else view.setInt32(position, length);
    return framed(request);
  });
  await broker.expectNoGrowth(async () => {
    await throwAll(hostile);
    await broker.expectOthersUnharmed();
  });
});

test.each([
  ["-1", -1],
  ["-2^31", -(2 ** 31)],
  ["2^31-1", INT32_MAX],
])(
  "bad input: a frame of %s bytes closes twenty connections and nothing else",
  async (_, lengthBytes) => {
    await broker.expectNoGrowth(async () => {
      const clients = await Promise.all(Array.from({ length: 20 }, () => broker.connect()));
      for (const client of clients) client.sendRaw(framed(new Uint8Array(16), lengthBytes));
      for (const client of clients) await client.whenClosed();
      await broker.expectOthersUnharmed();
    });
  },
);

// The peer allocates what is announced: with its default heap this ends it.
test.skipIf(isPeer)("bad input: announced bytes cost nothing until they arrive", async () => {
  await broker.expectNoGrowth(async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => broker.connect()));
    for (const client of clients) client.sendRaw(framed(new Uint8Array(1_000), LONG_FRAME_BYTES));
    await broker.expectOthersUnharmed();
    for (const client of clients) client.close();
  });
});

test.each([
  ["an unknown API", 9_999, 0],
  ["a negative API", -7, 0],
  ["an API between brokers", ApiKey.leaderAndIsr, 0],
  ["a version that is too new", ApiKey.metadata, 99],
  ["a negative version", ApiKey.metadata, -3],
])("bad input: %s closes the connection", async (_, apiKey, apiVersion) => {
  const header = new Uint8Array(10);
  const view = new DataView(header.buffer);
  view.setInt16(0, apiKey);
  view.setInt16(2, apiVersion);
  const client = await broker.connect();
  client.sendRaw(framed(header));
  await client.whenClosed();
  await broker.expectOthersUnharmed();
});

test("bad input: ApiVersions of an unknown version is answered in version 0", async () => {
  const bytes = await new Promise<Buffer>((resolve, reject) => {
    const chunks: Buffer[] = [];
    const socket = connect({ port: broker.port, host: "127.0.0.1" });
    socket.on("error", reject);
    socket.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      const received = Buffer.concat(chunks);
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return;
      socket.destroy();
      resolve(received);
    });
    // A flexible header, as its newest version has: no client id, no tagged fields.
    socket.write(framed(Uint8Array.of(0, ApiKey.apiVersions, 0, 99, 0, 0, 0, 77, 0xff, 0xff, 0)));
  });
  const reader = new Reader(bytes, 4);
  expect(reader.readInt32()).toBe(77);
  const response = readApiVersionsResponse(reader, 0);
  expect(response.errorCode).toBe(ErrorCode.unsupportedVersion);
  const offered = response.apiKeys.find(({ apiKey }) => apiKey === ApiKey.apiVersions);
  expect(offered).toMatchObject({ minVersion: 0, maxVersion: 4 });
});
