/** `_field_caps` and `_mapping` over topics whose records lie in segments, generations and the live index. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { LiveIndex } from "../../src/core/native.ts";
import { indexFields } from "../../src/core/native-fields.ts";
import { SearchError } from "../../src/search/elasticsearch-error.ts";
import { fieldTypesOf } from "../../src/search/field-types.ts";
import { indexOf } from "../core/packed-records.ts";
import { SearchFixture } from "./search-fixture.ts";

setDefaultTimeout(30_000);

interface Asked {
  readonly api: "fieldCaps" | "mapping";
  readonly topics?: string;
  readonly parameters?: string;
  readonly body?: object;
}

async function ask(broker: SearchFixture, { api, topics, parameters = "", body }: Asked) {
  const bytes = body === undefined ? "" : JSON.stringify(body);
  const input = { api, topics, parameters, body: new TextEncoder().encode(bytes) };
  const output = await broker.searcher.search(input);
  return { status: output.status, ...JSON.parse(new TextDecoder().decode(output.body)) };
}

const json = (...values: readonly object[]) =>
  values.map((value) => ({ value: JSON.stringify(value) }));
const isValue = { metadata_field: false, searchable: true, aggregatable: true };
const text = { text: { type: "text", ...isValue } };
const keyword = { keyword: { type: "keyword", ...isValue } };
const textMapping = { type: "text", fields: { keyword: { type: "keyword" } } };

async function filled(): Promise<SearchFixture> {
  const broker = await SearchFixture.open();
  // One segment for both.
  await broker.produce("orders", json({ customer: { name: "Ada", id: 7 }, total: 1.5 }));
  await broker.produce("visits", [
    ...json({ page: "/a", ms: 12, at: "2026-01-02T03:04:05Z", is_new: true }),
    { value: "no JSON" },
  ]);
  (await broker.seal())();
  await broker.search({ size: 0 });
  await broker.whenLogged("segment_indexed");
  // A segment of its own, one that is not registered yet, and the live index.
  await broker.produce("visits", json({ ms: 1.5, page: 404, __proto__x: 1, "a.b": 1 }));
  (await broker.seal())();
  await broker.search({ size: 0 });
  await broker.whenLogged("segment_indexed", 2);
  await broker.produce("orders", json({ customer: "Bob", big: 2 ** 60 }));
  await broker.seal();
  await broker.produce("orders", json({ ids: [1, 2], note: `${"long words ".repeat(50)}` }));
  await broker.search({ size: 0 });
  return broker;
}

test("fields: each topic has those that its own records have, wherever they lie", async () => {
  await using broker = await filled();
  const answer = await ask(broker, { api: "mapping" });
  expect(answer.status).toBe(200);
  const own = {
    _headers: { type: "text" },
    _key: textMapping,
    _offset: { type: "long" },
    _partition: { type: "long" },
    _timestamp: { type: "date" },
    _topic: { type: "keyword" },
    _value: { type: "text" },
  };
  expect(answer.orders.mappings.properties).toEqual({
    ...own,
    big: { type: "long" },
    customer: { ...textMapping, properties: { id: { type: "long" }, name: textMapping } },
    ids: { type: "long" },
    note: textMapping,
    total: { type: "double" },
  });
  expect(answer.visits.mappings.properties).toEqual({
    ...own,
    __proto__x: { type: "long" },
    a: { properties: { b: { type: "long" } } },
    at: { type: "date" },
    is_new: { type: "boolean" },
    ms: { type: "double" },
    page: { ...textMapping, meta: { other_types: "long" } },
  });
  const { status, ...some } = await ask(broker, { api: "mapping", topics: "vis*" });
  expect(Object.keys(some)).toEqual(["visits"]);
});

test("field caps: types that differ are listed with their topics", async () => {
  await using broker = await filled();
  await broker.produce("visits", json({ total: "much" }));
  await broker.search({ size: 0 });
  const answer = await ask(broker, {
    api: "fieldCaps",
    parameters: "fields=total,customer*,_time*",
  });
  expect(answer).toEqual({
    status: 200,
    indices: ["orders", "visits"],
    fields: {
      _timestamp: { date: { type: "date", ...isValue } },
      customer: {
        text: { ...text.text, indices: ["orders"] },
        object: {
          ...{ type: "object", metadata_field: false, searchable: false, aggregatable: false },
          indices: ["orders"],
        },
      },
      "customer.id": { long: { type: "long", ...isValue } },
      "customer.keyword": keyword,
      "customer.name": text,
      "customer.name.keyword": keyword,
      total: {
        double: { type: "double", ...isValue, indices: ["orders"] },
        text: { ...text.text, indices: ["visits"] },
      },
    },
  });
  const dates = await ask(broker, {
    ...{ api: "fieldCaps", topics: "visits", parameters: "types=date" },
    body: { fields: ["*"] },
  });
  expect(Object.keys(dates.fields)).toEqual(["_timestamp", "at"]);
  const words = await ask(broker, { api: "fieldCaps", parameters: "fields=_value,_key.keyword" });
  expect(words.fields).toEqual({
    "_key.keyword": keyword,
    _value: { text: { ...text.text, aggregatable: false } },
  });
  // What is told to be there can be asked for.
  const aggs = { names: { terms: { field: "customer.name.keyword" } } };
  const found = await broker.search({ size: 0, aggs, query: { exists: { field: "customer.id" } } });
  expect(found).toMatchObject({ aggregations: { names: { buckets: [{ key: "Ada" }] } } });
});

test("field caps: what cannot be answered is refused", async () => {
  await using broker = await filled();
  const refusal = async (asked: Asked) => {
    try {
      const { status, error } = await ask(broker, asked);
      return `${status} ${error?.reason}`;
    } catch (thrown) {
      return thrown instanceof SearchError ? `${thrown.status} ${thrown.message}` : thrown;
    }
  };
  expect(await refusal({ api: "fieldCaps" })).toContain("400 no fields specified");
  expect(await refusal({ api: "fieldCaps", body: { fields: [1] } })).toContain("400");
  expect(await refusal({ api: "fieldCaps", parameters: "fields=a&include_unmapped" })).toContain(
    "400",
  );
  expect(await refusal({ api: "fieldCaps", parameters: "felds=a" })).toContain(
    "400 request contains",
  );
  expect(await refusal({ api: "mapping", topics: "nowhere" })).toContain("404 no such index");
  const nothing = await ask(broker, { api: "fieldCaps", topics: "no*", parameters: "fields=*" });
  expect(nothing).toEqual({ status: 200, indices: [], fields: {} });
});

test("fields: their number is bounded, for a topic and for all", () => {
  using index = new LiveIndex({ topicJsonPathsMax: 3_000 });
  using other = indexOf(
    Array.from({ length: 100 }, (_, record) => ({
      value: JSON.stringify(
        Object.fromEntries(
          Array.from({ length: 1_000 }, (_, path) => [`p${record}_${path}`, path]),
        ),
      ),
    })),
    "many",
  );
  const request = { indexes: [index.number, other.number], topicIds: ["id-of-many"] };
  const limits = { fieldsMax: 700, fieldsTotalMax: 5_000, timeoutMs: 60_000 };
  const all = indexFields({ ...request, ...limits, fieldsMax: 5_000 }).topics["id-of-many"] ?? {};
  expect(Object.keys(all)).toHaveLength(1_000);
  const cut = indexFields({ ...request, ...limits }).topics["id-of-many"] ?? {};
  expect(Object.keys(cut).sort()).toEqual(Object.keys(all).sort().slice(0, 700));
  expect(() => indexFields({ ...request, ...limits, fieldsTotalMax: 699 })).toThrow(
    "The topics have more than 699 fields.",
  );
  expect(() => indexFields({ ...request, ...limits, timeoutMs: 0 })).toThrow("took longer");
});

test.each([
  ["integer", "long"],
  ["natural", "unsigned_long"],
  ["fraction", "double"],
  ["integer fraction", "double"],
  ["integer natural", "double"],
  ["boolean date string integer", "text long date boolean"],
] as const)("field types: %s is %s", (types, expected) => {
  expect(fieldTypesOf(types.split(" ") as never).join(" ")).toBe(expected);
});
