/** What each acks promises, with a sync that is held back or fails. */

import { expect, test } from "bun:test";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { GatedDisk } from "./gated-disk.ts";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const value = new TextEncoder().encode("value");
const batch = encodeBatch(
  batchOf([{ offset: 0, timestampMs: 1, key: null, value, headers: [], attributes: 0 }]),
);

interface Stage {
  readonly gate: GatedDisk;
  readonly broker: RunningBroker;
  readonly client: PipelinedClient;
}

/** Holds back every sync from now on. None is under way: the last record has just become durable. */
async function closeGate({ gate, client }: Stage): Promise<void> {
  await client.produce("synced", batch);
  gate.closeGate();
}

async function onStage(act: (stage: Stage) => Promise<void>): Promise<void> {
  const gate = new GatedDisk();
  // Nothing is synced but what asks for it, so that the gate holds back what a test means.
  const flags = ["--enable-wal-indexing=false", "--sync-delay-ms-max", "60000"];
  const broker = await RunningBroker.startOn(gate.disk, ...flags);
  using client = await PipelinedClient.connect(broker.kafkaPort);
  try {
    await client.createTopic("synced");
    await client.createTopic("relaxed", 1, { "flush.messages": "1000" });
    await client.createTopic("strict", 1, { "flush.messages": "1" });
    await act({ gate, broker, client });
  } finally {
    gate.openGate();
    client.close();
    await broker.remove();
  }
}

test("acks=all: is answered, and its record shown, only after the sync", () =>
  onStage(async (stage) => {
    const { gate, broker, client } = stage;
    using other = await PipelinedClient.connect(broker.kafkaPort);
    await closeGate(stage);
    const answered = client.produce("synced", batch);
    expect((await other.fetch("synced", 0))?.highWatermark).toBe(1);
    expect((await other.listOffset("synced", -1))?.offset).toBe(1);
    let isDone = false;
    void answered.then(() => {
      isDone = true;
    });
    expect(isDone).toBe(false);
    gate.openGate();
    expect(await answered).toMatchObject({ errorCode: ErrorCode.none, baseOffset: 1 });
    expect((await other.fetch("synced", 0))?.highWatermark).toBe(2);
  }));

test("acks=1: is answered before the sync, and its record shown after it", () =>
  onStage(async (stage) => {
    const { gate, client } = stage;
    await closeGate(stage);
    expect(await client.produce("synced", batch, { acks: 1 })).toMatchObject({ baseOffset: 1 });
    expect((await client.fetch("synced", 0))?.highWatermark).toBe(1);
    gate.openGate();
    await client.produce("synced", batch);
    expect((await client.fetch("synced", 0))?.highWatermark).toBe(3);
  }));

test("acks=1: a record can be deleted right after its answer, which then waits for the sync", () =>
  onStage(async (stage) => {
    const { gate, client, broker } = stage;
    using other = await PipelinedClient.connect(broker.kafkaPort);
    await closeGate(stage);
    await client.produce("synced", batch, { acks: 1 });
    const deleted = client.deleteRecords("synced", { 0: 2 });
    expect((await other.listOffset("synced", -2))?.offset).toBe(0);
    gate.openGate();
    expect(await deleted).toMatchObject([{ errorCode: ErrorCode.none, lowWatermark: 2 }]);
  }));

test("acks=all: a topic with flush.messages above 1 is answered before the sync, with 1 after it", () =>
  onStage(async (stage) => {
    const { gate, broker, client } = stage;
    using other = await PipelinedClient.connect(broker.kafkaPort);
    await closeGate(stage);
    expect(await client.produce("relaxed", batch)).toMatchObject({ errorCode: ErrorCode.none });
    const strict = client.produce("strict", batch);
    expect((await other.listOffset("strict", -1))?.offset).toBe(0);
    gate.openGate();
    expect(await strict).toMatchObject({ errorCode: ErrorCode.none });
  }));

test("a failed sync: everything that waits fails, later produces too, and the broker is told to stop", () =>
  onStage(async ({ gate, broker, client }) => {
    gate.closeGate();
    const waiting = [client.produce("synced", batch), client.produce("synced", batch)];
    gate.fail();
    gate.openGate();
    for (const answer of await Promise.all(waiting)) {
      expect(answer).toMatchObject({ errorCode: ErrorCode.kafkaStorageError, baseOffset: -1 });
    }
    const later = await client.produce("synced", batch);
    expect(later?.errorCode).toBe(ErrorCode.kafkaStorageError);
    expect(String(broker.failure)).toContain("write-ahead log");
  }));
