/** One line of the results: what was measured of ours and of Kafka's, and what was wanted. */
import { median } from "./statistics.ts";

/** `ratio`: of ours to Kafka's, pair by pair; `value`: of ours alone. */
export interface Target {
  readonly of: "ratio" | "value";
  readonly atLeast?: number;
  readonly atMost?: number;
}

export interface Row {
  /** Unique over all workloads: the newest result of each name is shown. */
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  /** Undefined: reported only. */
  readonly target?: Target;
  /** In the order of the runs; where there are as many of both, `kafka[i]` was measured right after `ours[i]`. */
  readonly ours: readonly number[];
  readonly kafka: readonly number[];
  /** Cores that others used meanwhile, one number per run: the noise. */
  readonly othersCores: readonly number[];
}

/** Median of the ratios of the pairs; without pairs, ratio of the medians. Undefined if one was not measured. */
export function ratioOf({ ours, kafka }: Row): number | undefined {
  if (ours.length === 0 || kafka.length === 0) return undefined;
  if (ours.length !== kafka.length) return median(ours) / median(kafka);
  return median(ours.map((value, index) => value / (kafka[index] ?? Number.NaN)));
}

/** Undefined without a target. */
export function isReached(row: Row): boolean | undefined {
  const { target } = row;
  if (target === undefined) return undefined;
  const value = target.of === "ratio" ? ratioOf(row) : median(row.ours);
  if (value === undefined) return false;
  const { atLeast = Number.NEGATIVE_INFINITY, atMost = Number.POSITIVE_INFINITY } = target;
  return value >= atLeast && value <= atMost;
}

/** `≥ 0.9 ×`, `≤ 60 ms`. */
export function describeTarget({ target, unit }: Row): string {
  if (target === undefined) return "";
  const sign = target.atLeast === undefined ? "≤" : "≥";
  const bound = target.atLeast ?? target.atMost ?? 0;
  return `${sign} ${Number(bound.toFixed(1))} ${target.of === "ratio" ? "×" : unit}`;
}
