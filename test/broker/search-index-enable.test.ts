/** `search.index.enable`: what of a topic is found, before and after it is switched, in the log and in segments. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { alterTopic, configsOf, SET } from "./configs-client.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const ENABLE = "search.index.enable";
const OFF = { [ENABLE]: "false" };
/** Rounds are a second apart, and the machine may be busy. */
const TIMEOUT_MS = 30_000;
const FLAGS = ["--wal-indexing-interval-secs", "1", "--file-delete-delay-ms", "0"];

let broker: RunningBroker;
let client: PipelinedClient;

beforeAll(async () => {
  broker = await RunningBroker.start(...FLAGS);
  client = await PipelinedClient.connect(broker.kafkaPort);
});
afterAll(async () => {
  client.close();
  await broker.remove();
});

function batchOfWords(word: string, count: number): Uint8Array {
  const records = Array.from({ length: count }, (_, offset) => {
    const value = Buffer.from(`{"word":"${word}"}`);
    return { offset, timestampMs: 1, key: null, value, headers: [], attributes: 0 };
  });
  return encodeBatch(batchOf(records));
}

interface Answer {
  readonly status: number;
  readonly total: number | undefined;
  readonly reason: string | undefined;
}

async function search(path: string): Promise<Answer> {
  const response = await fetch(`http://127.0.0.1:${broker.httpPort}${path}`);
  const body = (await response.json()) as {
    hits?: { total: { value: number } };
    error?: { type: string; reason: string };
  };
  const { status } = response;
  return { status, total: body.hits?.total.value, reason: body.error?.reason };
}

async function countOf(word: string, topics = ""): Promise<number | undefined> {
  const { total } = await search(`${topics}/_search?refresh=true&q=word:${word}`);
  return total;
}

async function segments(): Promise<Record<string, number>> {
  const response = await fetch(`http://127.0.0.1:${broker.httpPort}/api/segments`);
  return (await response.json()) as Record<string, number>;
}

/** Asks again until it holds: the test's own limit ends what never comes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

const switchTo = (topic: string, value: "true" | "false") =>
  alterTopic(client, topic, [[SET, ENABLE, value]]);

test("search.index.enable: a topic that is off is refused by name and passed over otherwise", async () => {
  await client.createTopic("quiet", 1, OFF);
  await client.createTopic("loud");
  await client.produce("quiet", batchOfWords("alpha", 3));
  await client.produce("loud", batchOfWords("alpha", 2));
  expect(await countOf("alpha")).toBe(2);
  expect(await countOf("alpha", "/*")).toBe(2);
  for (const path of ["/quiet/_search", "/loud,quiet/_search", "/quiet/_count"]) {
    const { status, reason } = await search(path);
    expect([status, reason]).toEqual([
      400,
      "topic [quiet] is not indexed for search: its config search.index.enable is false",
    ]);
  }
  expect(await countOf("alpha", "/loud,-quiet")).toBe(2);
  const lenient = await search("/loud,quiet/_search?ignore_unavailable=true&q=word:alpha");
  expect(lenient).toMatchObject({ status: 200, total: 2 });
});

test("search.index.enable: switched on, records from then on are found; off, none are", async () => {
  await client.createTopic("switched", 1, OFF);
  await client.produce("switched", batchOfWords("beta", 3));
  await switchTo("switched", "true");
  await client.produce("switched", batchOfWords("gamma", 2));
  expect(await countOf("gamma", "/switched")).toBe(2);
  await switchTo("switched", "false");
  await client.produce("switched", batchOfWords("gamma", 4));
  expect(await countOf("gamma")).toBe(0);
  expect((await search("/switched/_search")).status).toBe(400);
  await switchTo("switched", "true");
  await client.produce("switched", batchOfWords("gamma", 8));
  await until(async () => (await countOf("gamma", "/switched")) === 10);
});

test(
  "search.index.enable: segments of what is off get no index until it is on, also after a restart",
  async () => {
    const own = await RunningBroker.start(...FLAGS);
    const shared = broker;
    broker = own;
    try {
      {
        using first = await PipelinedClient.connect(own.kafkaPort);
        await first.createTopic("bulk", 2, OFF);
        const batches = [batchOfWords("delta", 5), batchOfWords("delta", 6)] as const;
        for (const [index, batch] of batches.entries())
          await first.produce("bulk", batch, { index });
        // A round may begin between them: they lie in one segment or in two.
        const dataBytes = batches[0].length + batches[1].length;
        await until(async () => (await segments())["data_bytes"] === dataBytes);
        expect(await segments()).toMatchObject({ indexed_segment_count: 0, document_count: 0 });
        expect(await countOf("delta")).toBe(0);
      }
      const { segment_count } = await segments();
      await own.stop();
      await own.start(...FLAGS);
      using second = await PipelinedClient.connect(own.kafkaPort);
      expect(await segments()).toMatchObject({ segment_count, indexed_segment_count: 0 });
      await alterTopic(second, "bulk", [[SET, ENABLE, "true"]]);
      await until(async () => (await segments())["indexed_segment_count"] === segment_count);
      await until(async () => (await countOf("delta", "/bulk")) === 11);
    } finally {
      broker = shared;
      await own.remove();
    }
  },
  TIMEOUT_MS,
);

test(
  "search.index.enable: nothing of the log is kept for what is not indexed",
  async () => {
    const own = await RunningBroker.start(...FLAGS, "--wal-file-bytes", "4M");
    const shared = broker;
    broker = own;
    try {
      using first = await PipelinedClient.connect(own.kafkaPort);
      await first.createTopic("bulk", 1, OFF);
      const batch = batchOfWords("epsilon".repeat(1000), 50);
      const metric = async (name: string) => {
        const text = await (await fetch(`http://127.0.0.1:${own.httpPort}/metrics`)).text();
        return Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
      };
      for (let count = 0; count < 40; count += 1) await first.produce("bulk", batch);
      await until(async () => (await metric("chronik_wal_files")) <= 2);
      expect(await segments()).toMatchObject({ indexed_segment_count: 0 });
      expect(await metric("chronik_indexed_records_total")).toBe(0);
    } finally {
      broker = shared;
      await own.remove();
    }
  },
  TIMEOUT_MS,
);

test(
  "search.index.enable: the broker's setting holds for topics that do not say",
  async () => {
    const own = await RunningBroker.start(...FLAGS, "--search-index-enable=false");
    const shared = broker;
    broker = own;
    try {
      using first = await PipelinedClient.connect(own.kafkaPort);
      await first.createTopic("plain");
      await first.createTopic("asked", 1, { [ENABLE]: "true" });
      for (const topic of ["plain", "asked"]) await first.produce(topic, batchOfWords("zeta", 1));
      expect(await countOf("zeta")).toBe(1);
      expect((await search("/plain/_search")).status).toBe(400);
      const described = async (topic: string) => {
        const configs = await configsOf(first, topic);
        const config = configs.find(({ name }) => name === ENABLE);
        return [config?.value, config?.configSource, config?.synonyms.map(({ source }) => source)];
      };
      expect(await described("plain")).toEqual(["false", 4, [4, 5]]);
      expect(await described("asked")).toEqual(["true", 1, [1, 4, 5]]);
    } finally {
      broker = shared;
      await own.remove();
    }
  },
  TIMEOUT_MS,
);
