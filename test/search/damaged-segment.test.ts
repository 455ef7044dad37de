/** A segment whose index is damaged: told once in the log, in every answer, and made anew where its batches allow. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { BATCHES_NAME } from "../../src/segment/segment-writer.ts";
import { damageFiles, damageSearchIndex } from "../segment/damage.ts";
import { SearchFixture } from "./search-fixture.ts";

setDefaultTimeout(30_000);

/** One segment with the records of `sealed`; those of `live` are in no segment. The fixture is stopped. */
async function sealedOnce(): Promise<{ readonly broker: SearchFixture; readonly path: string }> {
  const broker = await SearchFixture.open();
  await broker.produce("sealed", [{ value: "one word" }, { value: "two words" }]);
  (await broker.seal())();
  await broker.search({ size: 0 });
  await broker.whenLogged("segment_indexed");
  await broker.produce("live", [{ value: "more words" }]);
  await broker.search({ size: 0 });
  const [segment] = [...broker.segments.index.segments()];
  const path = broker.segments.pathOf(segment?.segmentId ?? "");
  await broker.stop();
  return { broker, path };
}

const countOf = (broker: SearchFixture, event: string): number =>
  broker.log.filter((line) => line.includes(` ${event} `)).length;

async function shardsOf(broker: SearchFixture): Promise<object> {
  const answer = await broker.search({ size: 0 });
  const { total, failed } = (answer as unknown as { _shards: Record<string, number> })._shards;
  return { status: answer.status, hits: answer.hits.total?.value, total, failed };
}

test("damaged segment: its index is made anew, and searched in the place of the damaged one", async () => {
  const { broker, path } = await sealedOnce();
  try {
    await damageSearchIndex(path);
    await broker.start();
    const answers = await Promise.all([shardsOf(broker), shardsOf(broker), shardsOf(broker)]);
    expect(answers[0]).toEqual({ status: 200, hits: 1, total: 2, failed: 1 });
    await broker.whenLogged("segment_indexed", 2);
    expect(await shardsOf(broker)).toEqual({ status: 200, hits: 3, total: 2, failed: 0 });
    expect(countOf(broker, "segment_index_damaged")).toBe(1);
    // A damage that is told late is not that of the new index.
    const [segment] = [...broker.segments.index.segments()];
    const { segmentId = "", lengthBytes = 0 } = segment ?? {};
    broker.indexer.indexDamaged({ segmentId, lengthBytes: lengthBytes - 1, reason: "old" });
    expect(countOf(broker, "segment_index_damaged")).toBe(1);
  } finally {
    await broker[Symbol.asyncDispose]();
  }
});

test("damaged segment: where its batches are damaged, too, searches go on without it", async () => {
  const { broker, path } = await sealedOnce();
  try {
    const whole = await Bun.file(path).bytes();
    await damageSearchIndex(path);
    await damageFiles(path, (entries) => entries.filter(({ name }) => name === BATCHES_NAME));
    await broker.start();
    const partial = { status: 200, hits: 1, total: 2, failed: 1 };
    expect(await shardsOf(broker)).toEqual(partial);
    await broker.whenLogged("segment_index_not_repaired");
    for (let search = 0; search < 3; search += 1) expect(await shardsOf(broker)).toEqual(partial);
    // What is sealed next gets its index all the same.
    (await broker.seal())();
    await broker.whenLogged("segment_indexed", 2);
    expect(await shardsOf(broker)).toEqual(partial);
    expect(countOf(broker, "segment_index_damaged")).toBe(1);
    expect(countOf(broker, "segment_index_not_repaired")).toBe(1);
    await broker.stop();
    await Bun.write(path, whole);
    await broker.start();
    expect(await shardsOf(broker)).toEqual({ status: 200, hits: 3, total: 2, failed: 0 });
  } finally {
    await broker[Symbol.asyncDispose]();
  }
});
