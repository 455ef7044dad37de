/** How long aggregations over ten million documents in twenty segments take, warm; one at a time. */
import type { Broker } from "../conformance/broker.ts";
import { UsageWatch } from "./process-usage.ts";
import { describeLoaded, SEARCHED, startLoaded } from "./query-load.ts";
import type { Row } from "./row.ts";
import { search } from "./searches.ts";
import { median } from "./statistics.ts";
import type { Context, Outcome, Workload } from "./workload.ts";

export const AGGREGATE_10M: Workload = { name: "aggregate-10m", run };

interface AggregationKind {
  readonly name: string;
  readonly title: string;
  readonly aggs: object;
}

const DURATION_STATS = { duration: { stats: { field: "ms" } } };

const KINDS: readonly AggregationKind[] = [
  {
    name: "nested",
    title: "terms of a service, date_histogram by hour, stats of a number in each",
    aggs: {
      services: {
        terms: { field: "svc" },
        aggs: {
          hours: {
            date_histogram: { field: "_timestamp", fixed_interval: "1h" },
            aggs: DURATION_STATS,
          },
        },
      },
    },
  },
  {
    name: "terms",
    title: "terms of a service",
    aggs: { services: { terms: { field: "svc" } } },
  },
  {
    name: "date-histogram",
    title: "date_histogram by hour",
    aggs: { hours: { date_histogram: { field: "_timestamp", fixed_interval: "1h" } } },
  },
  { name: "stats", title: "stats of a number", aggs: DURATION_STATS },
  {
    name: "percentiles",
    title: "percentiles of a number",
    aggs: { duration: { percentiles: { field: "ms", percents: [50, 95, 99] } } },
  },
  {
    name: "cardinality",
    title: "cardinality of 100,000 users",
    aggs: { users: { cardinality: { field: "user" } } },
  },
];

interface Timed {
  readonly kind: string;
  readonly milliseconds: number;
  readonly brokerCpuSeconds: number;
  readonly othersCores: number;
}

async function run(context: Context): Promise<Outcome> {
  const loaded = await startLoaded(context);
  const { broker, documentCount } = loaded;
  try {
    const rounds: Timed[] = [];
    for (let round = 0; round <= context.pairCount; round += 1) {
      for (const kind of KINDS) {
        const timed = await aggregate(broker, kind, documentCount);
        if (round > 0) rounds.push(timed);
      }
    }
    const timesOf = (name: string) => rounds.filter(({ kind }) => kind === name);
    const rows = KINDS.map(
      ({ name, title }): Row => ({
        name: `aggregate-10m/${name}`,
        title: `${describeLoaded(loaded)}: ${title}`,
        unit: "ms",
        ours: timesOf(name).map(({ milliseconds }) => milliseconds),
        kafka: [],
        othersCores: timesOf(name).map(({ othersCores }) => othersCores),
      }),
    );
    const told = rows.map(({ name, ours }) => `${name} ${median(ours).toFixed(0)} ms`);
    context.tell(told.join(", "));
    return { rows, runs: rounds };
  } finally {
    await broker.stop();
  }
}

/** @throws unless it is over all documents */
async function aggregate(
  broker: Broker,
  { name, aggs }: AggregationKind,
  documentCount: number,
): Promise<Timed> {
  const watch = new UsageWatch(broker.pid);
  const startedMs = performance.now();
  const body = { size: 0, track_total_hits: true, aggs };
  const { hits } = await search(broker, { topic: SEARCHED, body });
  const milliseconds = performance.now() - startedMs;
  const { brokerCpuSeconds, othersCores } = watch.stop(0);
  if (hits.total.value !== documentCount) {
    throw new Error(`${name}: over ${hits.total.value} of ${documentCount} documents.`);
  }
  return { kind: name, milliseconds, brokerCpuSeconds, othersCores };
}
