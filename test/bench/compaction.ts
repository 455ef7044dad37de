/**
 * Compaction of a topic whose keys were all updated many times, beside Apache Kafka's: how long it takes until only
 * the last values lie on disk, and what that costs. Chronik's search index is off for the topic: Kafka has none.
 */
import { readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { batchOf, decodeBatch, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { batchesIn } from "../../src/protocol/record-batch.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { Broker, type BrokerKind } from "../conformance/broker.ts";
import { kafka } from "../conformance/broker-kinds.ts";
import { cpuSecondsOf, residentMemoryOf } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { createTopic } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const KEY_COUNT = 1_000_000;
const UPDATE_COUNT = 20;
const VALUE_BYTES = 100;
const BATCH_RECORD_COUNT = 500;
const BATCHES_IN_FLIGHT = 16;
const TOPIC = "compacted";
/** It is looked for often, and Kafka's newest segment, which stays as it is, is soon another. */
const CONFIGS = {
  "cleanup.policy": "compact",
  "min.cleanable.dirty.ratio": "0.01",
  "segment.bytes": String(64 * 1024 * 1024),
  "segment.ms": "1000",
};
const CHRONIK_FLAGS = ["--log-cleaner-backoff-ms=500", "--wal-indexing-interval-secs=5"];
const KAFKA_PROPERTIES = ["log.cleaner.backoff.ms=500"];
/** What is on disk at the end, at most, compared with the last values. */
const LEFT_MAX = 2;
const LOOK_MS = 1000;
const COMPACTED_MS_MAX = 1_200_000;
const MEGABYTE = 1e6;

export const COMPACTION: Workload = { name: "compaction", run };

interface CompactionRun {
  readonly broker: BrokerKind["name"];
  readonly producedSeconds: number;
  /** From the first record to the last of those that had to go. */
  readonly compactedSeconds: number;
  readonly cpuSeconds: number;
  readonly peakBytes: number;
  readonly writtenBytes: number;
  readonly leftBytes: number;
  readonly readCount: number;
}

async function run(context: Context): Promise<Outcome> {
  const ours: CompactionRun[] = [];
  const kafkas: CompactionRun[] = [];
  for (let pair = 0; pair < context.pairCount; pair += 1) {
    ours.push(await compactOnce(context, context.chronik(...CHRONIK_FLAGS)));
    kafkas.push(await compactOnce(context, kafka({ properties: KAFKA_PROPERTIES })));
    const told = [ours, kafkas].map((runs) => runs.at(-1)?.compactedSeconds.toFixed(1));
    context.tell(`compaction ${pair + 1}: ${told[0]} s, Kafka ${told[1]} s`);
  }
  const title = `${KEY_COUNT.toLocaleString("en")} keys × ${UPDATE_COUNT} updates`;
  const row = (name: string, what: string, read: (one: CompactionRun) => number) => ({
    ...{ name: `compaction/${name}`, title: `${title}: ${what}`, othersCores: [] },
    ...{ ours: ours.map(read), kafka: kafkas.map(read) },
  });
  const liveBytes = scaled(KEY_COUNT, context) * VALUE_BYTES;
  const rows: Row[] = [
    {
      ...row("time", "from the first record until compacted", (one) => one.compactedSeconds),
      unit: "s",
    },
    { ...row("cpu", "broker CPU until then", (one) => one.cpuSeconds), unit: "s" },
    { ...row("rss", "peak RSS", ({ peakBytes }) => peakBytes / MEGABYTE), unit: "MB" },
    {
      ...row("written", "bytes written to disk", (one) => one.writtenBytes / MEGABYTE),
      unit: "MB",
    },
    {
      ...row("left", "on disk at the end, per byte of the last values", (one) => {
        return one.leftBytes / liveBytes;
      }),
      unit: "×",
    },
  ];
  return { rows, runs: [...ours, ...kafkas] };
}

async function compactOnce(context: Context, kind: BrokerKind): Promise<CompactionRun> {
  const keyCount = scaled(KEY_COUNT, context);
  const broker = await Broker.start(kind, join(context.directory, `compaction-${kind.name}`));
  const isOurs = kind.name === "chronik";
  try {
    const configs = isOurs ? { ...CONFIGS, "search.index.enable": "false" } : CONFIGS;
    await createTopic(broker, { name: TOPIC, partitionCount: 1, configs });
    const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
    try {
      const startMs = performance.now();
      await produceAll(client, keyCount);
      const producedSeconds = (performance.now() - startMs) / 1000;
      const leftBytes = await whenCompacted(broker, client, keyCount);
      const compactedSeconds = (performance.now() - startMs) / 1000;
      const usage = {
        cpuSeconds: cpuSecondsOf(broker.pid),
        peakBytes: residentMemoryOf(broker.pid).peakBytes,
        writtenBytes: writtenBytesOf(broker.pid),
      };
      const readCount = await checkedCount(client, keyCount);
      const times = { producedSeconds, compactedSeconds };
      return { broker: kind.name, ...times, ...usage, leftBytes, readCount };
    } finally {
      client.close();
    }
  } finally {
    await broker.kill();
    rmSync(broker.directory, { recursive: true, force: true });
  }
}

async function produceAll(client: PipelinedClient, keyCount: number): Promise<void> {
  const sent: Promise<void>[] = [];
  for (let update = 0; update < UPDATE_COUNT; update += 1) {
    for (let first = 0; first < keyCount; first += BATCH_RECORD_COUNT) {
      const count = Math.min(BATCH_RECORD_COUNT, keyCount - first);
      const keys = Array.from({ length: count }, (_, index) => `key-${first + index}`);
      sent.push(produce(client, keys, update));
      if (sent.length >= BATCHES_IN_FLIGHT) await sent.shift();
    }
  }
  await Promise.all(sent);
}

async function produce(client: PipelinedClient, keys: readonly string[], update: number) {
  const timestampMs = Date.now();
  const records = keys.map((key, offset) => ({
    ...{ offset, timestampMs, headers: [], attributes: 0 },
    ...{ key: Buffer.from(key), value: Buffer.from(textOf(key, update)) },
  }));
  const answer = await client.produce(TOPIC, encodeBatch(batchOf(records)));
  if (answer?.errorCode !== 0) throw new Error(`Producing failed with code ${answer?.errorCode}.`);
}

/** Begins with the update, and does not deflate to nothing. */
function textOf(key: string, update: number): string {
  const digest = new Bun.CryptoHasher("sha384").update(`${key} ${update}`).digest("hex");
  return `${update} ${digest}`.padEnd(VALUE_BYTES, "=");
}

/** Bytes on disk once there are few enough. A record a second makes Kafka's newest segment another. */
async function whenCompacted(
  broker: Broker,
  client: PipelinedClient,
  keyCount: number,
): Promise<number> {
  const deadlineMs = performance.now() + COMPACTED_MS_MAX;
  for (;;) {
    const bytes = storedBytes(broker);
    if (bytes > 0 && bytes <= LEFT_MAX * keyCount * VALUE_BYTES) return bytes;
    if (performance.now() > deadlineMs) throw new Error(`${bytes} bytes are left after all.`);
    await Bun.sleep(LOOK_MS);
    await produce(client, ["tick"], 0);
  }
}

/** Of Chronik's objects, or of the topic's log segments; what is about to be deleted may be among them. */
function storedBytes({ kind, directory }: Broker): number {
  const isOurs = kind.name === "chronik";
  const pattern = isOurs ? /\.tar\.gz$/ : /\.log$/;
  const topicDirectory = isOurs ? "segments" : `${TOPIC}-0`;
  const found = readdirSync(directory, { recursive: true, encoding: "utf8" }).filter(
    (path) => pattern.test(path) && path.split("/").includes(topicDirectory),
  );
  let sum = 0;
  for (const path of found) {
    // Either broker deletes while this looks.
    sum += statSync(join(directory, path), { throwIfNoEntry: false })?.size ?? 0;
  }
  return sum;
}

/** Reads everything back. @throws if a key's last value is not what was written last */
async function checkedCount(client: PipelinedClient, keyCount: number): Promise<number> {
  const latest = new Map<string, string>();
  let readCount = 0;
  for (let offset = 0; ; ) {
    const records = (await client.fetch(TOPIC, offset))?.records ?? new Uint8Array(0);
    if (records.length === 0) break;
    for (const [start, end] of batchesIn(records, 0, wholeEnd(records))) {
      const batch = decodeBatch(records.subarray(start, end));
      for (const { key, value } of batch.records) {
        readCount += 1;
        latest.set(String(Buffer.from(key ?? [])), String(Buffer.from(value ?? [])));
      }
      offset = batch.baseOffset + batch.lastOffsetDelta + 1;
    }
  }
  latest.delete("tick");
  const wrong = [...latest].filter(([key, value]) => value !== textOf(key, UPDATE_COUNT - 1));
  if (latest.size !== keyCount || wrong.length > 0) {
    throw new Error(`${latest.size} of ${keyCount} keys were read back, ${wrong.length} wrongly.`);
  }
  return readCount;
}

/** Kafka may cut the last batch of an answer. */
function wholeEnd(records: Uint8Array): number {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  let end = 0;
  while (end + 12 <= records.length) {
    const next = end + 12 + view.getInt32(end + 8);
    if (next > records.length) break;
    end = next;
  }
  return end;
}

/** What the process had the disk write, by proc(5). */
function writtenBytesOf(pid: number): number {
  return Number(/^write_bytes: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}
