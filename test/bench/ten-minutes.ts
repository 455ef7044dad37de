/**
 * Ten minutes of producing as fast as it goes, with indexing: does everything that could grow stay bounded? Each
 * second the broker's WAL on disk, segments, index lag and resident memory are looked at.
 *
 * This process is the producer: batches of 128 log lines of 1 KiB, encoded once and sent again and again over six
 * partitions, eight under way at a time. That is more than a real client sends on the same cores. What it writes
 * would fill a disk, so records are deleted (DeleteRecords) when segments have more than 12 GiB, all but the last
 * 6 GiB: purging is part of the load. A refused or failed produce request fails the workload.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { SETTINGS } from "../../src/config/settings.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { Broker } from "../conformance/broker.ts";
import { encodeValues, loadBatches, type PartitionBatch } from "./batch-loader.ts";
import { metric, metricSum, metricsOf } from "./broker-state.ts";
import { logLineOf } from "./log-lines.ts";
import { residentMemoryOf, UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { createTopic, endOffsetsOfTopic } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const DURATION_SECONDS = 600;
const SAMPLE_MS = 1_000;
/** Samples of one entry in the file of results, which has the largest of each value. */
const SAMPLES_PER_ENTRY = 10;
const RECORD_BYTES = 1024;
const BATCH_RECORDS = 128;
const DISTINCT_BATCHES = 128;
const TOPIC = { name: "long", partitionCount: 6 };
const FLAGS = ["--file-delete-delay-ms=1000"];
const MEGABYTE = 1e6;
const GIB = 2 ** 30;
const TRIMMED_ABOVE_BYTES = 12 * GIB;
const KEPT_BYTES = 6 * GIB;

export const TEN_MINUTES: Workload = { name: "ten-minutes", run };

interface Sample {
  readonly second: number;
  readonly producedMegabytes: number;
  readonly walMegabytes: number;
  readonly segmentMegabytes: number;
  readonly segmentCount: number;
  readonly lagMegabytes: number;
  readonly residentMegabytes: number;
}

async function run(context: Context): Promise<Outcome> {
  const seconds = scaled(DURATION_SECONDS, context);
  const kind = context.chronik(...FLAGS);
  const broker = await Broker.start(kind, join(context.directory, "ten-minutes"));
  try {
    await createTopic(broker, TOPIC);
    const watch = new UsageWatch(broker.pid);
    const endMs = performance.now() + seconds * 1000;
    const loading = loadBatches(broker, TOPIC.name, batchesUntil(endMs));
    const [loaded, samples] = await Promise.all([loading, sampleUntil(broker, endMs)]);
    const usage = watch.stop(0);
    const rate = loaded.sizeBytes / loaded.seconds / MEGABYTE;
    const peakMegabytes = residentMemoryOf(broker.pid).peakBytes / MEGABYTE;
    context.tell(describe({ samples, rate, peakMegabytes }));
    const rows = rowsOf({ samples, rate, peakMegabytes, othersCores: usage.othersCores });
    return { rows, runs: [{ ...loaded, ...usage, peakMegabytes, samples: thinned(samples) }] };
  } finally {
    await broker.kill();
    rmSync(broker.directory, { recursive: true, force: true });
  }
}

function* batchesUntil(endMs: number): Generator<PartitionBatch> {
  const encoder = new TextEncoder();
  const batches = Array.from({ length: DISTINCT_BATCHES }, (_, batch) =>
    encodeValues(
      Array.from({ length: BATCH_RECORDS }, (_, record) =>
        encoder.encode(logLineOf(batch * BATCH_RECORDS + record, RECORD_BYTES)),
      ),
    ),
  );
  for (let sent = 0; performance.now() < endMs; sent += 1) {
    const records = batches[sent % DISTINCT_BATCHES] as Uint8Array;
    yield { partition: sent % TOPIC.partitionCount, records };
  }
}

async function sampleUntil(broker: Broker, endMs: number): Promise<readonly Sample[]> {
  const startedMs = performance.now();
  const samples: Sample[] = [];
  while (performance.now() < endMs) {
    const sample = await sampleNow(broker, (performance.now() - startedMs) / 1000);
    samples.push(sample);
    if (sample.segmentMegabytes * MEGABYTE > TRIMMED_ABOVE_BYTES) await trim(broker);
    const nextMs = startedMs + samples.length * SAMPLE_MS;
    await Bun.sleep(Math.max(0, nextMs - performance.now()));
  }
  return samples;
}

