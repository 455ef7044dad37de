/** The Worker for topic reads: it dies, is stopped, cannot read, and has too much to do. */
import { afterEach, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { ReadStretch } from "../../src/http/record-source.ts";
import type { TopicJob } from "../../src/http/topic-records-messages.ts";
import { TopicJobRunner } from "../../src/http/topic-records-runner.ts";
import { MemorySource } from "./memory-source.ts";

const source = new MemorySource();
source.addTopic("t", 1);
source.append("t", 0, [{ timestampMs: 1, key: "k", value: "v" }]);
const topicId = source.topic("t")?.topicId ?? "";
const JOB: TopicJob = {
  kind: "records",
  topic: "t",
  topicId,
  ranges: [{ partition: 0, offset: 0, endOffset: 1, toMs: undefined }],
  limit: 10,
};

let runner: TopicJobRunner | undefined;
afterEach(() => runner?.stop());

/** A runner whose reads wait for `gate`, and the Worker that it started last. */
function start(gate: () => Promise<void>) {
  let worker: Worker | undefined;
  const { promise: isReading, resolve: reading } = Promise.withResolvers<void>();
  runner = new TopicJobRunner({
    source: {
      readBatches: async (_place, stretch: ReadStretch) => {
        reading();
        await gate();
        return await source.readBatches({ topicId, partition: 0 }, stretch);
      },
    },
    memoryBytesMax: 128 * 2 ** 20,
    clock: systemClock,
    logger: silentLogger,
    createWorker: (url) => {
      worker = new Worker(url);
      return worker;
    },
  });
  return { runner, isReading, killWorker: () => worker?.terminate() };
}

async function answerOf(job: Promise<{ readonly status: number; readonly body: Uint8Array }>) {
  const { status, body } = await job;
  return { status, body: JSON.parse(Buffer.from(body).toString()) };
}

test("runner: a job whose Worker dies is 500, the next one is done by another", async () => {
  let gate = Promise.withResolvers<void>();
  const started = start(() => gate.promise);
  const lost = started.runner.run(JOB);
  await started.isReading;
  started.killWorker();
  await expect(lost).rejects.toThrow("the Worker for topic reads died");
  gate.resolve();
  gate = Promise.withResolvers<void>();
  gate.resolve();
  const { status, body } = await answerOf(started.runner.run(JOB));
  expect({ status, count: body.records.length }).toEqual({ status: 200, count: 1 });
});

test("runner: what cannot be read is 500, without a word about why", async () => {
  const started = start(() => Promise.reject(new Error("secret")));
  expect(await answerOf(started.runner.run(JOB))).toEqual({
    status: 500,
    body: { error: "search_phase_execution_exception", reason: "the log could not be read" },
  });
});

test("runner: a stop ends what runs and what waits; too much is refused", async () => {
  const gate = Promise.withResolvers<void>();
  const started = start(() => gate.promise);
  const jobs = Array.from({ length: 18 }, () => started.runner.run(JOB));
  await started.isReading;
  expect(() => started.runner.run(JOB)).toThrow("rejected: 16 topic reads are waiting");
  const ended = Promise.allSettled(jobs);
  started.runner.stop();
  for (const outcome of await ended) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { status: 503 } });
  }
  gate.resolve();
});
