/** Segments over their life: merged when there are many, gone when nothing in them lives. */

import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const FLAGS = [
  ...["--enable-wal-indexing=false", "--wal-indexing-interval-secs", "1"],
  ...["--file-delete-delay-ms", "0"],
];

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
    const [before] = await readdir(join(broker.dataDir, "segments"));
    await client.deleteTopic("gone");
    await until(async () => (await metric(broker, data)) < 60_000);
    await until(async () => {
      const names = await readdir(join(broker.dataDir, "segments"));
      return names.length === 1 && names[0] !== before;
    });
    expect((await client.fetch("kept", 0))?.records?.length).toBeGreaterThan(50_000);
    await client.deleteTopic("kept");
    await until(async () => (await readdir(join(broker.dataDir, "segments"))).length === 0);
  } finally {
    await broker.remove();
  }
});
