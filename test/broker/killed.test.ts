/** A broker process that is killed while records come in and are sealed: its data directory is whole each time. */

import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { findingsOf } from "../segment/whole.ts";
import { PipelinedClient } from "./pipelined-client.ts";

const MAIN = join(import.meta.dir, "../../src/main.ts");
const READY_LINE = /kafka \S+:(\d+)/;
const ROUNDS = Number(Bun.env["ROUNDS"] ?? 3);
const TOPICS = ["a", "b"];
const LATEST = -1;
const RECORDS_PER_BATCH = 2;
const ACKNOWLEDGEMENTS_MAX = 800;
/** WAL files fill up quickly, and each full one is sealed. */
const FLAGS = [
  ...["--kafka-port", "0", "--http-port", "0", "--log-level", "error"],
  ...["--no-enable-wal-indexing", "--wal-indexing-interval-secs", "1"],
  ...["--wal-file-bytes", "1M", "--wal-slab-bytes", "1M", "--message-max-bytes", "200000"],
];

async function startBroker(dataDir: string) {
  const child = Bun.spawn([process.execPath, MAIN, "--data-dir", dataDir, ...FLAGS], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    const port = READY_LINE.exec(text)?.[1];
    if (port !== undefined) return { child, port: Number(port) };
  }
  throw new Error("The broker ended before it was ready.");
}

/** Two records, of any size. */
function batch(sizeBytes: number): Uint8Array {
  const records = [0, 1].map((offset) => ({
    ...{ offset, timestampMs: Date.now(), key: null, headers: [], attributes: 0 },
    value: Buffer.alloc(sizeBytes, 97),
  }));
  return encodeBatch(batchOf(records));
}

const seed = Number(Bun.env["SEED"] ?? Date.now() % 1_000_000);
test(`killed: the data directory is whole after each SIGKILL (SEED=${seed})`, async () => {
  const random = seededRandom(seed);
  const dataDir = await mkdtemp(join(tmpdir(), "chronik-killed-"));
  const acknowledged = new Map(TOPICS.map((topic) => [topic, 0]));
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const { child, port } = await startBroker(dataDir);
      const client = await PipelinedClient.connect(port);
      if (round === 0) for (const topic of TOPICS) await client.createTopic(topic);
      for (const topic of TOPICS) {
        const end = (await client.listOffset(topic, LATEST))?.offset ?? -1;
        expect(end).toBeGreaterThanOrEqual(acknowledged.get(topic) ?? 0);
        acknowledged.set(topic, end);
      }
      // Killed at some acknowledgement, while others are on their way and a file may be being sealed.
      const killAt = 100 + Math.floor(random() * ACKNOWLEDGEMENTS_MAX);
      let count = 0;
      const produce = async (number: number): Promise<void> => {
        const topic = TOPICS[number % TOPICS.length] ?? "a";
        const answer = await client.produce(topic, batch(1 + Math.floor(random() * 30_000)));
        expect(answer?.errorCode).toBe(0);
        const end = Number(answer?.baseOffset) + RECORDS_PER_BATCH;
        acknowledged.set(topic, Math.max(acknowledged.get(topic) ?? 0, end));
        count += 1;
        if (count === killAt) child.kill("SIGKILL");
      };
      while (count < killAt) {
        await Promise.allSettled(Array.from({ length: 20 }, (_, number) => produce(number)));
      }
      await child.exited;
      client.close();
      const findings = await findingsOf(dataDir);
      expect(findings.filter(({ kind }) => kind === "fault")).toEqual([]);
    }
  } finally {
    await rm(dataDir, { recursive: true });
  }
}, 60_000);
