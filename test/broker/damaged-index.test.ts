/**
 * A search index that is damaged in a segment's archive: searches answer with what they have and say what they lack,
 * and the index is made anew from the segment's batches.
 */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { runCli } from "../cli/cli-process.ts";
import { damageSearchIndex } from "../segment/damage.ts";
import { findingsOf } from "../segment/whole.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

setDefaultTimeout(60_000);

const RECORD_COUNT = 100;

interface Answer {
  readonly status: number;
  readonly total: number | undefined;
  readonly shards: { readonly failed: number; readonly failures?: readonly unknown[] } | undefined;
  readonly error:
    | {
        readonly type: string;
        readonly reason: string;
        readonly failed_shards?: readonly unknown[];
      }
    | undefined;
}

async function produce(broker: RunningBroker, topic: string): Promise<void> {
  using client = await PipelinedClient.connect(broker.kafkaPort);
  await client.createTopic(topic);
  const records = Array.from({ length: RECORD_COUNT }, (_, offset) => ({
    ...{ offset, timestampMs: 1_000_000 + offset, key: null, headers: [], attributes: 0 },
    value: Buffer.from(JSON.stringify({ number: offset, text: `needle number ${offset}` })),
  }));
  await client.produce(topic, encodeBatch(batchOf(records)));
}

async function search(broker: RunningBroker, parameters: string, topics = ""): Promise<Answer> {
  const url = `http://127.0.0.1:${broker.httpPort}${topics}/_search?refresh=true&${parameters}`;
  const response = await fetch(url);
  const body = (await response.json()) as {
    readonly hits?: { readonly total: { readonly value: number } };
    readonly _shards?: Answer["shards"];
    readonly error?: Answer["error"];
  };
  const { _shards: shards, error } = body;
  return { status: response.status, total: body.hits?.total.value, shards, error };
}

async function metric(broker: RunningBroker, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${broker.httpPort}/metrics`)).text();
  const line = text.split("\n").find((one) => one.startsWith(`${name} `));
  return line === undefined ? 0 : Number(line.slice(name.length + 1));
}

/** Asks again until it holds: the test's own limit ends what never comes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

/** @returns the object's name */
async function damageIndex(broker: RunningBroker): Promise<string> {
  const directory = join(broker.dataDir, "segments");
  const name = (await readdir(directory)).find((one) => one.endsWith(".tar.gz")) ?? "";
  await damageSearchIndex(join(directory, name));
  return name;
}

test("damaged index: a partial answer names it, and it is made anew from the batches", async () => {
  const broker = await RunningBroker.start("--wal-indexing-interval-secs", "1");
  const restart = async () => {
    await broker.stop();
    const name = await damageIndex(broker);
    expect((await findingsOf(broker.dataDir)).map(({ kind }) => kind)).toContain("fault");
    // Nothing is sealed any more.
    await broker.start("--wal-indexing-interval-secs", "86400");
    return name;
  };
  const wholeAgain = async () => {
    await until(async () => (await search(broker, "q=needle")).shards?.failed === 0);
    expect(await search(broker, "q=needle")).toMatchObject({
      status: 200,
      total: 2 * RECORD_COUNT,
    });
  };
  try {
    await produce(broker, "sealed");
    await until(async () => (await metric(broker, "chronik_segments_indexed")) === 1);
    const name = await restart();
    await produce(broker, "live");
    const failure = {
      shard: 0,
      index: name,
      reason: { type: "corrupt_index_exception", reason: expect.stringContaining("corrupt") },
    };
    const partial = await search(broker, "q=needle");
    expect(partial).toMatchObject({ status: 200, total: RECORD_COUNT });
    expect(partial.shards).toMatchObject({ failed: 1, failures: [failure] });
    expect(JSON.stringify(partial)).not.toContain(broker.dataDir);
    const searched = 'chronik_search_segments_total{outcome="searched"}';
    expect(await metric(broker, searched)).toBe(1);
    await wholeAgain();

    await restart();
    const refused = await search(broker, "q=needle&allow_partial_search_results=false");
    expect(refused).toMatchObject({
      status: 500,
      error: { type: "search_phase_execution_exception", failed_shards: [failure] },
    });
    await wholeAgain();

    await restart();
    const nothing = await search(broker, "q=needle", "/sealed");
    expect(nothing).toMatchObject({ status: 500, error: { reason: "all shards failed" } });
    await wholeAgain();

    await restart();
    const args = ["search", "needle", "--http", `http://127.0.0.1:${broker.httpPort}`];
    expect(await runCli(args)).toMatchObject({
      exitCode: 0,
      stderr: expect.stringContaining("Parts of the index can't be read (1)"),
    });
    await wholeAgain();
    await broker.stop();
    const findings = await findingsOf(broker.dataDir);
    expect(findings.filter(({ kind }) => kind === "fault")).toEqual([]);
  } finally {
    await broker.remove();
  }
});
