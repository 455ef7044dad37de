/** What the S3 engine does when the network or the store fails: a real server behind a proxy that makes it fail. */

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import {
  ObjectExistsError,
  ObjectMissingError,
  ObjectStoreError,
} from "../../src/segment/object-store.ts";
import { probeObjectStore } from "../../src/segment/object-store-probe.ts";
import { parseObjectStoreUrl, type S3Location } from "../../src/segment/object-store-url.ts";
import type { S3Attempt } from "../../src/segment/s3-connection.ts";
import { S3ObjectStore } from "../../src/segment/s3-object-store.ts";
import { FaultProxy } from "../object-store/fault-proxy.ts";
import { wantedServers, whyMissing } from "../object-store/install.ts";
import { CREDENTIALS, type S3Server, startS3Server, urlOf } from "../object-store/s3-server.ts";
import { noise } from "./archive-fixture.ts";
import { PatternSource } from "./pattern-source.ts";

const START_MS_MAX = 300_000;
const TEST_MS_MAX = 60_000;
const LIMITS = { connectMs: 1_000, requestMs: 2_000, attemptsMax: 3 };
/** For what is never answered. */
const SHORT_LIMITS = { connectMs: 300, requestMs: 300, attemptsMax: 2 };
const LARGE_BYTES = 17 * 1024 * 1024;
const BODY = noise(10_000, 1);

const [kind = "seaweedfs"] = wantedServers();
const reason = whyMissing(kind);

let server: S3Server;
let proxy: FaultProxy;
let store: S3ObjectStore;
let attempts: S3Attempt[];
let prefixCount = 0;

beforeAll(async () => {
  if (reason !== undefined) return;
  server = await startS3Server(kind);
  proxy = await FaultProxy.start(server.port);
}, START_MS_MAX);
beforeEach(async () => {
  if (reason !== undefined) return;
  prefixCount += 1;
  attempts = [];
  store = await opened(LIMITS);
});
afterEach(async () => {
  proxy?.heal();
  await store?.close();
});
afterAll(async () => {
  proxy?.stop();
  await server?.stop();
});

/** Skipped where the server can't be had. */
function faultTest(behaviour: string, run: () => Promise<void>): void {
  const name = `s3 faults (${reason ?? kind}): ${behaviour}`;
  test.skipIf(reason !== undefined)(name, run, TEST_MS_MAX);
}

async function opened(limits: typeof LIMITS): Promise<S3ObjectStore> {
  const url = urlOf(server, { port: proxy.port, prefix: `faults/${prefixCount}` });
  return await S3ObjectStore.open({
    location: parseObjectStoreUrl(url) as S3Location,
    credentials: CREDENTIALS,
    limits,
    onAttempt: (attempt) => attempts.push(attempt),
  });
}

function operations(): string[] {
  return attempts.map(({ operation, status }) => `${operation} ${status ?? "-"}`);
}

faultTest(
  "down: everything fails with a sentence about the store, and works again afterwards",
  async () => {
    await store.put("before", BODY);
    proxy.inject({ kind: "down" });
    const works = [
      () => store.put("key", BODY),
      () => store.readRange("before", 0, 10),
      () => store.stat("before"),
      () => store.delete(["before"]),
      () => Array.fromAsync(store.list("")),
    ];
    const failures = await Promise.all(works.map((work) => work().catch((thrown) => thrown)));
    for (const failure of failures) {
      expect(failure).toBeInstanceOf(ObjectStoreError);
      expect(failure).not.toBeInstanceOf(ObjectMissingError);
      expect(failure.message).toStartWith(`${store.name} failed`);
    }
    proxy.heal();
    await store.put("key", BODY);
    expect(await store.readRange("key", 0, 20_000)).toEqual(BODY);
    expect((await Array.fromAsync(store.list(""))).map(({ key }) => key)).toEqual([
      "before",
      "key",
    ]);
  },
);

faultTest(
  "503: a short storm is not noticed, a long one is told after the last attempt",
  async () => {
    proxy.inject({ kind: "unavailable" }, { times: 1 });
    await store.put("key", BODY);
    expect(operations()).toEqual(["PutObject 503", "PutObject 200"]);
    attempts.length = 0;
    proxy.inject({ kind: "unavailable" });
    const failure = await store.readRange("key", 0, 10).catch((thrown) => thrown);
    expect(failure).toBeInstanceOf(ObjectStoreError);
    expect(failure.message).toContain("HTTP 503");
    expect(operations()).toEqual(Array(LIMITS.attemptsMax).fill("GetObject 503"));
  },
);

faultTest("hanging: no request waits for ever, and one that hangs once is repeated", async () => {
  await store.put("key", BODY);
  const hasty = await opened(SHORT_LIMITS);
  proxy.inject({ kind: "hang" }, { times: 1 });
  expect(await hasty.readRange("key", 0, 20_000)).toEqual(BODY);
  proxy.inject({ kind: "hang" });
  const works = [
    () => hasty.put("other", BODY),
    () => hasty.readRange("key", 0, 10),
    () => hasty.stat("key"),
    () => hasty.delete(["key"]),
    () => Array.fromAsync(hasty.list("")),
  ];
  for (const result of await Promise.allSettled(works.map((work) => work()))) {
    expect(result.status === "rejected" && result.reason).toBeInstanceOf(ObjectStoreError);
  }
  await hasty.close();
});

