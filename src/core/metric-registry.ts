/**
 * Counters, gauges and histograms, and their text for Prometheus (format: "text-based exposition
 * format", version 0.0.4). A series is bound to its label values once (`with`), so that counting on
 * a hot path touches one number and allocates nothing.
 *
 * Own code, because the usual library (prom-client) costs 50 ms of start-up from source and 9 ms in
 * the executable, of the 60 ms in which the broker is to be ready, and 0.3 µs per observation.
 */

import { assert } from "./assert.ts";

/** The `Content-Type` of `MetricRegistry.expose()`. */
export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** Series beyond this in one metric are left out of the text, and counted in `chronik_metrics_series_dropped`. */
const METRIC_SERIES_MAX = 10_000;

/** Only rises. */
export interface Counter {
  /** `by` >= 0. */
  increment(by?: number): void;
}

/** Rises and falls. */
export interface Gauge {
  set(value: number): void;
  add(by: number): void;
}

/** Counts observations by size. */
export interface Histogram {
  observe(value: number): void;
}

/** A metric with labels. `with` gives the series of these label values, the same one each time. */
export interface Family<Series> {
  with(...labelValues: readonly string[]): Series;
}

/** Reports one series of a metric that is read only when somebody asks. */
export type ReportSeries = (value: number, ...labelValues: readonly string[]) => void;

interface Description {
  readonly name: string;
  /** A sentence. */
  readonly help: string;
  readonly labels?: readonly string[];
}

/** `le` bounds in seconds from 100 µs to 10 s: fsync and network are in the middle. */
const LATENCY_BUCKETS_SECONDS: readonly number[] = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

interface Metric {
  readonly description: Description;
  readonly type: "counter" | "gauge" | "histogram";
  /** Appends sample lines. @returns how many series were left out. */
  writeSamples(lines: string[]): number;
}

/** All metrics of a broker. Not thread-safe: Workers send their numbers to the main thread. */
export class MetricRegistry {
  readonly #metrics: Metric[] = [];
  readonly #names = new Set<string>();

  counter(description: Description): Family<Counter> {
    return this.#family("counter", description, () => new ValueSeries());
  }

  gauge(description: Description): Family<Gauge> {
    return this.#family("gauge", description, () => new ValueSeries());
  }

  histogram(
    description: Description,
    bounds: readonly number[] = LATENCY_BUCKETS_SECONDS,
  ): Family<Histogram> {
    return this.#family("histogram", description, () => new HistogramSeries(bounds));
  }

  /** A metric whose series are read by `collect` at each scrape. A `collect` that throws loses its series only. */
  collected(
    type: "counter" | "gauge",
    description: Description,
    collect: (report: ReportSeries) => void,
  ): void {
    const { name, labels = [] } = description;
    const writeSamples = (lines: string[]): number => {
      let seriesCount = 0;
      const report: ReportSeries = (value, ...labelValues) => {
        assert(labelValues.length === labels.length, `${name} has ${labels.length} labels`);
        seriesCount += 1;
        if (seriesCount > METRIC_SERIES_MAX) return;
        lines.push(`${name}${labelText(labels, labelValues)} ${numberText(value)}`);
      };
      collect(report);
      return Math.max(0, seriesCount - METRIC_SERIES_MAX);
    };
    this.#register({ type, description, writeSamples });
  }

  /** The text for a scrape. */
  expose(): string {
    const lines: string[] = [];
    let dropped = 0;
    for (const metric of this.#metrics) {
      const { name, help } = metric.description;
      lines.push(`# HELP ${name} ${escapeHelp(help)}`, `# TYPE ${name} ${metric.type}`);
      dropped += metric.writeSamples(lines);
    }
    lines.push(
      "# HELP chronik_metrics_series_dropped Series left out of this answer because their metric has too many.",
      "# TYPE chronik_metrics_series_dropped gauge",
      `chronik_metrics_series_dropped ${dropped}`,
    );
    return `${lines.join("\n")}\n`;
  }

  #family<Series extends WritableSeries>(
    type: Metric["type"],
    description: Description,
    create: () => Series,
  ): Family<Series> {
    const { name, labels = [] } = description;
    const seriesByLabels = new Map<
      string,
      { readonly series: Series; readonly values: string[] }
    >();
    const overflow = create();
    let overflowUsed = 0;
    const family: Family<Series> = {
      with: (...labelValues) => {
        assert(labelValues.length === labels.length, `${name} has ${labels.length} labels`);
        const key = labelValues.join("\0");
        const existing = seriesByLabels.get(key);
        if (existing !== undefined) return existing.series;
        if (seriesByLabels.size >= METRIC_SERIES_MAX) {
          overflowUsed = 1;
          return overflow;
        }
        const series = create();
        seriesByLabels.set(key, { series, values: [...labelValues] });
        return series;
      },
    };
    if (labels.length === 0) family.with();
    const writeSamples = (lines: string[]): number => {
      for (const { series, values } of seriesByLabels.values()) {
        series.write(lines, { name, labels, values });
      }
      return overflowUsed;
    };
    this.#register({ type, description, writeSamples });
    return family;
  }

  #register(metric: Metric): void {
    const { name, labels = [] } = metric.description;
    assert(/^[a-z][a-z0-9_]*$/.test(name), `${name} is no metric name`);
    assert(!this.#names.has(name), `metric ${name} exists already`);
    for (const label of labels) assert(/^[a-z][a-z0-9_]*$/.test(label), `${label} is no label`);
    this.#names.add(name);
    this.#metrics.push(metric);
  }
}

interface SeriesName {
  readonly name: string;
  readonly labels: readonly string[];
  readonly values: readonly string[];
}

interface WritableSeries {
  write(lines: string[], series: SeriesName): void;
}

class ValueSeries implements Counter, Gauge, WritableSeries {
  #value = 0;

  increment(by = 1): void {
    this.#value += by;
  }

  set(value: number): void {
    this.#value = value;
  }

  add(by: number): void {
    this.#value += by;
  }

  write(lines: string[], { name, labels, values }: SeriesName): void {
    lines.push(`${name}${labelText(labels, values)} ${numberText(this.#value)}`);
  }
}

class HistogramSeries implements Histogram, WritableSeries {
  readonly #bounds: readonly number[];
  /** One more than `#bounds`: the last counts what is above all of them. */
  readonly #counts: Float64Array;
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let index = 0;
    while (index < bounds.length && value > (bounds[index] ?? 0)) index += 1;
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#sum += value;
  }

  write(lines: string[], { name, labels, values }: SeriesName): void {
    const bucketLabels = [...labels, "le"];
    let count = 0;
    for (const [index, inBucket] of this.#counts.entries()) {
      count += inBucket;
      const bound = this.#bounds[index];
      const le = bound === undefined ? "+Inf" : String(bound);
      lines.push(`${name}_bucket${labelText(bucketLabels, [...values, le])} ${count}`);
    }
    lines.push(`${name}_sum${labelText(labels, values)} ${numberText(this.#sum)}`);
    lines.push(`${name}_count${labelText(labels, values)} ${count}`);
  }
}

function labelText(labels: readonly string[], values: readonly string[]): string {
  if (labels.length === 0) return "";
  const pairs = labels.map((label, index) => `${label}="${escapeLabel(values[index] ?? "")}"`);
  return `{${pairs.join(",")}}`;
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return String(value);
}

function escapeLabel(value: string): string {
  return /[\\"\n]/.test(value)
    ? value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")
    : value;
}

function escapeHelp(help: string): string {
  return help.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}
