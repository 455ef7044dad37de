/** A broker that stops answers what runs, and starts nothing more, however eagerly its clients ask again. */

import { expect, test } from "bun:test";
import { PipelinedClient } from "./pipelined-client.ts";
import { RunningBroker } from "./running-broker.ts";

const LONG_MS = 60_000;
const SHORT_MS = 50;

test("stopping: a waiting Fetch is answered, and the next one is not started", async () => {
  const broker = await RunningBroker.start();
  using client = await PipelinedClient.connect(broker.kafkaPort);
  using other = await PipelinedClient.connect(broker.kafkaPort);
  try {
    await client.createTopic("polled");
    const waiting = client.fetch("polled", 0, { maxWaitMs: LONG_MS });
    await other.listOffset("polled", -1);
    const stopped = broker.stop();
    expect(await waiting).toMatchObject({ errorCode: 0 });
    const next = client.fetch("polled", 0, { maxWaitMs: SHORT_MS });
    expect(next).rejects.toThrow("closed");
    await stopped;
  } finally {
    await broker.remove();
  }
});
