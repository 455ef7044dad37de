/**
 * The rate at which records become searchable, compared with Tantivy alone on the same documents.
 *
 * Ours: the records are produced to a broker that does not index and does not seal, so that all of them wait in the
 * WAL; it is killed, and started again with indexing. From just before that `exec`, recovery included, it takes until
 *   searchable  no durable byte is left that no search finds: read from the WAL, decoded, in the live index;
 *   archived    every record is in a segment, and every segment has its search index in its archive. So generations
 *               were frozen, merged and packed while others were filled.
 * Tantivy: a program with the same schema, analyzers, writer memory and threads reads the values from a file, adds
 * them, and commits once at the end (`ffi/examples/index_alone.rs`).
 *
 * Both run in turn, with both cores to themselves. CPU time is that of the whole process in each case.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Broker } from "../conformance/broker.ts";
import { PROJECT_DIRECTORY } from "../conformance/paths.ts";
import { encodeValues, loadBatches, type PartitionBatch } from "./batch-loader.ts";
import { isArchived, isSealed, isSearchable, whenMetrics } from "./broker-state.ts";
import { runToEnd } from "./child.ts";
import { cpuSecondsOf, UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { search } from "./searches.ts";
import { serviceLogOf } from "./service-logs.ts";
import { createTopic } from "./topic-access.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const DOCUMENT_COUNT = 200_000;
const TOPIC = { name: "indexed", partitionCount: 6 };
const BATCH_RECORDS = 200;
const RATIO_MIN = 0.7;
/** One WAL file takes all of it. */
const FILE_FLAG = "--wal-file-bytes=256M";
const LOAD_FLAGS = [FILE_FLAG, "--enable-wal-indexing=false", "--wal-indexing-interval-secs=86400"];
const INDEX_FLAGS = [FILE_FLAG, "--wal-indexing-interval-secs=1"];
const BUILD_MS_MAX = 1_200_000;
const INDEX_MS_MAX = 300_000;
const CARGO = ["cargo", "build", "--release", "--locked", "--quiet", "--example", "index_alone"];
const PROGRAM = join(PROJECT_DIRECTORY, "ffi/target/release/examples/index_alone");

export const INDEX_RATE: Workload = { name: "index-rate", run };

interface Took {
  readonly seconds: number;
  readonly cpuSeconds: number;
}

interface Round {
  readonly searchable: Took;
  readonly archived: Took;
  readonly tantivy: Took & { readonly mergedSeconds: number };
  readonly othersCores: number;
}

