/**
 * Many topics with little in each: 2,000 topics of JSON log lines at a steady rate, with intervals of 10 s instead of
 * 30, once with indexing and once without. What indexing adds to the peak RSS is what its memory comes to. It holds if
 * every record is counted by a search at the end.
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeCreateTopicsRequest } from "../../src/protocol/generated/create-topics-request.ts";
import { readCreateTopicsResponse } from "../../src/protocol/generated/create-topics-response.ts";
import { writeProduceRequest } from "../../src/protocol/generated/produce-request.ts";
import { readProduceResponse } from "../../src/protocol/generated/produce-response.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { Broker } from "../conformance/broker.ts";
import { logLineOf } from "./log-lines.ts";
import { residentMemoryOf, UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { indexedAll, indexerLagBytes, search } from "./searches.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const TOPIC_COUNT = 2_000;
const SECONDS = 60;
/** Each topic gets a batch of this many records a second. */
const BATCH_RECORDS = 2;
const RECORD_BYTES = 256;
/** Requests a second; each carries its share of the topics. */
const REQUESTS_PER_SECOND = 10;
const INTERVAL_SECS = 10;
const CREATED_AT_ONCE = 200;
const CREATE_VERSION = 7;
const PRODUCE_VERSION = 12;
const MEGABYTE = 1e6;

export const MANY_TOPICS: Workload = { name: "many-topics", run: manyTopics };

interface Load {
  readonly recordCount: number;
  readonly peakMegabytes: number;
  readonly startMegabytes: number;
  readonly lagBytes: number;
  readonly caughtUpMs: number;
  readonly segments: unknown;
  readonly files: Readonly<Record<string, number>>;
  readonly othersCores: number;
}

async function manyTopics(context: Context): Promise<Outcome> {
  const off = await loadOnce(context, false);
  const on = await loadOnce(context, true);
  const added = on.peakMegabytes - off.peakMegabytes;
  const what = `${scaled(TOPIC_COUNT, context)} topics, ${BATCH_RECORDS} JSON records a second each`;
  const row = { kafka: [], othersCores: [off.othersCores, on.othersCores] };
  const rows: Row[] = [
    {
      ...row,
      name: "many-topics/indexing",
      title: `${what}: peak RSS that indexing adds`,
      unit: "MB",
      ours: [added],
      target: { of: "value", atMost: 300 },
    },
    {
      ...row,
      name: "many-topics/rss",
      title: `${what}: peak RSS`,
      unit: "MB",
      ours: [on.peakMegabytes],
    },
    {
      ...row,
      name: "many-topics/lag",
      title: `${what}: until the last record is a hit`,
      unit: "ms",
      ours: [on.caughtUpMs],
    },
  ];
  context.tell(
    `many-topics: peak RSS ${on.peakMegabytes.toFixed(0)} MB with indexing, ` +
      `${off.peakMegabytes.toFixed(0)} without`,
  );
  return { rows, runs: [off, on] };
}

/** @throws if a record is refused, or not found at the end */
async function loadOnce(context: Context, isIndexed: boolean): Promise<Load> {
  const directory = join(context.directory, `many-topics-${isIndexed}`);
  const flags = [
    `--enable-wal-indexing=${isIndexed}`,
    `--wal-indexing-interval-secs=${INTERVAL_SECS}`,
  ];
  const broker = await Broker.start(context.chronik(...flags), directory);
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  try {
    const topics = Array.from(
      { length: scaled(TOPIC_COUNT, context) },
      (_, index) => `service-${String(index).padStart(5, "0")}`,
    );
    await createAll(client, topics);
    const startMegabytes = residentMemoryOf(broker.pid).nowBytes / MEGABYTE;
    const watch = new UsageWatch(broker.pid);
    const recordCount = await produceSteadily(client, topics, scaled(SECONDS, context));
    const endedMs = performance.now();
    const lagBytes = isIndexed ? await indexerLagBytes(broker) : 0;
    if (isIndexed) await indexedAll(broker);
    const caughtUpMs = performance.now() - endedMs;
    const { othersCores } = watch.stop(0);
    if (isIndexed) await expectCount(broker, recordCount);
    return {
      ...{ recordCount, startMegabytes, lagBytes, caughtUpMs, othersCores },
      peakMegabytes: residentMemoryOf(broker.pid).peakBytes / MEGABYTE,
      segments: await (await fetch(`${broker.httpUrl}/api/segments`)).json(),
      files: filesOf(join(directory, "data")),
    };
  } finally {
    client.close();
    await broker.kill();
  }
}

