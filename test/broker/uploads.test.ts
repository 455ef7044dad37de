/** Segments in the object store: what a broker writes there, also when the store is down, and what it takes away. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import type { ObjectStore } from "../../src/segment/object-store.ts";
import { parseObjectStoreUrl, type S3Location } from "../../src/segment/object-store-url.ts";
import { S3ObjectStore } from "../../src/segment/s3-object-store.ts";
import { FaultProxy } from "../object-store/fault-proxy.ts";
import { wantedServers, whyMissing } from "../object-store/install.ts";
import { CREDENTIALS, type S3Server, startS3Server, urlOf } from "../object-store/s3-server.ts";
import { ChildBroker } from "./child-broker.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const SEALED_SOON = ["--wal-indexing-interval-secs", "1", "--file-delete-delay-ms", "0"];
const START_MS_MAX = 300_000;
const TEST_MS_MAX = 60_000;

const [kind = "seaweedfs"] = wantedServers();
const reason = whyMissing(kind);
let server: S3Server | undefined;
/** Brokers find credentials as any program of AWS does. */
const AWS_VARIABLES = {
  AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
  AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
};

beforeAll(async () => {
  if (reason === undefined) server = await startS3Server(kind);
}, START_MS_MAX);
afterAll(() => server?.stop());

test(
  "uploads: a directory gets each segment as it is, and loses what is deleted",
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "chronik-uploads-"));
    const broker = await RunningBroker.start(
      ...SEALED_SOON,
      "--object-store",
      `file://${directory}`,
    );
    try {
      using client = await PipelinedClient.connect(broker.kafkaPort);
      await client.createTopic("orders");
      await client.produce("orders", batchOfValue("first"));
      const store = new FileObjectStore({ disk: systemDisk, directory });
      await until(async () => (await pendingCount(broker)) === 0);
      await until(async () => (await isWholeCopy(broker, store)) === true);
      await client.deleteTopic("orders");
      await until(async () => (await objectsOf(store)).length === 0);
    } finally {
      await broker.remove();
      await rm(directory, { recursive: true });
    }
  },
  TEST_MS_MAX,
);

test.skipIf(reason !== undefined)(
  `uploads (${reason ?? kind}): while the store is down producers and consumers notice nothing; then all of it arrives, once`,
  async () => {
    if (server === undefined) throw new Error("the server did not start");
    const proxy = await FaultProxy.start(server.port);
    const url = urlOf(server, { port: proxy.port, prefix: "down" });
    const store = await S3ObjectStore.open({
      location: parseObjectStoreUrl(urlOf(server, { prefix: "down" })) as S3Location,
      credentials: CREDENTIALS,
    });
    proxy.inject({ kind: "down" });
    const broker = await ChildBroker.start(AWS_VARIABLES, ...SEALED_SOON, "--object-store", url);
    try {
      using client = await PipelinedClient.connect(broker.kafkaPort);
      await client.createTopic("orders");
      await client.produce("orders", batchOfValue("while it is down"));
      const failures = "chronik_upload_failures_total";
      await until(async () => (await metric(broker, failures)) > 0);
      await until(async () => (await pendingCount(broker)) > 0);
      expect(await objectsOf(store)).toEqual([]);
      expect((await client.fetch("orders", 0))?.records?.length).toBeGreaterThan(0);
      proxy.heal();
      proxy.inject({ kind: "answerLost" }, { on: /^PUT .*segments/, times: 1 });
      await until(async () => await isWholeCopy(broker, store));
      // A later life asks the store, and sends nothing again.
      expect(await broker.end("SIGTERM")).toBe(0);
      await broker.start(...SEALED_SOON, "--object-store", url);
      await until(async () => (await metric(broker, uploadedMetric)) > 0);
      expect(await metric(broker, putMetric)).toBe(1);
    } finally {
      await broker.remove();
      await store.close();
      proxy.stop();
    }
  },
  TEST_MS_MAX,
);

const uploadedMetric = 'chronik_segments_uploaded{state="uploaded"}';
/** The probe's. */
const putMetric = 'chronik_s3_requests_total{operation="PutObject",status="200"}';

function batchOfValue(text: string): Uint8Array {
  const value = Buffer.from(text);
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  return encodeBatch(batchOf([record]));
}

function pendingCount(broker: { readonly httpPort: number }): Promise<number> {
  return metric(broker, 'chronik_segments_uploaded{state="pending"}');
}

async function metric(broker: { readonly httpPort: number }, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

async function objectsOf(store: ObjectStore): Promise<string[]> {
  return (await Array.fromAsync(store.list("segments/"))).map(({ key }) => key);
}

/** Whether the store holds the segments of the broker's directory, byte by byte, and no others. */
async function isWholeCopy(
  broker: { readonly dataDir: string },
  store: ObjectStore,
): Promise<boolean> {
  const directory = join(broker.dataDir, "segments");
  const names = (await readdir(directory)).filter((name) => name.endsWith(".tar.gz"));
  const keys = await objectsOf(store);
  if (names.length === 0 || names.length !== keys.length) return false;
  for (const name of names) {
    const bytes = new Uint8Array(await readFile(join(directory, name)));
    const key = `segments/${name.replace(".tar.gz", `.${bytes.length}.tar.gz`)}`;
    if (!keys.includes(key)) return false;
    expect(await store.readRange(key, 0, bytes.length + 1)).toEqual(bytes);
  }
  return true;
}

/** Asks again until it holds: the test's own limit ends what never comes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}
