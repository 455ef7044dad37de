/** Sorting by fields of any type, and pages by search_after, against a sorted array. */

import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { searchIndexes } from "../../src/core/native.ts";
import { searchAfterOf, sortValuesOf } from "../../src/search/search-after.ts";
import { sortsOf } from "../../src/search/search-sort.ts";
import { numbersOf, valuesOf } from "./naive-aggregation.ts";
import { diceOf, NOW_MS, type RandomRecord, randomRecords, spread } from "./random-records.ts";

setDefaultTimeout(30_000);

const seed = Number(Bun.env["SEED"] ?? Date.now() % 1_000_000);
const dice = diceOf(seededRandom(seed));
const records = randomRecords(dice, 400);
const parts = spread(dice, records, { count: 4 });
afterAll(() => parts[Symbol.dispose]());
const CONTEXT = { nowMs: NOW_MS };

type Value = number | string | null;

/** Numbers before strings, ascending; the other way round descending. */
function compareValues(left: Value, right: Value, sign: number): number {
  if (typeof left !== typeof right) return typeof left === "number" ? -sign : sign;
  if (left === right) return 0;
  return (left ?? 0) < (right ?? 0) ? -sign : sign;
}

/** What a record is sorted by: of several values the first in the order. */
function sortValueOf(record: RandomRecord, field: string, sign: number): Value {
  const strings = valuesOf(record, field).filter((value) => typeof value === "string");
  const texts = strings.filter(
    (text) => numbersOf({ ...record, json: { text } }, "text").length === 0,
  );
  const values: Value[] = [...numbersOf(record, field), ...texts];
  return values.sort((left, right) => compareValues(left, right, sign))[0] ?? null;
}

function sorted(sort: readonly [string, "asc" | "desc", boolean][]): string[] {
  const order = (left: RandomRecord, right: RandomRecord): number => {
    for (const [field, direction, isMissingFirst] of sort) {
      const sign = direction === "asc" ? 1 : -1;
      const [one, other] = [left, right].map((record) => sortValueOf(record, field, sign));
      if (one === undefined || other === undefined || one === other) continue;
      const missing = isMissingFirst ? -1 : 1;
      if (one === null) return missing;
      if (other === null) return -missing;
      return compareValues(one, other, sign);
    }
    if (left.topic !== right.topic) return left.topic < right.topic ? -1 : 1;
    return left.partition - right.partition || left.offset - right.offset;
  };
  return [...records].sort(order).map(placeOf);
}

function placeOf({ topic, partition, offset }: Omit<RandomRecord, "timestampMs" | "key" | "json">) {
  return `${topic}/${partition}/${offset}`;
}

const FIELDS = [
  ...["_timestamp", "_offset", "_partition", "_topic", "price", "latency", "ok", "at"],
  ...["user.name", "user.id", "tags", "mixed", "nothing", "mixed.keyword"],
];

test(`sort: any fields in any order, page by page (SEED=${seed})`, () => {
  for (let round = 0; round < 40; round += 1) {
    const fields = [...FIELDS].sort(() => dice.random() - 0.5).slice(0, 1 + dice.below(3));
    const sort = fields.map((field): [string, "asc" | "desc", boolean] => {
      // What every record has is missing nowhere; these have orders of their own in the shim.
      const isMissingFirst = !field.startsWith("_") && dice.random() < 0.3;
      return [field, dice.pick(["asc", "desc"]), isMissingFirst];
    });
    const json = sort.map(([field, order, isMissingFirst]) => ({
      [field]: { order, missing: isMissingFirst ? "_first" : "_last" },
    }));
    const naive = sort.map(([field, ...rest]): [string, "asc" | "desc", boolean] => [
      field.replace(".keyword", ""),
      ...rest,
    ]);
    expect([sort, pagedThrough(json)]).toEqual([sort, sorted(naive)]);
  }
});

/** The places of all hits, read in pages as a client would read them. */
function pagedThrough(json: unknown): string[] {
  const sort = sortsOf(undefined, json) ?? [];
  const numbers = parts.indexes.map(({ number }) => number);
  const size = 30 + dice.below(100);
  const seen: string[] = [];
  let after: unknown;
  for (;;) {
    const searchAfter = searchAfterOf(after, sort, CONTEXT);
    const page = searchIndexes(numbers, {
      query: { kind: "all" },
      size,
      sort,
      ...(searchAfter === undefined ? {} : { searchAfter }),
    });
    expect(page.total).toBe(records.length);
    const last = page.hits.at(-1);
    if (last === undefined) return seen;
    seen.push(...page.hits.map(placeOf));
    // As it comes out of an answer.
    after = JSON.parse(JSON.stringify(sortValuesOf(last, sort)));
  }
}

test("search_after: without the record's place, what is sorted equally is passed over", () => {
  const numbers = parts.indexes.map(({ number }) => number);
  const sort = sortsOf(undefined, "_partition") ?? [];
  const searchAfter = searchAfterOf([0], sort, CONTEXT);
  const { hits } = searchIndexes(numbers, {
    query: { kind: "all" },
    size: 1_000,
    sort,
    ...(searchAfter === undefined ? {} : { searchAfter }),
  });
  expect(hits.length).toBe(records.filter(({ partition }) => partition === 1).length);
});

test.each([
  [[1], undefined, "at least one field"],
  ["x", "a", "expects an array"],
  [[], "a", "0 value(s)"],
  [[1, 2, 3], "a", "3 value(s)"],
  [[1, "no place"], "a", "no record's place"],
  [[{}], "a", "expects values"],
  [["x"], "_offset", "expects a number"],
] as const)("search_after: %j for %j is refused", (after, sort, reason) => {
  expect(() => searchAfterOf(after, sortsOf(undefined, sort), CONTEXT)).toThrow(reason);
});
