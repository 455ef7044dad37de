/** Which topics and indexes a search means, and how far behind the index is: by hand. */

import { expect, test } from "bun:test";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { IndexingLag } from "../../src/search/indexing-lag.ts";
import { planSearch } from "../../src/search/search-plan.ts";
import { selectTopics } from "../../src/search/topic-selection.ts";
import { walAddressOf } from "../../src/wal/wal-address.ts";

const GENERATIONS = [
  { indexNumber: 1, topicIds: ["a", "b"] },
  { indexNumber: undefined, topicIds: ["a"] },
  { indexNumber: 2, topicIds: ["b", "gone"] },
  { indexNumber: 3, topicIds: ["c"] },
];

const topicsOf = (ids: string) => new Map(ids.split(" ").map((id) => [id, `topic-${id}`]));

test.each([
  ["everything but what is gone", "a b c", [1, 2, 3], { excludedTopicIds: ["gone"] }],
  ["one topic", "a", [1], { topicIds: ["a"] }],
  ["one topic with an index of its own", "c", [3], undefined],
  ["a topic without records", "d", [], undefined],
  ["nothing", "", [], undefined],
] as const)("search plan: %s", (_name, wanted, indexNumbers, filter) => {
  const plan = planSearch(GENERATIONS, { wanted: topicsOf(wanted), logStartOffsetsOf: () => [] });
  const expected = {
    indexNumbers: [...indexNumbers],
    segments: [],
    filter,
    prunedCount: 0,
    failures: [],
  };
  expect(plan).toEqual(expected as never);
});

test("search plan: deleted records of topics that are there are filtered out", () => {
  const logStartOffsetsOf = (topicId: string) =>
    topicId === "c" ? [] : [{ partition: 2, offset: topicId === "a" ? 5 : 7 }];
  const planOf = (wanted: string) =>
    planSearch(GENERATIONS, { wanted: topicsOf(wanted), logStartOffsetsOf });
  expect(planOf("a c d").filter).toEqual({
    excludedTopicIds: ["b"],
    offsetRanges: [{ topicId: "a", partition: 2, start: 5 }],
  });
  expect(planOf("c").filter).toBeUndefined();
  expect(planOf("d").filter).toBeUndefined();
});

const TOPICS = ["orders", "orders-eu", "payments", "-odd", "_all-in"].map((name) => ({
  topicId: name,
  name,
}));
const STRICT = { ignoresMissing: false, allowsNone: true };

test.each([
  [undefined, "orders orders-eu payments -odd _all-in"],
  ["_all", "orders orders-eu payments -odd _all-in"],
  ["orders", "orders"],
  ["orders,payments", "orders payments"],
  ["orders*", "orders orders-eu"],
  ["*,-orders*", "payments -odd _all-in"],
  ["orders*,-orders-eu", "orders"],
  ["-odd", "-odd"],
  ["orders,-odd", "orders -odd"],
  ["_all-in", "_all-in"],
  ["x*", ""],
])("topic selection: %s", (expression, expected) => {
  expect([...selectTopics(expression, TOPICS, STRICT)].join(" ")).toBe(expected);
});

test.each(["nope", "orders,nope", "", "orders,", "../etc"])(
  "topic selection: %p names a topic that does not exist",
  (expression) => {
    expect(() => selectTopics(expression, TOPICS, STRICT)).toThrow("no such index");
    const lenient = { ...STRICT, ignoresMissing: true };
    expect(() => selectTopics(expression, TOPICS, lenient)).not.toThrow();
  },
);

test("topic selection: a topic without an index is refused by its name, and passed over otherwise", () => {
  const notIndexed = [{ topicId: "bulk", name: "bulk" }];
  const select = (expression: string | undefined, ignoresMissing = false) =>
    [...selectTopics(expression, TOPICS, { ...STRICT, ignoresMissing, notIndexed })].join(" ");
  for (const expression of ["bulk", "orders,bulk"]) {
    expect(() => select(expression)).toThrow("topic [bulk] is not indexed for search");
  }
  expect(select("orders,bulk", true)).toBe("orders");
  expect([select(undefined), select("_all")]).toEqual(
    Array(2).fill(TOPICS.map((t) => t.name).join(" ")),
  );
  expect([select("b*"), select("orders*,-bulk")]).toEqual(["", "orders orders-eu"]);
});

test("topic selection: a pattern without a match can be refused; too many names are", () => {
  const options = { ...STRICT, allowsNone: false };
  expect(() => selectTopics("x*", TOPICS, options)).toThrow(SearchError);
  expect(() => selectTopics("orders,".repeat(2_000), TOPICS, STRICT)).toThrow("more than 1000");
});

test("indexing lag: bytes cross files, seconds are those of the oldest record", () => {
  const lag = new IndexingLag({ walFileBytes: 1_000, address: walAddressOf(1, 0) });
  expect([lag.bytes(), lag.seconds(50)]).toEqual([0, 0]);
  lag.onDurable(walAddressOf(1, 900), 1_000);
  lag.onDurable(walAddressOf(3, 100), 2_000);
  expect([lag.bytes(), lag.seconds(3_000)]).toEqual([2_100, 2]);
  lag.onIndexed(walAddressOf(1, 900));
  expect([lag.bytes(), lag.seconds(3_000)]).toEqual([1_200, 1]);
  lag.onIndexed(walAddressOf(3, 100));
  expect([lag.bytes(), lag.seconds(9_000)]).toEqual([0, 0]);
  lag.onDurable(walAddressOf(3, 50), 9_000);
  expect(lag.seconds(9_500)).toBe(0);
});

test("indexing lag: memory is bounded, and lag never told too small", () => {
  const lag = new IndexingLag({ walFileBytes: 2 ** 30, address: 0 });
  for (let index = 1; index <= 100_000; index += 1) lag.onDurable(index, index);
  expect(lag.seconds(100_000)).toBeCloseTo(99.999, 3);
  lag.onIndexed(50_000);
  expect(lag.seconds(100_000)).toBeGreaterThanOrEqual(49.999);
  lag.onIndexed(100_000);
  expect(lag.seconds(100_000)).toBe(0);
});
