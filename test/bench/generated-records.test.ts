/** The records that the bench makes: of the wanted size, JSON, and the same in every run. */
import { expect, test } from "bun:test";
import { isArchived, metricSum } from "./broker-state.ts";
import { documentOf, messageWordsOf, timestampMsOf, WEEK_MS } from "./query-documents.ts";
import { drawOf, QUERY_KINDS } from "./query-kinds.ts";
import { SERVICE_LOG_BYTES_MAX, SERVICE_LOG_BYTES_MIN, serviceLogOf } from "./service-logs.ts";
import { VOCABULARY, wordAt } from "./words.ts";

test("serviceLogOf: JSON between its bounds, of several shapes", () => {
  const shapes = new Set<string>();
  for (let index = 0; index < 2_000; index += 1) {
    const line = serviceLogOf(index);
    const sizeBytes = new TextEncoder().encode(line).length;
    expect(sizeBytes).toBeWithin(SERVICE_LOG_BYTES_MIN, SERVICE_LOG_BYTES_MAX + 1);
    shapes.add(Object.keys(JSON.parse(line) as object).join());
    expect(serviceLogOf(index)).toBe(line);
  }
  expect(shapes.size).toBe(4);
});

test("documentOf: small JSON, and words that its message has", () => {
  let sizeBytes = 0;
  for (let index = 0; index < 1_000; index += 1) {
    const line = documentOf(index);
    sizeBytes += line.length;
    const { msg } = JSON.parse(line) as { msg: string };
    expect(messageWordsOf(index).join(" ")).toBe(msg);
    expect(documentOf(index)).toBe(line);
  }
  expect(sizeBytes / 1_000).toBeWithin(100, 140);
  expect(timestampMsOf(500, 1_000) - timestampMsOf(0, 1_000)).toBe(WEEK_MS / 2);
});

test("query kinds: a number makes the same query in every round, another number another", () => {
  for (const { bodyOf } of QUERY_KINDS) {
    const body = (number: number) => JSON.stringify(bodyOf(drawOf(number, 1_000)));
    expect(body(1)).toBe(body(1));
    expect(new Set(Array.from({ length: 10 }, (_, number) => body(number))).size).toBeGreaterThan(
      5,
    );
  }
});

test("wordAt: every uniform number has a word, and the first are the most common", () => {
  expect(wordAt(0)).toBe(VOCABULARY[0] ?? "");
  expect(VOCABULARY).toContain(wordAt(1 - 2 ** -32));
  expect(wordAt(0.05)).toBe(VOCABULARY[0] ?? "");
});

test("isArchived: every segment has its index, and there is no other one", () => {
  const values = (indexed: number, frozen: number) =>
    new Map([
      ['chronik_segments{level="0"}', 2],
      ['chronik_segments{level="1"}', 1],
      ["chronik_segments_indexed", indexed],
      ["chronik_frozen_search_indexes", frozen],
    ]);
  expect(metricSum(values(3, 0), "chronik_segments")).toBe(3);
  expect(isArchived(values(3, 0))).toBe(true);
  expect(isArchived(values(2, 0))).toBe(false);
  expect(isArchived(values(3, 1))).toBe(false);
});
