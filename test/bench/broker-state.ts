/** What a broker says of itself in `/metrics`, and waiting until it says what is wanted. */
import { PipelinedClient } from "../broker/pipelined-client.ts";
import type { Broker } from "../conformance/broker.ts";

const POLL_MS = 20;
const SCRATCH_TOPIC = "scratch";

/** Values by name; one with labels by all of `name{label="value"}`. */
export type MetricValues = ReadonlyMap<string, number>;

export async function metricsOf(broker: Broker): Promise<MetricValues> {
  const text = await (await fetch(`${broker.httpUrl}/metrics`)).text();
  const values = new Map<string, number>();
  for (const line of text.split("\n")) {
    const at = line.lastIndexOf(" ");
    if (at > 0 && !line.startsWith("#")) values.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return values;
}

/** @throws if the broker does not tell it */
export function metric(values: MetricValues, name: string): number {
  const value = values.get(name);
  if (value === undefined) throw new Error(`/metrics has no ${name}.`);
  return value;
}

/** All series of a metric together; 0 if there is none. */
export function metricSum(values: MetricValues, name: string): number {
  return [...values].reduce(
    (sum, [series, value]) => (series.startsWith(`${name}{`) ? sum + value : sum),
    0,
  );
}

/** Resolves with the first values for which it holds. @throws if that takes longer */
export async function whenMetrics(
  broker: Broker,
  { holds, timeoutMs }: { holds: (values: MetricValues) => boolean; timeoutMs: number },
): Promise<MetricValues> {
  const deadlineMs = performance.now() + timeoutMs;
  for (;;) {
    const values = await metricsOf(broker);
    if (holds(values)) return values;
    if (performance.now() > deadlineMs) {
      const told = [...values].filter(([name]) => /segment|index/.test(name));
      throw new Error(`It took too long: ${told.map((pair) => pair.join(" ")).join(", ")}.`);
    }
    await Bun.sleep(POLL_MS);
  }
}

/** Whether segments hold at least `dataBytes` of batches. */
export function isSealed(values: MetricValues, dataBytes: number): boolean {
  return metric(values, 'chronik_segment_bytes{kind="data"}') >= dataBytes;
}

/** Whether all that is durable can be found. */
export function isSearchable(values: MetricValues): boolean {
  return metric(values, "chronik_indexer_lag_bytes") === 0;
}

/** Whether every segment has its search index in its archive, and there is none besides. */
export function isArchived(values: MetricValues): boolean {
  const indexedCount = metric(values, "chronik_segments_indexed");
  return (
    indexedCount > 0 &&
    indexedCount === metricSum(values, "chronik_segments") &&
    metric(values, "chronik_frozen_search_indexes") === 0
  );
}

/** Makes the broker seal what is durable now, whatever its interval: it does so when a topic is deleted. */
export async function sealNow(broker: Broker): Promise<void> {
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  try {
    const created = await client.createTopic(SCRATCH_TOPIC);
    const deleted = await client.deleteTopic(SCRATCH_TOPIC);
    if (created !== 0 || deleted !== 0) throw new Error(`${SCRATCH_TOPIC}: ${created}, ${deleted}`);
  } finally {
    client.close();
  }
}
