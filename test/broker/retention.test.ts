/** Retention over sockets: what is too old or too much is gone for consumers and searches, and its bytes follow. */

import { expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const LATEST = -1;
const EARLIEST = -2;
const HOUR_MS = 3_600_000;
const CHECKED_OFTEN = ["--log-retention-check-interval-ms", "10"];
const SEALED_OFTEN = ["--wal-indexing-interval-secs", "1"];
/** So that all stays in the WAL. */
const NEVER_SEALED = ["--wal-indexing-interval-secs", "86400"];

/** Wall time is moved by hand; timers go on. */
class ShiftedClock implements Clock {
  shiftMs = 0;
  readonly monotonicMs = systemClock.monotonicMs;
  readonly after = systemClock.after;
  nowMs(): number {
    return systemClock.nowMs() + this.shiftMs;
  }
}

interface Running {
  readonly broker: RunningBroker;
  readonly client: PipelinedClient;
  readonly clock: ShiftedClock;
}

async function withBroker(flags: readonly string[], run: (running: Running) => Promise<void>) {
  const clock = new ShiftedClock();
  const options = { disk: systemDisk, clock };
  const broker = await RunningBroker.startWith(options, ...CHECKED_OFTEN, ...flags);
  try {
    using client = await PipelinedClient.connect(broker.kafkaPort);
    await run({ broker, client, clock });
  } finally {
    await broker.remove();
  }
}

/** `recordCount` records of one time, about `valueBytes` each, that do not compress. */
function batchAt(timestampMs: number, recordCount: number, valueBytes = 10): Uint8Array {
  let state = timestampMs % 1_000_003;
  const records = Array.from({ length: recordCount }, (_, offset) => {
    const value = new Uint8Array(valueBytes).map(() => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return 97 + ((state >>> 24) % 26);
    });
    return { offset, timestampMs, key: null, value, headers: [], attributes: 0 };
  });
  return encodeBatch(batchOf(records));
}

async function startOf(client: PipelinedClient, topic: string): Promise<number | undefined> {
  return (await client.listOffset(topic, EARLIEST))?.offset;
}

