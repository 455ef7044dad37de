/**
 * Ten million documents for `query-10m` and `aggregate-10m`, loaded once for both: topic after topic, each sealed when
 * it is whole, so that each of the twenty topics is one segment, and none is merged with others. A search over all of
 * them looks into all of these. With `--keep` the data directory stays for the next run.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Broker, type BrokerKind } from "../conformance/broker.ts";
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
import {
  DOCUMENT_COUNT,
  documentOf,
  TOPIC_COUNT,
  timestampMsOf,
  topicName,
} from "./query-documents.ts";
import { createTopic } from "./topic-access.ts";
import { type Context, scaled } from "./workload.ts";

/** Raised when what is loaded changes. */
const RECIPE = 1;
const BATCH_RECORDS = 1_000;
/** Nothing is sealed but when it is told to. */
const FLAGS = [
  "--wal-file-bytes=1G",
  "--wal-indexing-interval-secs=86400",
  "--log-retention-ms=-1", // The documents are of years.
];
/** Aggregations over everything may take longer than people wait. */
const SEARCH_FLAG = "--search-timeout-ms=120000";
const SEAL_MS_MAX = 120_000;
const INDEX_MS_MAX = 1_800_000;
const MARK = "loaded.json";

/** All topics. */
export const SEARCHED = "logs-*";

/** A broker that has just started on the documents, all of them archived. */
export interface LoadedBroker {
  readonly broker: Broker;
  readonly documentCount: number;
  readonly segmentCount: number;
}

interface Mark {
  readonly recipe: number;
  readonly documentCount: number;
}

/** Loads the documents unless that was done before. The caller stops the broker. */
export async function startLoaded(context: Context): Promise<LoadedBroker> {
  const documentCount = scaled(DOCUMENT_COUNT, context);
  const directory = join(context.keep ?? context.directory, `documents-${documentCount}`);
  const kind = context.chronik(...FLAGS, SEARCH_FLAG);
  const mark: Mark = { recipe: RECIPE, documentCount };
  if (!isMarked(directory, mark)) {
    await load(kind, { directory, documentCount, tell: context.tell });
    writeFileSync(join(directory, MARK), JSON.stringify(mark));
  }
  const broker = await Broker.of(kind, directory);
  await broker.start();
  const values = await whenMetrics(broker, { holds: isArchived, timeoutMs: SEAL_MS_MAX });
  return { broker, documentCount, segmentCount: metricSum(values, "chronik_segments") };
}

/** `10,000,000 documents in 20 segments`. */
export function describeLoaded({ documentCount, segmentCount }: LoadedBroker): string {
  return `${documentCount.toLocaleString("en")} documents in ${segmentCount} segments`;
}

function isMarked(directory: string, mark: Mark): boolean {
  const file = join(directory, MARK);
  return existsSync(file) && readFileSync(file, "utf8") === JSON.stringify(mark);
}

async function load(
  kind: BrokerKind,
  order: { directory: string; documentCount: number; tell: Context["tell"] },
): Promise<void> {
  const { directory, documentCount, tell } = order;
  mkdirSync(directory, { recursive: true });
  const broker = await Broker.start(kind, directory);
  const startedMs = performance.now();
  const elapsed = () => `${((performance.now() - startedMs) / 1000).toFixed(0)} s`;
  try {
    let sizeBytes = 0;
    for (let number = 0; number < TOPIC_COUNT; number += 1) {
      const topic = { name: topicName(number), partitionCount: 1 };
      await createTopic(broker, topic);
      const loaded = await loadBatches(broker, topic.name, batchesOf(number, documentCount));
      sizeBytes += loaded.sizeBytes;
      await sealNow(broker);
      await whenMetrics(broker, {
        holds: (values) => isSealed(values, sizeBytes),
        timeoutMs: SEAL_MS_MAX,
      });
    }
    tell(`${documentCount} documents of ${sizeBytes} bytes are loaded after ${elapsed()}`);
    await whenMetrics(broker, {
      holds: (values) => isArchived(values) && isSearchable(values),
      timeoutMs: INDEX_MS_MAX,
    });
    const objectBytes = metric(await metricsOf(broker), 'chronik_segment_bytes{kind="object"}');
    tell(`they are archived with their indexes in ${objectBytes} bytes after ${elapsed()}`);
    const code = await broker.stop();
    if (code !== 0) throw new Error(`The broker ended with ${code}:\n${broker.log()}`);
  } finally {
    await broker.kill();
  }
}

/** Those of every `TOPIC_COUNT`th document. */
function* batchesOf(topicNumber: number, documentCount: number): Generator<PartitionBatch> {
  const encoder = new TextEncoder();
  let values: Uint8Array[] = [];
  let first = topicNumber;
  const encoded = () => {
    const start = first;
    return encodeValues(values, (record) =>
      timestampMsOf(start + record * TOPIC_COUNT, documentCount),
    );
  };
  for (let index = topicNumber; index < documentCount; index += TOPIC_COUNT) {
    values.push(encoder.encode(documentOf(index)));
    if (values.length < BATCH_RECORDS) continue;
    yield { partition: 0, records: encoded() };
    values = [];
    first = index + TOPIC_COUNT;
  }
  if (values.length > 0) yield { partition: 0, records: encoded() };
}
