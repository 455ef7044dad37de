/**
 * How long searches take over ten million documents in twenty segments, warm: ten hits with their records, the count
 * of all hits, over HTTP. A round asks a hundred queries of each kind, the kinds in turn, one query at a time, and then
 * the same with four under way. The first round warms caches and does not count; later ones ask the same.
 */

import { type Usage, UsageWatch } from "./process-usage.ts";
import { type Draw, drawOf, QUERY_KINDS, type QueryKind } from "./query-kinds.ts";
import { describeLoaded, type LoadedBroker, SEARCHED, startLoaded } from "./query-load.ts";
import type { Row } from "./row.ts";
import { search } from "./searches.ts";
import { percentile } from "./statistics.ts";
import type { Context, Outcome, Workload } from "./workload.ts";

const QUERIES_PER_KIND = 100;
const HIT_COUNT = 10;
const P99_MS_MAX = 50;
const MANY = 4;

export const QUERY_10M: Workload = { name: "query-10m", run };

interface Query {
  readonly kind: QueryKind;
  readonly body: object;
}

interface Answered {
  readonly kind: string;
  readonly milliseconds: number;
  readonly foundCount: number;
}

interface Round {
  readonly single: readonly Answered[];
  readonly usage: Usage;
  readonly many: readonly Answered[];
  readonly manySeconds: number;
}

async function run(context: Context): Promise<Outcome> {
  const loaded = await startLoaded(context);
  try {
    const queries = queriesFor(loaded.documentCount);
    const rounds: Round[] = [];
    for (let round = 0; round <= context.pairCount; round += 1) {
      const measured = await runRound(loaded, queries);
      if (round === 0) expectHits(measured.single);
      else rounds.push(measured);
      context.tell(`query-10m ${round}: ${describe(measured)}`);
    }
    return { rows: rowsOf(loaded, rounds), runs: rounds.map(summaryOf) };
  } finally {
    await loaded.broker.stop();
  }
}

function queriesFor(documentCount: number): readonly Query[] {
  return Array.from({ length: QUERIES_PER_KIND }, (_, number) => {
    const body = (kind: QueryKind) => {
      const draw: Draw = drawOf(number, documentCount);
      return { size: HIT_COUNT, ...kind.bodyOf(draw) };
    };
    return QUERY_KINDS.map((kind) => ({ kind, body: body(kind) }));
  }).flat();
}

async function runRound({ broker }: LoadedBroker, queries: readonly Query[]): Promise<Round> {
  const ask = async ({ kind, body }: Query): Promise<Answered> => {
    const startedMs = performance.now();
    const { hits } = await search(broker, { topic: SEARCHED, body });
    const milliseconds = performance.now() - startedMs;
    return { kind: kind.name, milliseconds, foundCount: hits.total.value };
  };
  const watch = new UsageWatch(broker.pid);
  const single = await askAll(queries, { ask, concurrency: 1 });
  const usage = watch.stop(0);
  const startedMs = performance.now();
  const many = await askAll(queries, { ask, concurrency: MANY });
  return { single, usage, many, manySeconds: (performance.now() - startedMs) / 1000 };
}

async function askAll(
  queries: readonly Query[],
  { ask, concurrency }: { ask: (query: Query) => Promise<Answered>; concurrency: number },
): Promise<readonly Answered[]> {
  const answers: Answered[] = [];
  const left = queries.values();
  const worker = async () => {
    for (const query of left) answers.push(await ask(query));
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return answers;
}

/** @throws if a kind found nothing at all: it would measure nothing */
function expectHits(answers: readonly Answered[]): void {
  for (const { name } of QUERY_KINDS) {
    const found = answers.some(({ kind, foundCount }) => kind === name && foundCount > 0);
    if (!found) throw new Error(`No query of the kind ${name} found anything.`);
  }
}

function timesOf(answers: readonly Answered[], kind?: string): number[] {
  return answers
    .filter((answer) => kind === undefined || answer.kind === kind)
    .map(({ milliseconds }) => milliseconds);
}

function describe({ single, many, manySeconds }: Round): string {
  const text = (answers: readonly Answered[], kind?: string) => {
    const times = timesOf(answers, kind);
    return `${percentile(times, 0.5).toFixed(1)}/${percentile(times, 0.99).toFixed(1)}`;
  };
  const kinds = QUERY_KINDS.map(({ name }) => `${name} ${text(single, name)}`).join(", ");
  return (
    `p50/p99 ${text(single)} ms (${kinds}); ` +
    `${MANY} at a time ${text(many)} ms, ${(many.length / manySeconds).toFixed(0)}/s`
  );
}

/** For the file of results: of every kind p50, p99, and how many records its queries find. */
function summaryOf({ single, many, manySeconds, usage }: Round): object {
  const kinds = QUERY_KINDS.map(({ name }) => {
    const found = single.filter(({ kind }) => kind === name).map(({ foundCount }) => foundCount);
    const times = timesOf(single, name);
    const [p50, p99] = [percentile(times, 0.5), percentile(times, 0.99)];
    return { name, p50, p99, foundP50: percentile(found, 0.5), foundMax: percentile(found, 1) };
  });
  const manyPerSecond = many.length / manySeconds;
  return { kinds, manyP99: percentile(timesOf(many), 0.99), manyPerSecond, ...usage };
}

function rowsOf(loaded: LoadedBroker, rounds: readonly Round[]): Row[] {
  const what = describeLoaded(loaded);
  const row = (name: string, title: string, read: (round: Round) => number): Row => ({
    name: `query-10m/${name}`,
    title: `${what}, warm: ${title}`,
    unit: "ms",
    ours: rounds.map(read),
    kafka: [],
    othersCores: rounds.map(({ usage }) => usage.othersCores),
  });
  const target = { of: "value", atMost: P99_MS_MAX } as const;
  return [
    {
      ...row("p99", "p99 of all kinds", ({ single }) => percentile(timesOf(single), 0.99)),
      target,
    },
    row("p50", "p50 of all kinds", ({ single }) => percentile(timesOf(single), 0.5)),
    ...QUERY_KINDS.flatMap(({ name, title }): Row[] => [
      row(`${name}-p50`, `${title}: p50`, ({ single }) => percentile(timesOf(single, name), 0.5)),
      {
        ...row(`${name}-p99`, `${title}: p99`, ({ single }) =>
          percentile(timesOf(single, name), 0.99),
        ),
        target,
      },
    ]),
    row("many-p50", `p50 of all kinds, ${MANY} at a time`, ({ many }) => {
      return percentile(timesOf(many), 0.5);
    }),
    row("many-p99", `p99 of all kinds, ${MANY} at a time`, ({ many }) => {
      return percentile(timesOf(many), 0.99);
    }),
  ];
}
