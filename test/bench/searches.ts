/** Chronik's HTTP side: searches, and how far the search index is behind. */
import type { Broker } from "../conformance/broker.ts";

const CATCH_UP_TIMEOUT_MS = 120_000;
const CATCH_UP_POLL_MS = 20;

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
  const startedMs = performance.now();
  for (;;) {
    const lagBytes = await indexerLagBytes(broker);
    if (lagBytes === 0) return;
    if (performance.now() - startedMs > CATCH_UP_TIMEOUT_MS) {
      throw new Error(`The search index is still ${lagBytes} bytes behind.`);
    }
    await Bun.sleep(CATCH_UP_POLL_MS);
  }
}

/** How much of the log is not indexed yet. */
export async function indexerLagBytes(broker: Broker): Promise<number> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  const value = /^chronik_indexer_lag_bytes (\S+)$/m.exec(text)?.[1];
  if (value === undefined) throw new Error("/metrics has no chronik_indexer_lag_bytes.");
  return Number(value);
}
