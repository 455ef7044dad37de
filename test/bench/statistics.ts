/** Medians and percentiles: the only sums that the results need. */

/** The middle value, or the mean of the two in the middle. @throws if there is none */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[sorted.length >> 1];
  const lower = sorted[(sorted.length - 1) >> 1];
  if (upper === undefined || lower === undefined) throw new Error("The median of no values.");
  return (lower + upper) / 2;
}

/** The smallest value that at least `fraction` of the values do not exceed. @throws if there is none */
export function percentile(values: ArrayLike<number>, fraction: number): number {
  const sorted = Float64Array.from(values).sort();
  const value = sorted[Math.max(0, Math.ceil(sorted.length * fraction) - 1)];
  if (value === undefined) throw new Error("A percentile of no values.");
  return value;
}
