/**
 * Search freshness: the time from a record's acknowledgement until a full-text query finds it, at 20,000 records of
 * 200 bytes a second (JSON log lines, every word indexed).
 *
 * A producer in this process sends at that rate whatever the answers do, and keeps when each record was acknowledged.
 * Meanwhile one query after the other asks for a word that all records contain, newest offset first: its first hit
 * tells up to which offset everything can be found, and its total must say that nothing before is missing. A record
 * counts as found when the answer to the first such query has arrived, so the query's own time is part of it.
 */
import { join } from "node:path";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { Broker } from "../conformance/broker.ts";
import { runToEnd } from "./child.ts";
import { COMMON_WORD, logLineOf, uniqueWordOf } from "./log-lines.ts";
import { UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { search } from "./searches.ts";
import { percentile } from "./statistics.ts";
import { createTopic } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const RECORDS_PER_SECOND = 20_000;
const RECORD_BYTES = 200;
const DURATION_SECONDS = 20;
const TICK_MS = 10;
const SEARCH_PAUSE_MS = 20;
const FRESH_MS_MAX = 1000;
/** For the last records to be found. */
const PATIENCE_MS = 60_000;
const REMOVE_TIMEOUT_MS = 60_000;
/** Found one by one at the end. */
const SAMPLE_COUNT = 100;
const TOPIC = { name: "freshness", partitionCount: 1 };

export const FRESHNESS: Workload = {
  name: "freshness",
  run: async (context) => {
    const directory = join(context.directory, "freshness");
    const broker = await Broker.start(context.chronik(), directory);
    try {
      return await measure(broker, context);
    } finally {
      await broker.kill();
      await runToEnd(["rm", "-rf", directory], { timeoutMs: REMOVE_TIMEOUT_MS });
    }
  },
};

async function measure(broker: Broker, context: Context): Promise<Outcome> {
  const recordCount = scaled(DURATION_SECONDS * RECORDS_PER_SECOND, context);
  const values = valuesOf(recordCount);
  await createTopic(broker, TOPIC);
  await findLastOffset(broker); // The search Worker starts with the first search.
  const watch = new UsageWatch(broker.pid);
  const ackedMs = new Float64Array(recordCount).fill(Number.POSITIVE_INFINITY);
  const finding = findAll(broker, recordCount);
  const [sendSeconds, { foundMs, searchMs }] = await Promise.all([
    sendAtRate(broker, { values, ackedMs }),
    finding,
  ]);
  const { othersCores, brokerCpuSeconds } = watch.stop(0);
  await findSamples(broker, recordCount);
  const delaysMs = foundMs.map((ms, offset) => ms - (ackedMs[offset] ?? 0));
  const run = {
    recordCount,
    recordsPerSecond: recordCount / sendSeconds,
    delayMsP50: percentile(delaysMs, 0.5),
    delayMsP99: percentile(delaysMs, 0.99),
    delayMsMax: percentile(delaysMs, 1),
    searchCount: searchMs.length,
    searchMsP99: percentile(searchMs, 0.99),
    brokerCpuSeconds,
    othersCores,
  };
  const { delayMsP50, delayMsP99, delayMsMax } = run;
  context.tell(
    `freshness: p50 ${delayMsP50.toFixed(0)}, p99 ${delayMsP99.toFixed(0)}, max ${delayMsMax.toFixed(0)} ms ` +
      `at ${run.recordsPerSecond.toFixed(0)} records/s`,
  );
  return { rows: rowsOf(run), runs: [run] };
}

type Freshness = Readonly<
  Record<"recordsPerSecond" | "delayMsP50" | "delayMsP99" | "delayMsMax" | "othersCores", number>
>;

function rowsOf(run: Freshness): Row[] {
  const title = "from acknowledgement to hit at 20,000 records/s of 200 bytes";
  const target = { of: "value", atMost: FRESH_MS_MAX } as const;
  const common = { kafka: [], othersCores: [run.othersCores] };
  const delay = { ...common, unit: "ms", target };
  return [
    { ...delay, name: "freshness/max", title: `${title}: largest`, ours: [run.delayMsMax] },
    { ...delay, name: "freshness/p99", title: `${title}: p99`, ours: [run.delayMsP99] },
    {
      ...common,
      name: "freshness/rate",
      title: `${title}: rate reached`,
      unit: "records/s",
      // A little below: the last records are acknowledged after the last were sent.
      target: { of: "value", atLeast: RECORDS_PER_SECOND * 0.98 },
      ours: [run.recordsPerSecond],
    },
  ];
}

/** Sends what is due at each tick as one batch. Fills in `ackedMs`. @returns seconds until the last acknowledgement */
async function sendAtRate(
  broker: Broker,
  { values, ackedMs }: { values: readonly Uint8Array[]; ackedMs: Float64Array },
): Promise<number> {
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  const startedMs = performance.now();
  const acknowledgements: Promise<void>[] = [];
  let sentCount = 0;
  while (sentCount < values.length) {
    const elapsedSeconds = (performance.now() - startedMs) / 1000;
    const dueCount = Math.min(values.length, Math.ceil(elapsedSeconds * RECORDS_PER_SECOND));
    if (dueCount > sentCount) {
      const batch = encode(values.slice(sentCount, dueCount));
      acknowledgements.push(sendOne(client, { batch, ackedMs, first: sentCount, end: dueCount }));
    }
    sentCount = dueCount;
    await Bun.sleep(TICK_MS);
  }
  try {
    await Promise.all(acknowledgements);
  } finally {
    client.close();
  }
  return ((ackedMs.at(-1) ?? 0) - startedMs) / 1000;
}

/** @throws unless it is acknowledged at the offsets `first` to `end`, exclusive */
async function sendOne(
  client: PipelinedClient,
  sent: { batch: Uint8Array; ackedMs: Float64Array; first: number; end: number },
): Promise<void> {
  const answer = await client.produce(TOPIC.name, sent.batch);
  if (answer?.errorCode !== 0 || answer.baseOffset !== sent.first) {
    throw new Error(`Produced at ${sent.first}: ${JSON.stringify(answer)}`);
  }
  sent.ackedMs.fill(performance.now(), sent.first, sent.end);
}

/** Searches until all records are found. @returns when each was, and how long each search took */
async function findAll(broker: Broker, recordCount: number) {
  const foundMs = new Float64Array(recordCount);
  const searchMs: number[] = [];
  const deadlineMs = performance.now() + PATIENCE_MS + (recordCount / RECORDS_PER_SECOND) * 1000;
  let foundCount = 0;
  while (foundCount < recordCount) {
    const startedMs = performance.now();
    const lastOffset = await findLastOffset(broker);
    const nowMs = performance.now();
    searchMs.push(nowMs - startedMs);
    foundMs.fill(nowMs, foundCount, lastOffset + 1);
    foundCount = Math.max(foundCount, lastOffset + 1);
    if (nowMs > deadlineMs) throw new Error(`Only ${foundCount} of ${recordCount} were found.`);
    await Bun.sleep(SEARCH_PAUSE_MS);
  }
  return { foundMs, searchMs };
}

/** -1 if nothing is found. @throws if a record before the last is not */
async function findLastOffset(broker: Broker): Promise<number> {
  const query = { match: { _value: COMMON_WORD } };
  const body = { query, size: 1, sort: [{ _offset: "desc" }] };
  const { hits } = await search(broker, { topic: TOPIC.name, body });
  const lastOffset = hits.hits[0]?._source.offset ?? -1;
  if (hits.total.value !== lastOffset + 1) {
    throw new Error(`${hits.total.value} hits up to offset ${lastOffset}.`);
  }
  return lastOffset;
}

/** Records spread over all of them are each the only hit of their own word. */
async function findSamples(broker: Broker, recordCount: number): Promise<void> {
  for (let sample = 0; sample < SAMPLE_COUNT; sample += 1) {
    const offset = Math.floor((sample * recordCount) / SAMPLE_COUNT);
    const body = { query: { term: { _value: uniqueWordOf(offset) } } };
    const { hits } = await search(broker, { topic: TOPIC.name, body });
    const ids = hits.hits.map(({ _id }) => _id).join(" ");
    if (ids !== `${TOPIC.name}/0/${offset}`) throw new Error(`Offset ${offset}: found [${ids}].`);
  }
}

function valuesOf(recordCount: number): Uint8Array[] {
  const encoder = new TextEncoder();
  return Array.from({ length: recordCount }, (_, index) =>
    encoder.encode(logLineOf(index, RECORD_BYTES)),
  );
}

function encode(values: readonly Uint8Array[]): Uint8Array {
  const timestampMs = Date.now();
  return encodeBatch(
    batchOf(
      values.map((value, offset) => ({
        offset,
        timestampMs,
        key: null,
        value,
        headers: [],
        attributes: 0,
      })),
    ),
  );
}
