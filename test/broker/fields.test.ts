/** What clients of Elasticsearch ask before they search: the fields of topics, over HTTP. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

setDefaultTimeout(30_000);

test("fields: mapping and field caps over HTTP", async () => {
  const broker = await RunningBroker.start();
  const ask = async (path: string, init: RequestInit = {}) => {
    const response = await fetch(`http://127.0.0.1:${broker.httpPort}${path}`, init);
    const body: unknown = await response.json();
    return { status: response.status, body };
  };
  try {
    using client = await PipelinedClient.connect(broker.kafkaPort);
    for (const topic of ["orders", "api"]) {
      await client.createTopic(topic);
      const value = Buffer.from(JSON.stringify({ [topic]: { total: 12.5 } }));
      const rest = { offset: 0, timestampMs: 1, key: null, headers: [], attributes: 0 };
      await client.produce(topic, encodeBatch(batchOf([{ ...rest, value }])));
    }
    await ask("/_search?refresh=true");
    const total = { properties: { total: { type: "double" } } };
    const orders = { mappings: { properties: { orders: total, _timestamp: { type: "date" } } } };
    const api = { mappings: { properties: { api: total } } };
    expect(await ask("/_mapping")).toMatchObject({ status: 200, body: { orders, api } });
    expect(await ask("/api/_mapping")).toMatchObject({ status: 200, body: { api } });
    const caps = { "orders.total": { double: { type: "double", searchable: true } } };
    const found = { status: 200, body: { indices: ["api", "orders"], fields: caps } };
    expect(await ask("/_field_caps?fields=orders.*")).toMatchObject(found);
    const body = JSON.stringify({ fields: ["orders.*"] });
    const posted = { method: "POST", body, headers: { "content-type": "application/json" } };
    expect(await ask("/_field_caps", posted)).toMatchObject(found);
    expect(await ask("/orders/_field_caps?fields=*&expand_wildcards=open")).toMatchObject({
      status: 200,
      body: { indices: ["orders"] },
    });
    expect(await ask("/nowhere/_mapping")).toMatchObject({
      status: 404,
      body: { error: { type: "index_not_found_exception" } },
    });
    expect(await ask("/orders/_mapping", posted)).toMatchObject({ status: 405 });
    expect(await ask("/_field_caps")).toMatchObject({ status: 400 });
  } finally {
    await broker.remove();
  }
});