async function run(context: Context): Promise<Outcome> {
  const manifest = join(PROJECT_DIRECTORY, "ffi/Cargo.toml");
  await runToEnd([...CARGO, "--manifest-path", manifest], { timeoutMs: BUILD_MS_MAX });
  const directory = join(context.directory, "index-rate");
  mkdirSync(directory, { recursive: true });
  const count = scaled(DOCUMENT_COUNT, context);
  const lines = Array.from({ length: count }, (_, index) => serviceLogOf(index));
  const file = join(directory, "documents.jsonl");
  writeFileSync(file, `${lines.join("\n")}\n`);
  const rounds: Round[] = [];
  try {
    for (let round = 0; round <= context.pairCount; round += 1) {
      const ours = await indexWithBroker(context, { directory: join(directory, "broker"), lines });
      const tantivy = await indexAlone({ file, directory: join(directory, "alone"), count });
      if (round === 0) continue;
      const measured = { ...ours, tantivy };
      rounds.push(measured);
      context.tell(describe(round, count, measured));
    }
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
  return { rows: rowsOf(rounds, count), runs: rounds };
}

/** @throws unless every document is found */
async function indexWithBroker(
  context: Context,
  { directory, lines }: { directory: string; lines: readonly string[] },
): Promise<Omit<Round, "tantivy">> {
  const loading = await Broker.start(context.chronik(...LOAD_FLAGS), directory);
  let broker = loading;
  try {
    await createTopic(loading, TOPIC);
    const { sizeBytes } = await loadBatches(loading, TOPIC.name, batchesOf(lines));
    await loading.kill();
    await runToEnd(["sync"], { timeoutMs: INDEX_MS_MAX });
    broker = await Broker.of(context.chronik(...INDEX_FLAGS), directory);
    const watch = new UsageWatch();
    const startedMs = performance.now();
    const took = (): Took => ({
      seconds: (performance.now() - startedMs) / 1000,
      cpuSeconds: cpuSecondsOf(broker.pid),
    });
    await broker.start();
    await whenMetrics(broker, { holds: isSearchable, timeoutMs: INDEX_MS_MAX });
    const searchable = took();
    await whenMetrics(broker, {
      holds: (values) => isSealed(values, sizeBytes) && isArchived(values),
      timeoutMs: INDEX_MS_MAX,
    });
    const archived = took();
    const { othersCores } = watch.stop(archived.cpuSeconds);
    const body = { query: { match_all: {} }, size: 0, track_total_hits: true };
    const found = await search(broker, { topic: TOPIC.name, body });
    if (found.hits.total.value !== lines.length) {
      throw new Error(`${found.hits.total.value} of ${lines.length} documents are found.`);
    }
    return { searchable, archived, othersCores };
  } finally {
    await loading.kill();
    await broker.kill();
    rmSync(directory, { recursive: true, force: true });
  }
}

function* batchesOf(lines: readonly string[]): Generator<PartitionBatch> {
  const encoder = new TextEncoder();
  for (let start = 0, batch = 0; start < lines.length; start += BATCH_RECORDS, batch += 1) {
    const values = lines.slice(start, start + BATCH_RECORDS).map((text) => encoder.encode(text));
    yield { partition: batch % TOPIC.partitionCount, records: encodeValues(values) };
  }
}

async function indexAlone(order: {
  readonly file: string;
  readonly directory: string;
  readonly count: number;
}): Promise<Round["tantivy"]> {
  const { file, directory, count } = order;
  mkdirSync(directory, { recursive: true });
  try {
    const { output, cpuSeconds } = await runToEnd([PROGRAM, file, directory], {
      timeoutMs: INDEX_MS_MAX,
    });
    const { documents, committedSeconds, mergedSeconds } = JSON.parse(output) as Readonly<
      Record<"documents" | "committedSeconds" | "mergedSeconds", number>
    >;
    if (documents !== count) throw new Error(`Tantivy alone indexed ${documents} of ${count}.`);
    return { seconds: committedSeconds, cpuSeconds, mergedSeconds };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function rowsOf(rounds: readonly Round[], count: number): Row[] {
  const what = "JSON service logs of 300 to 1,024 bytes in the WAL";
  const row = (name: string, title: string, unit: string, read: (round: Round) => number): Row => ({
    name: `index-rate/${name}`,
    title: `${what}: ${title}`,
    unit,
    ours: rounds.map(read),
    kafka: [],
    othersCores: rounds.map(({ othersCores }) => othersCores),
  });
  const target = { of: "value", atLeast: RATIO_MIN } as const;
  const rate = ({ seconds }: Took) => count / seconds;
  const cost = ({ cpuSeconds }: Took) => (cpuSeconds / count) * 1e6;
  return [
    {
      ...row("ratio", "rate until all can be found, to Tantivy's alone", "×", (round) => {
        return rate(round.searchable) / rate(round.tantivy);
      }),
      target,
    },
    {
      ...row("archived-ratio", "rate until archived, to Tantivy's alone", "×", (round) => {
        return rate(round.archived) / rate(round.tantivy);
      }),
      target,
    },
    row("searchable", "rate until all can be found", "/s", (round) => rate(round.searchable)),
    row("archived", "rate until archived", "/s", (round) => rate(round.archived)),
    row("tantivy", "rate of Tantivy alone", "/s", (round) => rate(round.tantivy)),
    row("cpu", "CPU until all can be found", "µs each", (round) => cost(round.searchable)),
    row("archived-cpu", "CPU until archived", "µs each", (round) => cost(round.archived)),
    row("tantivy-cpu", "CPU of Tantivy alone", "µs each", (round) => cost(round.tantivy)),
  ];
}

function describe(round: number, count: number, { searchable, archived, tantivy }: Round): string {
  const text = ({ seconds, cpuSeconds }: Took) =>
    `${(count / seconds).toFixed(0)}/s, ${cpuSeconds.toFixed(1)} s CPU`;
  return (
    `index-rate ${round}: searchable ${text(searchable)}; archived ${text(archived)}; ` +
    `Tantivy alone ${text(tantivy)}`
  );
}