faultTest("a put whose answer is lost is done once, and is a success", async () => {
  proxy.inject({ kind: "answerLost" }, { on: /^PUT/, times: 1 });
  await store.put("key", BODY);
  expect(operations().slice(0, 2)).toEqual(["PutObject -", "PutObject 412"]);
  expect(await store.readRange("key", 0, 20_000)).toEqual(BODY);
  proxy.inject({ kind: "answerLost" }, { on: /^PUT/, times: 1 });
  await expect(store.put("key", noise(10_000, 2))).rejects.toThrow(ObjectExistsError);
  expect(await store.readRange("key", 0, 20_000)).toEqual(BODY);
});

faultTest("an upload in parts whose last answer is lost is a success", async () => {
  const source = new PatternSource(LARGE_BYTES);
  proxy.inject({ kind: "answerLost" }, { on: /^POST .*uploadId=/, times: 1 });
  await store.put("large", { source, sizeBytes: LARGE_BYTES });
  expect(await store.stat("large")).toMatchObject({ sizeBytes: LARGE_BYTES });
  const end = await store.readRange("large", LARGE_BYTES - 1_000, LARGE_BYTES + 1);
  expect(end).toEqual(await source.readRange(LARGE_BYTES - 1_000, LARGE_BYTES));
});

faultTest(
  "parts that fail for a while are repeated; an upload given up leaves nothing",
  async () => {
    const body = { source: new PatternSource(LARGE_BYTES), sizeBytes: LARGE_BYTES };
    proxy.inject({ kind: "unavailable" }, { on: /partNumber=2/, times: 1 });
    await store.put("large", body);
    proxy.inject({ kind: "down" }, { on: /partNumber=3/ });
    await expect(store.put("given-up", body)).rejects.toThrow(ObjectStoreError);
    proxy.heal();
    expect(await store.stat("given-up")).toBeUndefined();
    expect(await uploadsUnderWay(server)).toEqual([]);
    await store.put("given-up", body);
  },
);

faultTest("an answer that breaks off is read again; one that always does is told", async () => {
  const body = noise(300_000, 3);
  await store.put("key", body);
  proxy.inject({ kind: "answerCut", afterBytes: 100_000 }, { on: /^GET/, times: 1 });
  expect(await store.readRange("key", 0, 300_000)).toEqual(body);
  proxy.inject({ kind: "answerCut", afterBytes: 100_000 }, { on: /^GET/ });
  await expect(store.readRange("key", 0, 300_000)).rejects.toThrow(ObjectStoreError);
});

faultTest("an answer that stops coming is given up", async () => {
  const body = noise(300_000, 4);
  await store.put("key", body);
  const hasty = await opened(SHORT_LIMITS);
  proxy.inject({ kind: "answerStalls", afterBytes: 100_000 }, { on: /^GET/, times: 1 });
  expect(await hasty.readRange("key", 0, 300_000)).toEqual(body);
  await hasty.close();
});

faultTest("a slow answer is read whole", async () => {
  const body = noise(200_000, 5);
  await store.put("key", body);
  proxy.inject({ kind: "slow", pieceBytes: 2_000 }, { on: /^GET/ });
  expect(await store.readRange("key", 0, 200_000)).toEqual(body);
});

faultTest("a body damaged on its way is refused by the store", async () => {
  proxy.inject({ kind: "bodyDamaged" }, { on: /^PUT/ });
  await expect(store.put("key", BODY)).rejects.toThrow(ObjectStoreError);
  proxy.heal();
  expect(await store.stat("key")).toBeUndefined();
  await store.put("key", BODY);
});

faultTest("a bucket that is not there is told as such, not as a missing object", async () => {
  const url = urlOf(server, { port: proxy.port, prefix: "x" }).replace(server.bucket, "no-bucket");
  const lost = await S3ObjectStore.open({
    location: parseObjectStoreUrl(url) as S3Location,
    credentials: CREDENTIALS,
  });
  for (const work of [() => lost.put("key", BODY), () => lost.readRange("key", 0, 1)]) {
    const failure = await work().catch((thrown) => thrown);
    expect(failure).toBeInstanceOf(ObjectStoreError);
    expect(failure).not.toBeInstanceOf(ObjectMissingError);
    expect(failure.message).toContain("NoSuchBucket");
  }
  await lost.close();
});

faultTest("credentials that are wrong are refused, and stand in no message", async () => {
  const stranger = await S3ObjectStore.open({
    location: parseObjectStoreUrl(urlOf(server, { prefix: "x" })) as S3Location,
    credentials: { ...CREDENTIALS, secretAccessKey: "another-secret" },
  });
  const failure = await stranger.put("key", BODY).catch((thrown) => thrown);
  expect(failure).toBeInstanceOf(ObjectStoreError);
  expect(failure.message).toContain("HTTP 403");
  expect(Bun.inspect(failure)).not.toContain("another-secret");
  await stranger.close();
});

faultTest(
  "the probe tells a good store from one that overwrites, and leaves nothing behind",
  async () => {
    expect(await probeObjectStore(store)).toEqual({ refusesOverwrites: true });
    if (kind === "seaweedfs") {
      proxy.inject({ kind: "conditionIgnored" }, { on: /^PUT/ });
      expect(await probeObjectStore(store)).toEqual({ refusesOverwrites: false });
      proxy.heal();
    }
    expect(await Array.fromAsync(store.list(""))).toEqual([]);
    proxy.inject({ kind: "down" });
    await expect(probeObjectStore(store)).rejects.toThrow(ObjectStoreError);
  },
);

async function uploadsUnderWay(server: S3Server): Promise<readonly unknown[]> {
  const client = new S3Client({
    endpoint: `http://127.0.0.1:${server.port}`,
    region: "us-east-1",
    credentials: CREDENTIALS,
    forcePathStyle: true,
  });
  const { Uploads = [] } = await client.send(
    new ListMultipartUploadsCommand({ Bucket: server.bucket }),
  );
  client.destroy();
  return Uploads;
}
