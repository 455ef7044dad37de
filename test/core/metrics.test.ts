/** The exposition text, checked by hand and by Prometheus' own promtool. */

import { expect, test } from "bun:test";
import { MetricRegistry } from "../../src/core/metric-registry.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { promtoolPath } from "../promtool.ts";

function filledMetrics() {
  const metrics = createMetrics("1.2.3");
  metrics.requestsTotal.with("Produce").increment();
  metrics.requestErrorsTotal.with("Produce", "CORRUPT_MESSAGE").increment(2);
  metrics.httpRequestsTotal.with("/_search", "200").increment();
  for (const seconds of [0.00005, 0.002, 0.3, 99]) metrics.produceLatencySeconds.observe(seconds);
  metrics.connections.set(3);
  metrics.connections.add(-1);
  metrics.collectWal(() => ({ appendedBytes: 10, durableBytes: 9, fileCount: 1, sizeBytes: 64 }));
  metrics.collectIndexerLag(() => ({
    lagBytes: 7,
    lagSeconds: 0.25,
    indexedRecordsTotal: 5,
    liveIndexBytes: 100,
    frozenGenerationCount: 2,
    workerRestartsTotal: 1,
  }));
  metrics.collectTopics(() => ({ topicCount: 2, partitionCount: 6 }));
  metrics.collectConsumerLag((report) => {
    report(12, 'odd "group"\\\n', "orders", "0");
    report(0, "plain", "orders", "1");
  });
  return metrics;
}

test("metrics: a histogram's buckets are cumulative and end in the count", () => {
  const lines = filledMetrics().expose().split("\n");
  const name = "chronik_produce_latency_seconds";
  expect(lines).toContain(`${name}_bucket{le="0.0001"} 1`);
  expect(lines).toContain(`${name}_bucket{le="0.0025"} 2`);
  expect(lines).toContain(`${name}_bucket{le="0.5"} 3`);
  expect(lines).toContain(`${name}_bucket{le="+Inf"} 4`);
  expect(lines).toContain(`${name}_count 4`);
});

test("metrics: an observation on a bound counts into that bucket", () => {
  const registry = new MetricRegistry();
  registry.histogram({ name: "a_seconds", help: "A." }, [1, 2]).with().observe(1);
  expect(registry.expose()).toContain('a_seconds_bucket{le="1"} 1');
});

test("metrics: label values are escaped", () => {
  const text = filledMetrics().expose();
  expect(text).toContain(
    'chronik_consumer_lag_records{group="odd \\"group\\"\\\\\\n",topic="orders",partition="0"} 12',
  );
});

test("metrics: the same labels give the same series", () => {
  const metrics = createMetrics();
  metrics.requestsTotal.with("Fetch").increment();
  metrics.requestsTotal.with("Fetch").increment();
  expect(metrics.expose()).toContain('chronik_requests_total{api="Fetch"} 2\n');
});

test("metrics: too many collected series are left out and counted", () => {
  const metrics = createMetrics();
  metrics.collectConsumerLag((report) => {
    for (let partition = 0; partition < 10_003; partition += 1) {
      report(1, "g", "t", String(partition));
    }
  });
  const text = metrics.expose();
  expect(text).toContain("chronik_metrics_series_dropped 3\n");
  expect(text).not.toContain('partition="10000"');
});

test("metrics: a metric cannot exist twice", () => {
  const registry = new MetricRegistry();
  registry.counter({ name: "a_total", help: "A." });
  expect(() => registry.gauge({ name: "a_total", help: "A." })).toThrow("exists already");
});

const promtool = promtoolPath();
test.skipIf(promtool === null && Bun.env["CI"] !== "true")(
  "metrics: promtool finds nothing to say (needs the Debian package prometheus)",
  () => {
    if (promtool === null) throw new Error("promtool is missing: install the package prometheus");
    const text = new TextEncoder().encode(filledMetrics().expose());
    const run = Bun.spawnSync([promtool, "check", "metrics"], { stdin: text });
    expect(`${run.stdout}${run.stderr}`).toBe("");
    expect(run.exitCode).toBe(0);
  },
);