async function sampleNow(broker: Broker, second: number): Promise<Sample> {
  const values = await metricsOf(broker);
  const megabytes = (name: string) => metric(values, name) / MEGABYTE;
  return {
    second: Math.round(second),
    producedMegabytes: megabytes("chronik_produced_bytes_total"),
    walMegabytes: megabytes("chronik_wal_size_bytes"),
    segmentMegabytes: megabytes('chronik_segment_bytes{kind="object"}'),
    segmentCount: metricSum(values, "chronik_segments"),
    lagMegabytes: megabytes("chronik_indexer_lag_bytes"),
    residentMegabytes: residentMemoryOf(broker.pid).nowBytes / MEGABYTE,
  };
}

/** Deletes the oldest records; does nothing if there are not so many. */
async function trim(broker: Broker): Promise<void> {
  const kept = Math.ceil(KEPT_BYTES / RECORD_BYTES / TOPIC.partitionCount);
  const endOffsets = await endOffsetsOfTopic(broker, TOPIC);
  const offsets = Object.fromEntries(endOffsets.map((end, index) => [index, end - kept]));
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  try {
    const answers = await client.deleteRecords(TOPIC.name, offsets);
    const failed = answers.find(({ errorCode }) => errorCode !== 0);
    if (failed !== undefined) throw new Error(`DeleteRecords: ${JSON.stringify(failed)}`);
  } finally {
    client.close();
  }
}

interface Measured {
  readonly samples: readonly Sample[];
  /** Of batches, in megabytes a second. */
  readonly rate: number;
  readonly peakMegabytes: number;
}

type Quantity = keyof Sample;

function maxOf(samples: readonly Sample[], quantity: Quantity): number {
  return Math.max(...samples.map((sample) => sample[quantity]));
}

function rowsOf(measured: Measured & { readonly othersCores: number }): Row[] {
  const { samples, rate, peakMegabytes, othersCores } = measured;
  const row = (name: string, title: string, unit: string, value: number): Row => ({
    name: `ten-minutes/${name}`,
    title: `ten minutes at full speed: ${title}`,
    unit,
    ours: [value],
    kafka: [],
    othersCores: [othersCores],
  });
  const atMost = (bytes: number) => ({ of: "value", atMost: bytes / MEGABYTE }) as const;
  return [
    {
      ...row("wal", "largest WAL on disk", "MB", maxOf(samples, "walMegabytes")),
      target: atMost(SETTINGS.walBytesMax.default),
    },
    {
      ...row("rss", "peak RSS", "MB", peakMegabytes),
      target: atMost(SETTINGS.memoryMaxBytes.default),
    },
    row("segments", "most segments at a time", "segments", maxOf(samples, "segmentCount")),
    row("lag", "largest index lag", "MB", maxOf(samples, "lagMegabytes")),
    row("rate", "produced", "MB/s", rate),
    row("slowest", "produced in the slowest tenth", "MB/s", Math.min(...ratesOf(samples))),
  ];
}

/** Of ten stretches of the same length, in megabytes a second; of fewer where there are few samples. */
function ratesOf(samples: readonly Sample[]): number[] {
  const step = Math.max(1, Math.floor(samples.length / 10));
  const rates: number[] = [];
  for (let at = 0; at + step < samples.length; at += step) {
    const [from, to] = [samples[at], samples[at + step]] as [Sample, Sample];
    rates.push((to.producedMegabytes - from.producedMegabytes) / (to.second - from.second));
  }
  return rates;
}

/** The largest of each value over stretches of samples. */
function thinned(samples: readonly Sample[]): readonly Sample[] {
  const entries: Sample[] = [];
  for (let start = 0; start < samples.length; start += SAMPLES_PER_ENTRY) {
    const part = samples.slice(start, start + SAMPLES_PER_ENTRY);
    const max = (quantity: Quantity) => Math.round(maxOf(part, quantity));
    entries.push({
      second: max("second"),
      producedMegabytes: max("producedMegabytes"),
      walMegabytes: max("walMegabytes"),
      segmentMegabytes: max("segmentMegabytes"),
      segmentCount: max("segmentCount"),
      lagMegabytes: max("lagMegabytes"),
      residentMegabytes: max("residentMegabytes"),
    });
  }
  return entries;
}

function describe({ samples, rate, peakMegabytes }: Measured): string {
  const max = (quantity: Quantity) => maxOf(samples, quantity).toFixed(0);
  return (
    `ten-minutes: ${rate.toFixed(0)} MB/s; at most ${max("walMegabytes")} MB of WAL, ` +
    `${max("segmentCount")} segments, ${max("lagMegabytes")} MB of lag, ` +
    `${peakMegabytes.toFixed(0)} MB resident`
  );
}