async function createAll(client: PipelinedClient, names: readonly string[]): Promise<void> {
  for (let at = 0; at < names.length; at += CREATED_AT_ONCE) {
    const topics = names.slice(at, at + CREATED_AT_ONCE).map((name) => ({
      ...{ name, numPartitions: 1, replicationFactor: 1, assignments: [], configs: [] },
    }));
    const reader = await client.exchange(ApiKey.createTopics, CREATE_VERSION, (writer) =>
      writeCreateTopicsRequest(writer, { topics, timeoutMs: 60_000 }, CREATE_VERSION),
    );
    const { topics: answers } = readCreateTopicsResponse(reader, CREATE_VERSION);
    const refused = answers.find(({ errorCode }) => errorCode !== 0);
    if (refused !== undefined) throw new Error(`${refused.name}: ${refused.errorMessage}`);
  }
}

/** @returns how many records were acknowledged */
async function produceSteadily(
  client: PipelinedClient,
  topics: readonly string[],
  seconds: number,
): Promise<number> {
  const share = Math.ceil(topics.length / REQUESTS_PER_SECOND);
  const startedMs = performance.now();
  const answers: Promise<number>[] = [];
  for (let tick = 0; tick < seconds * REQUESTS_PER_SECOND; tick += 1) {
    const dueMs = startedMs + (tick * 1000) / REQUESTS_PER_SECOND;
    await Bun.sleep(Math.max(0, dueMs - performance.now()));
    const first = (tick % REQUESTS_PER_SECOND) * share;
    answers.push(produceOne(client, topics.slice(first, first + share), tick));
  }
  const counts = await Promise.all(answers);
  return counts.reduce((sum, count) => sum + count, 0);
}

/** One request with a batch for each of the topics. */
async function produceOne(
  client: PipelinedClient,
  topics: readonly string[],
  tick: number,
): Promise<number> {
  const topicData = topics.map((name, index) => ({
    name,
    partitionData: [{ index: 0, records: batchOfLines(tick * topics.length + index) }],
  }));
  const request = { acks: -1, timeoutMs: 60_000, topicData };
  const reader = await client.exchange(ApiKey.produce, PRODUCE_VERSION, (writer) =>
    writeProduceRequest(writer, request, PRODUCE_VERSION),
  );
  for (const { name, partitionResponses } of readProduceResponse(reader, PRODUCE_VERSION)
    .responses) {
    for (const { errorCode } of partitionResponses) {
      if (errorCode !== 0) throw new Error(`${name} answered ${errorCode}.`);
    }
  }
  return topics.length * BATCH_RECORDS;
}

function batchOfLines(batchIndex: number): Uint8Array {
  const timestampMs = Date.now();
  const records = Array.from({ length: BATCH_RECORDS }, (_, offset) => ({
    ...{ offset, timestampMs, key: null, headers: [], attributes: 0 },
    value: Buffer.from(logLineOf(batchIndex * BATCH_RECORDS + offset, RECORD_BYTES)),
  }));
  return encodeBatch(batchOf(records));
}

/** Each record is in one index: where it is in none, or in two, the count says so. */
async function expectCount(broker: Broker, recordCount: number): Promise<void> {
  const body = { size: 0, track_total_hits: true, query: { match_all: {} } };
  const found = await search(broker, { topic: "_all", body });
  if (found.hits.total.value === recordCount) return;
  throw new Error(`${found.hits.total.value} of ${recordCount} records are found.`);
}

/** Files and bytes by folder of the data directory. */
function filesOf(directory: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: "utf8" })) {
    const stat = statSync(join(directory, name), { throwIfNoEntry: false });
    if (!stat?.isFile()) continue;
    const [folder = ""] = name.split("/");
    counts[`${folder} files`] = (counts[`${folder} files`] ?? 0) + 1;
    counts[`${folder} bytes`] = (counts[`${folder} bytes`] ?? 0) + stat.size;
  }
  return counts;
}
