/** The chain of generations: frozen, restarted, damaged, and with Workers that die. Hits exactly once throughout. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { SearchFixture, type TestRecord } from "./search-fixture.ts";

setDefaultTimeout(30_000);

/** So little that a thousand records or two fill a generation. */
const LIVE_INDEX_BYTES_MAX = 400_000;

function recordsOf(count: number, seed: number): TestRecord[] {
  const random = seededRandom(seed);
  return Array.from({ length: count }, (_, index) => {
    const words = Array.from({ length: 12 }, () => Math.floor(random() * 1e9).toString(36));
    return { key: `${seed}-${index}`, value: words.join(" ") };
  });
}

async function produceMany(broker: SearchFixture, batchCount: number, seed: number): Promise<void> {
  for (let index = 0; index < batchCount; index += 1) {
    await broker.produce("many", recordsOf(250, seed + index), { partition: index % 3 });
  }
}

async function countOf(broker: SearchFixture): Promise<number> {
  const answer = await broker.search({ size: 0 });
  if (answer.hits.total === undefined) throw new Error(answer.error?.reason);
  return answer.hits.total.value;
}

/** Every record of "many" is one hit, and no more. */
async function expectAll(broker: SearchFixture, count: number): Promise<void> {
  const ids = await broker.idsOf({ match_all: {} });
  expect(new Set(ids).size).toBe(ids.length);
  expect(ids.length).toBe(count);
}

function searchDirectory(broker: SearchFixture): string {
  return join(broker.directory, "search");
}

test("indexer: full generations are frozen, and a restart indexes only the rest", async () => {
  await using broker = await SearchFixture.open({ liveIndexBytesMax: LIVE_INDEX_BYTES_MAX });
  await produceMany(broker, 24, 1);
  await broker.whenLogged("search_index_frozen", 2);
  await expectAll(broker, 6_000);
  const { frozenGenerationCount } = broker.indexer.lag();
  expect(frozenGenerationCount).toBeGreaterThanOrEqual(2);

  await broker.restart();
  await expectAll(broker, 6_000);
  const lag = broker.indexer.lag();
  expect(lag.frozenGenerationCount).toBeGreaterThanOrEqual(frozenGenerationCount);
  expect(lag.indexedRecordsTotal).toBeLessThan(6_000 - 500);
  expect(lag.lagBytes).toBe(0);
  await broker.produce("many", recordsOf(1, 99));
  await expectAll(broker, 6_001);
});

test("indexer: a damaged generation, and all behind it, is made anew", async () => {
  await using broker = await SearchFixture.open({ liveIndexBytesMax: LIVE_INDEX_BYTES_MAX });
  await produceMany(broker, 24, 2);
  await broker.whenLogged("search_index_frozen", 2);
  await broker.stop();
  const [first = ""] = (await readdir(searchDirectory(broker))).sort();
  const index = join(searchDirectory(broker), first, "index");
  const positions = (await readdir(index)).find((name) => name.endsWith(".pos")) ?? "";
  const file = Bun.file(join(index, positions));
  const bytes = await file.bytes();
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0x40;
  await Bun.write(file, bytes);
  await broker.start();
  await broker.whenLogged("search_index_damaged");
  await expectAll(broker, 6_000);
});

test("indexer: what is unfinished, unknown, or of another format or log is dropped", async () => {
  await using broker = await SearchFixture.open({ liveIndexBytesMax: LIVE_INDEX_BYTES_MAX });
  await produceMany(broker, 24, 3);
  await broker.whenLogged("search_index_frozen", 2);
  await broker.stop();
  const directory = searchDirectory(broker);
  const [first = "", second = ""] = (await readdir(directory)).sort();
  await Bun.write(join(directory, "0000-stray/file"), "x");
  const manifest = Bun.file(join(directory, second, "generation.txt"));
  await Bun.write(manifest, (await manifest.text()).replace(/ 2 /, " 3 "));
  await broker.start();
  await expectAll(broker, 6_000);
  expect(broker.log.join("")).toContain("its name is unknown");
  expect(broker.log.join("")).toContain("its format is of version 3");

  await broker.stop();
  await rm(join(directory, first, "index"), { recursive: true });
  await broker.start();
  await expectAll(broker, 6_000);
});

