/** Random records, the indexes they are spread over, and their aggregations as a search shows them. */

import { FrozenIndex, freezeIndexes, LiveIndex, searchIndexes } from "../../src/core/native.ts";
import type { ShimQuery } from "../../src/core/shim-query.ts";
import { ShownAggregations } from "../../src/search/aggregation.ts";
import { aggregationsOf } from "../../src/search/aggregation-request.ts";
import { packOf } from "../core/packed-records.ts";

/** A record with what its value holds, undefined where it is not JSON. */
export interface RandomRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: string | null;
  readonly json: Readonly<Record<string, unknown>> | undefined;
}

export const NOW_MS = Date.UTC(2026, 2, 1);
const DAY_MS = 86_400_000;
const TOPICS = ["orders", "returns", "clicks"];

export interface Dice {
  readonly random: () => number;
  below(limit: number): number;
  pick<Value>(values: readonly Value[]): Value;
}

export function diceOf(random: () => number): Dice {
  const below = (limit: number): number => Math.floor(random() * limit);
  return {
    random,
    below,
    pick: (values) => {
      const value = values[below(values.length)];
      if (value === undefined) throw new Error("nothing to pick from");
      return value;
    },
  };
}

/** Records of a few topics, each with its offsets in order, within about 100 days. */
export function randomRecords(dice: Dice, count: number): RandomRecord[] {
  const ends = new Map<string, number>();
  return Array.from({ length: count }, () => {
    const [topic, partition] = [dice.pick(TOPICS), dice.below(2)];
    const offset = ends.get(`${topic}/${partition}`) ?? 0;
    ends.set(`${topic}/${partition}`, offset + 1);
    return {
      topic,
      partition,
      offset,
      timestampMs: NOW_MS - dice.below(100 * DAY_MS),
      key: dice.random() < 0.1 ? null : `k-${dice.below(9)}`,
      json: dice.random() < 0.1 ? undefined : randomJson(dice),
    };
  });
}

function randomJson(dice: Dice): Record<string, unknown> {
  const json: Record<string, unknown> = {
    // Whole numbers in one index, fractions in the other.
    price: dice.random() < 0.02 ? dice.below(100) + 0.25 : dice.below(100),
    user: { id: dice.below(30), name: `user ${dice.below(12)}` },
  };
  if (dice.random() < 0.7) json["latency"] = -50 + dice.random() * 1_000;
  if (dice.random() < 0.5) json["ok"] = dice.random() < 0.5;
  if (dice.random() < 0.6) {
    json["at"] = new Date(NOW_MS - dice.below(400 * DAY_MS)).toISOString();
  }
  if (dice.random() < 0.4) {
    json["tags"] = Array.from({ length: 1 + dice.below(3) }, () => dice.pick(["a", "b", "c", "d"]));
  }
  // Anything, of another type each time.
  if (dice.random() < 0.5) {
    json["mixed"] = dice.pick<unknown>([
      ...[1, 2, 2.5, -3, 5_000_000_000, "2", "text", true, false, "2026-01-02T03:04:05.678Z"],
    ]);
  }
  return json;
}

/** Indexes of records; to be closed. */
export class SpreadRecords {
  readonly indexes: readonly { readonly number: number; close(): void }[];

  constructor(indexes: SpreadRecords["indexes"]) {
    this.indexes = indexes;
  }

  [Symbol.dispose](): void {
    for (const index of this.indexes) index.close();
  }
}

/** Spreads `records` over `count` indexes; frozen ones lie below `directory`, if one is given. */
export function spread(
  dice: Dice,
  records: readonly RandomRecord[],
  options: { readonly count: number; readonly directory?: string },
): SpreadRecords {
  const indexes = Array.from({ length: options.count }, () => new LiveIndex());
  for (const record of records) {
    const index = dice.pick(indexes);
    index.add(packed(record));
    // A commit makes a segment within the index.
    if (dice.random() < 0.01) index.commit();
  }
  for (const index of indexes) index.commit();
  const { directory } = options;
  if (directory === undefined) return new SpreadRecords(indexes);
  return new SpreadRecords(
    indexes.map((index, position) => {
      if (position === 0 || index.stats().documentCount === 0) return index;
      const place = `${directory}/${crypto.randomUUID()}`;
      freezeIndexes([index.number], place);
      index.close();
      return new FrozenIndex(place);
    }),
  );
}

function packed(record: RandomRecord): Uint8Array {
  const { topic, partition, offset, timestampMs, key, json } = record;
  const value = json === undefined ? "plain text" : JSON.stringify(json);
  return packOf([{ key, value, timestampMs }], { topic, partition, baseOffset: offset });
}

/** What a search would show of aggregations over all indexes. */
export function aggregated(
  { indexes }: SpreadRecords,
  json: unknown,
  query: ShimQuery = { kind: "all" },
): Record<string, unknown> {
  const bucketsMax = 100_000;
  const set = aggregationsOf(json, { nowMs: NOW_MS, bucketsMax });
  const found = searchIndexes(
    indexes.map(({ number }) => number),
    { query, size: 0, aggregations: set.request },
  );
  const fieldTypes = found.fieldTypes ?? {};
  const shown = new ShownAggregations({ fieldTypes, bucketsMax });
  return { ...set.show(found.aggregations, { documentCount: found.total, shown }) };
}
