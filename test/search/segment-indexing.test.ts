/** Segments get their indexes and are searched in the place of generations: every record once, at any moment. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { openIndexNumbers } from "../../src/core/native.ts";
import { fileSequenceOf, walAddressOf } from "../../src/wal/wal-address.ts";
import { SearchFixture, type TestRecord } from "./search-fixture.ts";

setDefaultTimeout(30_000);

const BATCH_RECORDS = 50;

function recordsOf(count: number, word: string): TestRecord[] {
  return Array.from({ length: count }, (_, index) => ({
    key: `${word}-${index}`,
    value: JSON.stringify({ word, index, text: `some words about ${word}` }),
  }));
}

async function produceRound(broker: SearchFixture, word: string): Promise<void> {
  for (const topic of ["a", "b", "c"]) {
    for (let partition = 0; partition < 2; partition += 1) {
      await broker.produce(topic, recordsOf(BATCH_RECORDS, word), { partition });
    }
  }
}

async function expectAll(broker: SearchFixture, count: number): Promise<void> {
  const ids = await broker.idsOf({ match_all: {} });
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBe(count);
}

const generationsOf = async (broker: SearchFixture): Promise<string[]> =>
  (await readdir(join(broker.directory, "search"))).filter((name) => /^\d/.test(name));

test("segments: a seal's segments take its generations' place", async () => {
  const openBefore = openIndexNumbers();
  await using broker = await SearchFixture.open();
  await produceRound(broker, "first");
  await expectAll(broker, 300);
  const register = await broker.seal((topic) => topic === "b");
  await produceRound(broker, "second");
  await expectAll(broker, 600);
  await broker.whenLogged("search_index_frozen");
  register();
  await broker.whenLogged("segment_indexed", 2);
  await expectAll(broker, 600);
  expect(await broker.idsOf({ match: { word: "first" } })).toHaveLength(300);
  expect(await broker.idsOf({ match: { text: "second" } }, { topics: "b" })).toHaveLength(100);
  const facts = [...broker.segments.index.segments()];
  expect(facts.map(({ searchIndex }) => searchIndex?.documentCount).sort()).toEqual([100, 200]);
  expect(broker.log.join("")).not.toContain("isRead=true");

  (await broker.seal())();
  await broker.whenLogged("segment_indexed", 3);
  await expectAll(broker, 600);
  await broker.restart();
  await expectAll(broker, 600);
  expect(await generationsOf(broker)).toEqual([]);
  await produceRound(broker, "third");
  await expectAll(broker, 900);
  await broker.stop();
  expect(openIndexNumbers().filter((number) => !openBefore.includes(number))).toEqual([]);
});

test("segments: several get their indexes at the same time", async () => {
  await using broker = await SearchFixture.open({ segmentConcurrency: 2 });
  await produceRound(broker, "first");
  await expectAll(broker, 300);
  (await broker.seal(() => true))();
  await broker.whenLogged("segment_indexed", 3);
  await expectAll(broker, 300);
  expect(broker.segmentCounter.most).toBe(2);
  await produceRound(broker, "second");
  (await broker.seal())();
  await broker.whenLogged("segment_indexed", 4);
  await broker.restart();
  await expectAll(broker, 600);
});

test("segments: generations stay until theirs are indexed, also over a restart", async () => {
  await using broker = await SearchFixture.open();
  await produceRound(broker, "first");
  await expectAll(broker, 300);
  const registerFirst = await broker.seal();
  await broker.whenLogged("search_index_frozen");
  await produceRound(broker, "second");
  const registerSecond = await broker.seal();
  await broker.whenLogged("search_index_frozen", 2);
  await expectAll(broker, 600);
  await broker.restart();
  await expectAll(broker, 600);
  expect(await generationsOf(broker)).toHaveLength(2);
  registerFirst();
  await broker.whenLogged("segment_indexed", 1);
  await expectAll(broker, 600);
  registerSecond();
  await broker.whenLogged("segment_indexed", 2);
  await expectAll(broker, 600);
  await broker.restart();
  await expectAll(broker, 600);
  expect(await generationsOf(broker)).toEqual([]);
});

test("segments: deleted topics are left out, and an empty index is none", async () => {
  await using broker = await SearchFixture.open();
  await produceRound(broker, "first");
  await expectAll(broker, 300);
  const register = await broker.seal((topic) => topic === "b");
  broker.deleteTopic("b");
  register();
  // That of the deleted topic needs none.
  await broker.whenLogged("segment_indexed", 1);
  await expectAll(broker, 200);
  await broker.restart();
  await expectAll(broker, 200);
});

test("segments: one without an indexed topic gets its index when one of its topics is indexed", async () => {
  await using broker = await SearchFixture.open();
  broker.setIndexed("b", false);
  await produceRound(broker, "first");
  await expectAll(broker, 200);
  (await broker.seal((topic) => topic === "b"))();
  await broker.whenLogged("segment_indexed", 1);
  await broker.whenLogged("search_index_frozen", 1);
  await expectAll(broker, 200);
  const documentCounts = () =>
    [...broker.segments.index.segments()].map(({ searchIndex }) => searchIndex?.documentCount);
  expect(documentCounts().sort()).toEqual([200, undefined]);
  expect((await broker.search({}, { topics: "b" })).error?.reason).toContain("is not indexed");
  await broker.restart();
  await expectAll(broker, 200);
  broker.setIndexed("b", true);
  await broker.whenLogged("segment_indexed", 2);
  await expectAll(broker, 300);
  expect(documentCounts().sort()).toEqual([100, 200]);
  expect(await broker.idsOf({ match: { word: "first" } }, { topics: "b" })).toHaveLength(100);
  broker.setIndexed("b", false);
  await produceRound(broker, "second");
  await expectAll(broker, 400);
  broker.setIndexed("b", true);
  await produceRound(broker, "third");
  // Of the second round b's are in the log only, and pass the index by.
  await expectAll(broker, 800);
});

test("segments: a topic that is indexed while the indexer starts is not overlooked", async () => {
  await using broker = await SearchFixture.open();
  broker.setIndexed("b", false);
  await produceRound(broker, "first");
  await expectAll(broker, 200);
  (await broker.seal((topic) => topic === "b"))();
  await broker.whenLogged("segment_indexed", 1);
  await broker.restart();
  broker.setIndexed("b", true);
  await broker.whenLogged("segment_indexed", 2);
  await expectAll(broker, 300);
});

test("segments: a topic that is indexed while its segment waits is read from the batches", async () => {
  await using broker = await SearchFixture.open();
  broker.setIndexed("b", false);
  await produceRound(broker, "first");
  await expectAll(broker, 200);
  const register = await broker.seal((topic) => topic === "b");
  register();
  broker.setIndexed("b", true);
  await broker.whenLogged("segment_indexed", 2);
  await expectAll(broker, 300);
  expect(broker.log.join("")).toContain("isRead=true");
});

test("segments: what the log no longer has is indexed from the batches", async () => {
  await using broker = await SearchFixture.open({ liveIndexBytesMax: 400_000 });
  await produceRound(broker, "first");
  await expectAll(broker, 300);
  const registerFirst = await broker.seal((topic) => topic === "c");
  await broker.stop();
  await broker.start();
  await fillFile(broker);
  const register = await broker.seal();
  await broker.stop();
  // Nothing was frozen of the first seal, and now its file goes.
  await Bun.$`rm -rf ${join(broker.directory, "search")}`.quiet();
  await broker.start((wal) => wal.release(walAddressOf(fileSequenceOf(wal.durableAddress), 0)));
  registerFirst();
  register();
  await broker.whenLogged("segment_indexed", 3);
  const count = (await broker.search({ size: 0 })).hits.total?.value;
  expect(count).toBe(300 + FILL_BATCHES);
  expect(broker.log.join("")).toContain("isRead=true");
  await produceRound(broker, "last");
  expect((await broker.search({ size: 0 })).hits.total?.value).toBe(600 + FILL_BATCHES);
});

const FILL_BATCHES = 6;

/** Large records, until the next file of the log has begun. */
async function fillFile(broker: SearchFixture): Promise<void> {
  const value = "x".repeat(1024 * 1024);
  for (let index = 0; index < FILL_BATCHES; index += 1) await broker.produce("fill", [{ value }]);
}