test("indexer: the index of a log that is gone finds nothing in the new one", async () => {
  await using broker = await SearchFixture.open({ liveIndexBytesMax: LIVE_INDEX_BYTES_MAX });
  await produceMany(broker, 12, 4);
  await broker.whenLogged("search_index_frozen", 1);
  await broker.stop();
  await rm(join(broker.directory, "wal"), { recursive: true });
  broker.forgetTopics();
  await broker.start();
  expect(await countOf(broker)).toBe(0);
  await produceMany(broker, 12, 5);
  await expectAll(broker, 3_000);
});

test("indexer: a Worker that dies loses no hit, not even for a moment, and doubles none", async () => {
  await using broker = await SearchFixture.open();
  await produceMany(broker, 8, 6);
  await expectAll(broker, 2_000);
  for (let round = 1; round <= 3; round += 1) {
    broker.killWorker("wal-indexer");
    await broker.whenLogged("worker_died", round);
    // Without a refresh: what was found before is found still.
    const answer = await broker.search({ size: 0 }, { parameters: "" });
    expect(answer.hits.total?.value).toBe(2_000 + 250 * (round - 1));
    await broker.produce("many", recordsOf(250, 60 + round), { partition: round });
    await expectAll(broker, 2_000 + 250 * round);
  }
  expect(broker.indexer.lag().workerRestartsTotal).toBe(3);
});

test("indexer: deleted topics are left out of frozen generations", async () => {
  await using broker = await SearchFixture.open({ liveIndexBytesMax: LIVE_INDEX_BYTES_MAX });
  await broker.produce("doomed", recordsOf(250, 7));
  await broker.search({ size: 0 });
  broker.deleteTopic("doomed");
  await produceMany(broker, 24, 8);
  await broker.whenLogged("search_index_frozen", 2);
  await expectAll(broker, 6_000);
  await broker.restart();
  await expectAll(broker, 6_000);
});

test("indexer: a search whose Worker dies is answered by the next one", async () => {
  await using broker = await SearchFixture.open();
  await produceMany(broker, 4, 9);
  expect(await countOf(broker)).toBe(1_000);
  const answers = Array.from({ length: 5 }, () => broker.search({ size: 10 }, { parameters: "" }));
  broker.killWorker("searcher");
  for (const answer of await Promise.all(answers)) expect(answer.hits.total?.value).toBe(1_000);
  await broker.whenLogged("worker_died");
  expect(await countOf(broker)).toBe(1_000);
});

const seeds = Bun.env["SEED"] ? [Number(Bun.env["SEED"])] : [Date.now() % 1_000_000];
test.each(seeds)("indexer: any order of events keeps every hit once (SEED=%i)", async (seed) => {
  const random = seededRandom(seed);
  await using broker = await SearchFixture.open({ liveIndexBytesMax: LIVE_INDEX_BYTES_MAX });
  let count = 0;
  for (let step = 0; step < 40; step += 1) {
    const dice = random();
    if (dice < 0.7) {
      const size = 1 + Math.floor(random() * 400);
      await broker.produce("many", recordsOf(size, step), { partition: step % 2 });
      count += size;
    } else if (dice < 0.8) broker.killWorker("wal-indexer");
    else if (dice < 0.85) broker.killWorker("generation-keeper");
    else if (dice < 0.9) broker.killWorker("searcher");
    else if (dice < 0.95) expect(await countOf(broker)).toBe(count);
    else await broker.restart();
  }
  await expectAll(broker, count);
});

test("indexer: a Worker that fails by itself is told of and tried again, and stops no one", async () => {
  await using broker = await SearchFixture.open();
  await broker.produce("t", [{ value: "a" }]);
  await broker.search(undefined);
  await broker.stop();
  const [name = ""] = await readdir(join(broker.directory, "wal"));
  const path = join(broker.directory, "wal", name);
  await broker.start();
  // The broker has the file open; the Worker opens it anew.
  await rename(path, `${path}.away`);
  broker.killWorker("wal-indexer");
  await broker.produce("t", [{ value: "b" }]);
  await broker.whenLogged("worker_died", 2);
  await rename(`${path}.away`, path);
  expect(await broker.idsOf({ match_all: {} })).toEqual(["t/0/0", "t/0/1"]);
});