/** Asks again until it holds: the test's own limit ends what never comes. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds()));
}

async function hitCount({ httpPort }: RunningBroker, topic: string): Promise<unknown> {
  const url = `http://127.0.0.1:${httpPort}/${topic}/_search?refresh=true&size=0`;
  const body = { aggs: { offsets: { value_count: { field: "_offset" } } } };
  const answer = await fetch(url, { method: "POST", body: JSON.stringify(body) });
  const { hits, aggregations } = (await answer.json()) as {
    hits: { total: { value: number } };
    aggregations: { offsets: { value: number } };
  };
  return [hits.total.value, aggregations.offsets.value];
}

async function segmentCount({ dataDir }: RunningBroker): Promise<number> {
  const names = await readdir(join(dataDir, "segments"));
  return names.filter((name) => name.endsWith(".tar.gz")).length;
}

async function sealedBytes({ httpPort }: RunningBroker): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
  return Number(/^chronik_segment_bytes\{kind="data"\} (\d+)/m.exec(text)?.[1] ?? 0);
}

test.each([
  ["the WAL", NEVER_SEALED],
  ["segments", SEALED_OFTEN],
])("retention.ms: records in %s go once all before them are too old", (place, flags) =>
  withBroker(flags, async ({ broker, client, clock }) => {
    await client.createTopic("timed", 1, { "retention.ms": String(HOUR_MS) });
    await client.createTopic("kept", 1, { "retention.ms": "-1" });
    const nowMs = clock.nowMs();
    for (const topic of ["timed", "kept"]) await client.produce(topic, batchAt(nowMs, 5));
    if (place === "segments") await until(async () => (await segmentCount(broker)) > 0);
    clock.shiftMs += HOUR_MS / 2;
    // A second segment, or a run that another topic's batch parts from the first.
    for (const topic of ["timed", "kept"]) await client.produce(topic, batchAt(clock.nowMs(), 5));
    expect(await hitCount(broker, "timed")).toEqual([10, 10]);
    clock.shiftMs += HOUR_MS / 2 + 1000;
    await until(async () => (await startOf(client, "timed")) === 5);
    expect(await hitCount(broker, "timed")).toEqual([5, 5]);
    expect((await client.fetch("timed", 4))?.errorCode).toBe(ErrorCode.offsetOutOfRange);
    expect(await client.fetch("timed", 5)).toMatchObject({ errorCode: 0, logStartOffset: 5 });
    clock.shiftMs += HOUR_MS;
    await until(async () => (await startOf(client, "timed")) === 10);
    expect(await hitCount(broker, "timed")).toEqual([0, 0]);
    expect((await client.listOffset("timed", LATEST))?.offset).toBe(10);
    expect((await client.produce("timed", batchAt(clock.nowMs(), 1)))?.baseOffset).toBe(10);
    expect(await startOf(client, "kept")).toBe(0);
    expect(await hitCount(broker, "kept")).toEqual([10, 10]);
  }),
);

test("retention: the bytes of what has gone leave the disk, and a restart keeps the start", () =>
  withBroker(SEALED_OFTEN, async ({ broker, client, clock }) => {
    await client.createTopic("timed", 1, { "retention.ms": String(HOUR_MS) });
    await client.produce("timed", batchAt(clock.nowMs(), 100, 1000));
    await until(async () => (await segmentCount(broker)) > 0);
    clock.shiftMs += 2 * HOUR_MS;
    await until(async () => (await segmentCount(broker)) === 0);
    expect(await startOf(client, "timed")).toBe(100);
    await broker.stop();
    await broker.start(...NEVER_SEALED);
    using after = await PipelinedClient.connect(broker.kafkaPort);
    expect(await startOf(after, "timed")).toBe(100);
    expect((await after.produce("timed", batchAt(clock.nowMs(), 1)))?.baseOffset).toBe(100);
  }));

test("retention.bytes: counts each partition for itself, although they share segments", () =>
  withBroker(SEALED_OFTEN, async ({ broker, client, clock }) => {
    const configs = { "retention.bytes": "150000" };
    await client.createTopic("sized", 2, configs);
    for (let round = 0; round < 4; round += 1) {
      const before = await segmentCount(broker);
      await client.produce("sized", batchAt(clock.nowMs(), 50, 1000));
      await client.produce("sized", batchAt(clock.nowMs(), 5, 1000), { index: 1 });
      await until(
        async () =>
          (await segmentCount(broker)) > before || (await startOf(client, "sized")) === 50,
      );
    }
    // 200 KB: the first 50 can go without less than 150,000 bytes being left.
    await until(async () => (await startOf(client, "sized")) === 50);
    const other = await client.deleteRecords("sized", { 1: 0 });
    expect(other[0]?.lowWatermark).toBe(0);
  }));

test("retention.ms: a range larger than segment.bytes is cut where records are too old", () =>
  withBroker(SEALED_OFTEN, async ({ broker, client, clock }) => {
    const configs = { "retention.ms": String(HOUR_MS), "segment.bytes": "1048576" };
    await client.createTopic("cut", 1, configs);
    const nowMs = clock.nowMs();
    for (let minutes = 48; minutes > 0; minutes -= 2) {
      await client.produce("cut", batchAt(nowMs - minutes * 60_000, 100, 1000));
    }
    await until(async () => (await sealedBytes(broker)) > 2_400_000);
    expect(await startOf(client, "cut")).toBe(0);
    clock.shiftMs += HOUR_MS / 2 + 60_000;
    // Those of 48 to 30 minutes before.
    await until(async () => (await startOf(client, "cut")) === 1000);
    const fetched = await client.fetch("cut", 1000);
    expect([fetched?.errorCode, fetched?.logStartOffset]).toEqual([ErrorCode.none, 1000]);
  }));

test("cleanup.policy: only delete lets old records go", () =>
  withBroker(NEVER_SEALED, async ({ client, clock }) => {
    const policies = { compact: "compact", nothing: "", both: "compact,delete", plain: "delete" };
    const keyed = (timestampMs: number): Uint8Array =>
      encodeBatch(
        batchOf([
          {
            ...{ offset: 0, timestampMs, headers: [], attributes: 0 },
            ...{ key: Buffer.from("k"), value: Buffer.from("v") },
          },
        ]),
      );
    for (const [topic, policy] of Object.entries(policies)) {
      await client.createTopic(topic, 1, { "cleanup.policy": policy, "retention.ms": "1000" });
      await client.produce(topic, keyed(clock.nowMs()));
    }
    clock.shiftMs += HOUR_MS;
    for (const topic of ["both", "plain"]) {
      await until(async () => (await startOf(client, topic)) === 1);
    }
    for (const topic of ["compact", "nothing"]) expect(await startOf(client, topic)).toBe(0);
  }));

test("retention: the broker's defaults hold for a topic that sets nothing", () =>
  withBroker([...NEVER_SEALED, "--log-retention-ms", "1h"], async ({ client, clock }) => {
    await client.createTopic("plain");
    await client.createTopic("own", 1, { "retention.ms": "-1" });
    for (const topic of ["plain", "own"]) await client.produce(topic, batchAt(clock.nowMs(), 3));
    clock.shiftMs += 2 * HOUR_MS;
    await until(async () => (await startOf(client, "plain")) === 3);
    expect(await startOf(client, "own")).toBe(0);
  }));
