/** Segments over their life: merged when there are many, gone when nothing in them lives. */

import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const SEALED_SOON = ["--wal-indexing-interval-secs", "1"];
const FLAGS = ["--enable-wal-indexing=false", ...SEALED_SOON, "--file-delete-delay-ms", "0"];

function batchOfValue(sizeBytes: number): Uint8Array {
  const value = Buffer.alloc(sizeBytes, "v");
  const record = { offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  return encodeBatch(batchOf([record]));
}

async function metric(broker: RunningBroker, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

async function objectNames({ dataDir }: RunningBroker): Promise<string[]> {
  return (await readdir(join(dataDir, "segments"))).filter((name) => name.endsWith(".tar.gz"));
}

/** Asks again until it holds: the test's own limit ends what never comes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

test("segments: the bytes of a deleted topic leave the disk, and others' stay", async () => {
  const broker = await RunningBroker.start(...FLAGS);
  try {
    using client = await PipelinedClient.connect(broker.kafkaPort);
    for (const topic of ["kept", "gone"]) {
      await client.createTopic(topic);
      await client.produce(topic, batchOfValue(50_000));
    }
    const data = 'chronik_segment_bytes{kind="data"}';
    await until(async () => (await metric(broker, data)) > 100_000);
    const [before] = await objectNames(broker);
    await client.deleteTopic("gone");
    await until(async () => (await metric(broker, data)) < 60_000);
    await until(async () => {
      const names = await objectNames(broker);
      return names.length === 1 && names[0] !== before;
    });
    expect((await client.fetch("kept", 0))?.records?.length).toBeGreaterThan(50_000);
    await client.deleteTopic("kept");
    await until(async () => (await objectNames(broker)).length === 0);
  } finally {
    await broker.remove();
  }
});

test("segments: what is read of their objects is counted, batches and indexes apart", async () => {
  const broker = await RunningBroker.start(...SEALED_SOON);
  const readBytes = (kind: string) =>
    metric(broker, `chronik_segment_read_bytes_total{kind="${kind}"}`);
  try {
    using client = await PipelinedClient.connect(broker.kafkaPort);
    await client.createTopic("read");
    await client.produce("read", batchOfValue(50_000));
    await until(async () => (await metric(broker, "chronik_segments_indexed")) === 1);
    await until(async () => (await metric(broker, "chronik_frozen_search_indexes")) === 0);
    const indexBytes = await readBytes("index");
    expect((await client.fetch("read", 0))?.records?.length).toBeGreaterThan(50_000);
    expect(await readBytes("batches")).toBeGreaterThan(50_000);
    expect(await readBytes("index")).toBe(indexBytes);
    const url = `http://127.0.0.1:${broker.httpPort}/read/_search?q=_partition:0&_source=false`;
    expect(await (await fetch(url)).json()).toMatchObject({ hits: { total: { value: 1 } } });
    expect(await readBytes("index")).toBeGreaterThan(indexBytes);
  } finally {
    await broker.remove();
  }
});