const seeds = Bun.env["SEED"] ? [Number(Bun.env["SEED"])] : [Date.now() % 1_000_000];
test.each(seeds)("segments: any order of events keeps every hit once (SEED=%i)", async (seed) => {
  const random = seededRandom(seed);
  const segmentConcurrency = 1 + Math.floor(random() * 3);
  await using broker = await SearchFixture.open({ liveIndexBytesMax: 300_000, segmentConcurrency });
  const waiting: (() => void)[] = [];
  let count = 0;
  for (let step = 0; step < 40; step += 1) {
    const choice = random();
    if (choice < 0.45) {
      await broker.produce(`t${Math.floor(random() * 3)}`, recordsOf(BATCH_RECORDS, `w${step}`), {
        partition: Math.floor(random() * 2),
      });
      count += BATCH_RECORDS;
    } else if (choice < 0.6) waiting.push(await broker.seal((topic) => topic === "t1"));
    else if (choice < 0.75) waiting.shift()?.();
    else if (choice < 0.8) broker.killWorker("wal-indexer");
    else if (choice < 0.85) broker.killWorker("generation-keeper");
    else if (choice < 0.88) broker.killWorker("searcher");
    else if (choice < 0.92) await broker.restart();
    else await expectAll(broker, count);
  }
  for (const register of waiting) register();
  await expectAll(broker, count);
});
