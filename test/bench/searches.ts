/** Chronik's HTTP side: searches, and how far the search index is behind. */
import type { Broker } from "../conformance/broker.ts";
import { isSearchable, metric, metricsOf, whenMetrics } from "./broker-state.ts";

const CATCH_UP_TIMEOUT_MS = 120_000;

export interface SearchAnswer {
  readonly hits: {
    readonly total: { readonly value: number };
    readonly hits: readonly {
      readonly _id: string;
      readonly _source: { readonly offset: number };
    }[];
  };
}

/** @throws if the answer is not 200 */
export async function search(
  broker: Broker,
  { topic, body }: { topic: string; body: unknown },
): Promise<SearchAnswer> {
  const response = await fetch(`${broker.httpUrl}/${topic}/_search`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  if (!response.ok) throw new Error(`Search: ${response.status} ${await response.text()}`);
  return (await response.json()) as SearchAnswer;
}

/** Resolves when all that is durable can be found. @throws if that takes too long */
export async function indexedAll(broker: Broker): Promise<void> {
  await whenMetrics(broker, { holds: isSearchable, timeoutMs: CATCH_UP_TIMEOUT_MS });
}

/** How much of the log is not indexed yet. */
export async function indexerLagBytes(broker: Broker): Promise<number> {
  return metric(await metricsOf(broker), "chronik_indexer_lag_bytes");
}
