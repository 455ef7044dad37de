/** Aggregations as one would compute them over an array: what the tests compare with. */

import { expect } from "bun:test";
import type { RandomRecord } from "./random-records.ts";

/** The values of a field as JSON has them; arrays are several. */
export function valuesOf(record: RandomRecord, field: string): readonly unknown[] {
  if (field.startsWith("_")) {
    const value = { _timestamp: record.timestampMs, ...ownFields(record) }[field];
    return value === null || value === undefined ? [] : [value];
  }
  let value: unknown = record.json;
  for (const step of field.split(".")) {
    value = (value as Record<string, unknown> | undefined)?.[step];
  }
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

function ownFields({ topic, partition, offset, key }: RandomRecord): Record<string, unknown> {
  return { _topic: topic, _partition: partition, _offset: offset, _key: key };
}

export function numbersOf(record: RandomRecord, field: string): readonly number[] {
  return valuesOf(record, field).flatMap((value) => {
    if (typeof value === "number") return [value];
    if (typeof value === "boolean") return [Number(value)];
    const ms = typeof value === "string" && /^\d{4}-.*Z$/.test(value) ? Date.parse(value) : NaN;
    return Number.isNaN(ms) ? [] : [ms];
  });
}

/** Records by what `keysOf` gives for them, each key once a record. */
export function grouped<Key>(
  of: readonly RandomRecord[],
  keysOf: (record: RandomRecord) => readonly Key[],
): Map<Key, RandomRecord[]> {
  const groups = new Map<Key, RandomRecord[]>();
  for (const record of of) {
    for (const key of new Set(keysOf(record))) {
      groups.set(key, [...(groups.get(key) ?? []), record]);
    }
  }
  return groups;
}

/** Buckets as `terms` shows them: most records first, then by key. */
export function termBuckets(
  of: readonly RandomRecord[],
  field: string,
  { size = 10, inner = () => ({}) }: { size?: number; inner?: (of: RandomRecord[]) => object } = {},
): object {
  const rows = [...grouped(of, (record) => valuesOf(record, field))].sort(
    ([left, one], [right, other]) =>
      other.length - one.length || (String(left) < String(right) ? -1 : 1) * byNumber(left, right),
  );
  const cut = rows.slice(size).reduce((sum, [, group]) => sum + group.length, 0);
  return {
    doc_count_error_upper_bound: 0,
    sum_other_doc_count: cut,
    buckets: rows
      .slice(0, size)
      .map(([key, group]) => ({ key, doc_count: group.length, ...inner(group) })),
  };
}

/** 1 where the order of strings is right; -1 where numbers are in another. */
function byNumber(left: unknown, right: unknown): number {
  if (typeof left !== "number" || typeof right !== "number") return 1;
  return left < right === String(left) < String(right) ? 1 : -1;
}

export function statsOf(of: readonly RandomRecord[], field: string) {
  const numbers = of.flatMap((record) => numbersOf(record, field));
  const sum = numbers.reduce((total, number) => total + number, 0);
  const count = numbers.length;
  return {
    count,
    sum,
    min: count === 0 ? null : Math.min(...numbers),
    max: count === 0 ? null : Math.max(...numbers),
    avg: count === 0 ? null : sum / count,
  };
}

export function histogramOf(
  of: readonly RandomRecord[],
  keysOf: (record: RandomRecord) => readonly number[],
  next: (key: number) => number,
): Map<number, RandomRecord[]> {
  const groups = grouped(of, keysOf);
  const filled = new Map<number, RandomRecord[]>();
  const [first, last] = [Math.min(...groups.keys()), Math.max(...groups.keys())];
  for (let key = first; key <= last; key = next(key)) filled.set(key, groups.get(key) ?? []);
  return filled;
}

/** The key of a bucket of dates. */
export const dated = (key: number) => ({ key, key_as_string: new Date(key).toISOString() });
/** Down to a multiple. */
export const floor = (interval: number) => (value: number) =>
  Math.floor(value / interval) * interval;

/** Equal, but for the last digits of fractions. */
export function expectClose(found: unknown, expected: unknown, path = ""): void {
  if (typeof found === "number" && typeof expected === "number") {
    const tolerance = 1e-9 * Math.max(1, Math.abs(expected));
    if (Math.abs(found - expected) <= tolerance) return;
  }
  if (typeof found === "object" && typeof expected === "object" && found && expected) {
    const keys = new Set([...Object.keys(found), ...Object.keys(expected)]);
    for (const key of keys) {
      const [left, right] = [found, expected].map((of) => (of as Record<string, unknown>)[key]);
      expectClose(left, right, `${path}.${key}`);
    }
    return;
  }
  expect([path, found]).toEqual([path, expected]);
}
