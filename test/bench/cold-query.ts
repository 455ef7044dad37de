/**
 * What a search reads of an archive that nobody has looked into: a segment of 256 MiB of log lines with its search
 * index, a broker that has just started, and one query for a word that a few records contain, ten of which are shown.
 * The count is the broker's own: bytes of the object, those of its table of contents, the index, and the batches of
 * the ten hits (`chronik_segment_read_bytes_total`). Each start is cold again; what the page cache holds plays no part.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { Broker } from "../conformance/broker.ts";
import { encodeValues, loadBatches, type PartitionBatch } from "./batch-loader.ts";
import {
  isArchived,
  isSealed,
  isSearchable,
  metric,
  metricSum,
  metricsOf,
  sealNow,
  whenMetrics,
} from "./broker-state.ts";
import { logLineOf } from "./log-lines.ts";
import { UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { search } from "./searches.ts";
import { createTopic } from "./topic-access.ts";
import { VOCABULARY } from "./words.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

/** With its index, that is an archive of 256 MiB. */
const RECORD_COUNT = 160_000;
const RECORD_BYTES = 1024;
const BATCH_RECORDS = 100;
const TOPIC = { name: "cold", partitionCount: 6 };
/** One WAL file takes all of it, and nothing is sealed before all is there. */
const FLAGS = ["--wal-file-bytes=512M", "--wal-indexing-interval-secs=86400"];
const INDEX_MS_MAX = 300_000;
const HIT_COUNT = 10;
const READ_PERCENT_MAX = 5;
const READ_BYTES = "chronik_segment_read_bytes_total";

export const COLD_QUERY: Workload = { name: "cold-query", run };

interface ColdSearch {
  readonly word: string;
  readonly foundCount: number;
  readonly indexBytes: number;
  readonly batchBytes: number;
  readonly objectBytes: number;
  readonly milliseconds: number;
  readonly othersCores: number;
}

async function run(context: Context): Promise<Outcome> {
  const recordCount = scaled(RECORD_COUNT, context);
  const broker = await Broker.start(context.chronik(...FLAGS), join(context.directory, "cold"));
  const searches: ColdSearch[] = [];
  try {
    await createTopic(broker, TOPIC);
    const { sizeBytes } = await loadBatches(broker, TOPIC.name, batches(recordCount));
    await sealNow(broker);
    await whenMetrics(broker, {
      holds: (values) => isSealed(values, sizeBytes) && isArchived(values) && isSearchable(values),
      timeoutMs: INDEX_MS_MAX,
    });
    while (searches.length < context.pairCount) {
      await broker.stop();
      await broker.start();
      searches.push(await searchCold(broker, searches.length));
    }
  } finally {
    await broker.kill();
    rmSync(broker.directory, { recursive: true, force: true });
  }
  for (const { word, foundCount, indexBytes, batchBytes, objectBytes, milliseconds } of searches) {
    context.tell(
      `cold-query: ${word} in ${foundCount} records of ${(objectBytes / 2 ** 20).toFixed(0)} MiB: ` +
        `${(indexBytes / 1024).toFixed(0)} KiB of the index, ${(batchBytes / 1024).toFixed(0)} of batches, ` +
        `${milliseconds.toFixed(0)} ms`,
    );
  }
  return { rows: rowsOf(searches), runs: searches };
}

function* batches(recordCount: number): Generator<PartitionBatch> {
  const encoder = new TextEncoder();
  for (let start = 0, batch = 0; start < recordCount; start += BATCH_RECORDS, batch += 1) {
    const length = Math.min(BATCH_RECORDS, recordCount - start);
    const values = Array.from({ length }, (_, index) =>
      encoder.encode(logLineOf(start + index, RECORD_BYTES)),
    );
    yield { partition: batch % TOPIC.partitionCount, records: encodeValues(values) };
  }
}

/** @throws if there is more than one segment, or there are not ten hits, or something was read before */
async function searchCold(broker: Broker, index: number): Promise<ColdSearch> {
  const word = rareWord(index);
  const before = await metricsOf(broker);
  const segmentCount = metricSum(before, "chronik_segments");
  if (segmentCount !== 1) throw new Error(`There are ${segmentCount} segments, not one.`);
  const watch = new UsageWatch(broker.pid);
  const startedMs = performance.now();
  const body = { query: { term: { _value: word } }, size: HIT_COUNT };
  const { hits } = await search(broker, { topic: TOPIC.name, body });
  const milliseconds = performance.now() - startedMs;
  const { othersCores } = watch.stop(0);
  const after = await metricsOf(broker);
  const readOf = (kind: string) => {
    const name = `${READ_BYTES}{kind="${kind}"}`;
    if (metric(before, name) > 0) throw new Error(`${kind} was read before the search.`);
    return metric(after, name);
  };
  if (hits.hits.length !== HIT_COUNT) throw new Error(`${word} has ${hits.hits.length} hits.`);
  return {
    word,
    foundCount: hits.total.value,
    indexBytes: readOf("index"),
    batchBytes: readOf("batches"),
    objectBytes: metric(after, 'chronik_segment_bytes{kind="object"}'),
    milliseconds,
    othersCores,
  };
}

/** One of the rarer half of the vocabulary. */
function rareWord(index: number): string {
  const random = seededRandom(index + 1);
  const half = VOCABULARY.length / 2;
  return VOCABULARY[half + Math.floor(random() * half)] ?? "";
}

function rowsOf(searches: readonly ColdSearch[]): Row[] {
  const what = "one word, ten hits, in an archive of 256 MiB, right after the start";
  const row = (name: string, title: string, unit: string, ours: readonly number[]): Row => ({
    name: `cold-query/${name}`,
    title: `${what}: ${title}`,
    unit,
    ours,
    kafka: [],
    othersCores: searches.map(({ othersCores }) => othersCores),
  });
  const shares = searches.map(
    ({ indexBytes, batchBytes, objectBytes }) => ((indexBytes + batchBytes) / objectBytes) * 100,
  );
  return [
    {
      ...row("read", "part of the archive that is read", "%", shares),
      target: { of: "value", atMost: READ_PERCENT_MAX },
    },
    row(
      "archive",
      "size of the archive",
      "MiB",
      searches.map(({ objectBytes }) => objectBytes / 2 ** 20),
    ),
    row(
      "time",
      "time of the search, the start of its Worker included",
      "ms",
      searches.map(({ milliseconds }) => milliseconds),
    ),
  ];
}
