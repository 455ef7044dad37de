/** Compaction over sockets: what consumers and searches find of a compacted topic, before and after a restart. */

import { expect, test } from "bun:test";
import { systemDisk } from "../../src/core/disk.ts";
import { batchOf, decodeBatch, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { batchesIn } from "../../src/protocol/record-batch.ts";
import { checkDataDirectory } from "../../src/segment/check-data-directory.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const EARLIEST = -2;
const LATEST = -1;
const FLAGS = ["--wal-indexing-interval-secs", "1", "--log-cleaner-backoff-ms", "20"];
const COMPACTED = { "cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.01" };
const BASE_MS = 1_700_000_000_000;

type Pair = readonly [key: string | null, value: string | null];

/** Records of times one millisecond apart, from `startMs` on. */
function batchOfPairs(
  pairs: readonly Pair[],
  startMs: number,
  compression: "none" | "lz4" = "none",
) {
  const bytesOf = (text: string | null) => (text === null ? null : Buffer.from(text));
  const records = pairs.map(([key, value], offset) => ({
    ...{ offset, timestampMs: startMs + offset, headers: [], attributes: 0 },
    ...{ key: bytesOf(key), value: bytesOf(value) },
  }));
  return encodeBatch(batchOf(records, { compression }));
}

/** Offset, key and value of all that a consumer reads from `offset` on. */
async function consumed(client: PipelinedClient, topic: string, offset = 0): Promise<unknown[]> {
  const end = (await client.listOffset(topic, LATEST))?.offset ?? 0;
  const found: unknown[] = [];
  for (let next = offset; next < end; ) {
    const bytes = (await client.fetch(topic, next))?.records ?? new Uint8Array(0);
    for (const [start, batchEnd] of batchesIn(bytes)) {
      const batch = decodeBatch(bytes.subarray(start, batchEnd));
      for (const { offset: at, key, value } of batch.records) {
        if (at < next) continue;
        const textOf = (one: Uint8Array | null) =>
          one === null ? null : Buffer.from(one).toString();
        found.push([at, textOf(key), textOf(value)]);
      }
      next = batch.baseOffset + batch.lastOffsetDelta + 1;
    }
  }
  return found;
}

async function found({ httpPort }: RunningBroker, topic: string): Promise<unknown> {
  const url = `http://127.0.0.1:${httpPort}/${topic}/_search?refresh=true&size=100&sort=_offset`;
  const { hits } = (await (await fetch(url)).json()) as { hits: { hits: { _id: string }[] } };
  return hits.hits.map(({ _id }) => Number(_id.split("/").at(-1)));
}

/** Asks again until it holds: the test's own limit ends what never comes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

test("compaction: consumers and searches find the last value of each key, at its offset", async () => {
  const broker = await RunningBroker.start(...FLAGS);
  try {
    using client = await PipelinedClient.connect(broker.kafkaPort);
    await client.createTopic("latest", 1, COMPACTED);
    await client.createTopic("all");
    const batches: Pair[][] = [
      [
        ["a", "1"],
        ["b", "1"],
        ["c", "1"],
      ],
      [
        ["a", "2"],
        ["d", "1"],
        ["c", null],
      ],
      [
        ["a", "3"],
        ["e", "1"],
      ],
    ];
    let startMs = BASE_MS;
    for (const [index, pairs] of batches.entries()) {
      const bytes = batchOfPairs(pairs, startMs, index === 1 ? "lz4" : "none");
      for (const topic of ["latest", "all"]) await client.produce(topic, bytes);
      startMs += 1000;
    }
    const left = [
      [1, "b", "1"],
      [4, "d", "1"],
      [5, "c", null],
      [6, "a", "3"],
      [7, "e", "1"],
    ];
    await until(async () => (await consumed(client, "latest")).length === left.length);
    expect(await consumed(client, "latest")).toEqual(left);
    expect(await consumed(client, "latest", 2)).toEqual(left.slice(1));
    expect(await consumed(client, "latest", 5)).toEqual(left.slice(2));
    await until(async () => JSON.stringify(await found(broker, "latest")) === "[1,4,5,6,7]");
    expect(await found(broker, "all")).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect((await consumed(client, "all")).length).toBe(8);
    // The log's ends do not move, and times are those of the records that are left.
    expect((await client.listOffset("latest", EARLIEST))?.offset).toBe(0);
    expect(await client.listOffset("latest", BASE_MS)).toMatchObject({
      ...{ offset: 1, timestamp: BASE_MS + 1 },
    });
    expect(await client.listOffset("latest", BASE_MS + 1000)).toMatchObject({
      ...{ offset: 4, timestamp: BASE_MS + 1001 },
    });
    expect(await client.listOffset("latest", -3)).toMatchObject({ offset: 7 });
    await broker.stop();
    await broker.start(...FLAGS);
    using after = await PipelinedClient.connect(broker.kafkaPort);
    expect(await consumed(after, "latest")).toEqual(left);
    expect((await after.produce("latest", batchOfPairs([["b", "2"]], startMs)))?.baseOffset).toBe(
      8,
    );
    const next = [...left.slice(1), [8, "b", "2"]];
    await until(async () => (await consumed(after, "latest")).length === next.length);
    expect(await consumed(after, "latest")).toEqual(next);
    await until(async () => JSON.stringify(await found(broker, "latest")) === "[4,5,6,7,8]");
    await broker.stop();
    const findings: unknown[] = [];
    await checkDataDirectory(systemDisk, broker.dataDir, (finding) => findings.push(finding));
    expect(findings).toEqual([]);
  } finally {
    await broker.remove();
  }
});

test.each(["none", "lz4"] as const)(
  "compacted topics: records without a key are refused, each named (%p)",
  async (compression) => {
    const broker = await RunningBroker.start();
    try {
      using client = await PipelinedClient.connect(broker.kafkaPort);
      await client.createTopic("keyed", 1, COMPACTED);
      const pairs: Pair[] = [
        ["a", "1"],
        [null, "2"],
        ["b", "3"],
        [null, "4"],
      ];
      const answer = await client.produce("keyed", batchOfPairs(pairs, BASE_MS, compression));
      expect(answer?.errorCode).toBe(ErrorCode.invalidRecord);
      expect(answer?.recordErrors.map(({ batchIndex }) => batchIndex)).toEqual([1, 3]);
      expect((await client.listOffset("keyed", LATEST))?.offset).toBe(0);
      const good = batchOfPairs(
        [
          ["a", "1"],
          ["b", null],
        ],
        BASE_MS,
        compression,
      );
      expect((await client.produce("keyed", good))?.errorCode).toBe(ErrorCode.none);
    } finally {
      await broker.remove();
    }
  },
);
