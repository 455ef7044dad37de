/** The file of the index of segments: whole, cut, damaged, half written, and taken while segments come and go. */

import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import { type Disk, systemDisk } from "../../src/core/disk.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import {
  loadSegmentIndex,
  SegmentIndexDamagedError,
  saveSegmentIndex,
} from "../../src/segment/segment-index-file.ts";
import { below, History } from "./segment-model.ts";

const only = Bun.env["SEED"];
const seeds = only ? [Number(only)] : Array.from({ length: 10 }, (_, index) => index);
const GOLDEN = resolve(import.meta.dir, "../fixtures/segment/v2.index");
/** Written before the times of records were known. */
const GOLDEN_V1 = resolve(import.meta.dir, "../fixtures/segment/v1.index");
const GOLDEN_COVERED_END = 2 ** 40 + 7;
const directory = mkdtempSync(join(tmpdir(), "chronik-segment-index-"));
afterAll(() => rmSync(directory, { recursive: true }));

let fileCount = 0;
function newPath(): string {
  fileCount += 1;
  return join(directory, `segments-${fileCount}.index`);
}

function filled(random: Random, stepCount: number) {
  const history = new History(random);
  const index = new SegmentIndex();
  for (let step = 0; step < stepCount; step += 1) history.step(index);
  return { history, index };
}

/** Deterministic, for the golden file. */
function goldenIndex(): SegmentIndex {
  const { index } = filled(seededRandom(20), 30);
  return index;
}

function segmentsOf(index: SegmentIndex): Map<string, SegmentFacts | undefined> {
  const ids = [...index.segments()].map(({ segmentId }) => segmentId).sort();
  return new Map(ids.map((segmentId) => [segmentId, index.segment(segmentId)]));
}

async function bytesOf(path: string): Promise<Uint8Array> {
  return new Uint8Array(await Bun.file(path).arrayBuffer());
}

if (Bun.env["REWRITE"] === "1") {
  mkdirSync(resolve(GOLDEN, ".."), { recursive: true });
  const saved = { index: goldenIndex(), coveredEnd: GOLDEN_COVERED_END };
  await saveSegmentIndex(systemDisk, GOLDEN, saved);
}

test.each(seeds)("segment index file: what was saved is loaded again (SEED=%d)", async (seed) => {
  const { index, history } = filled(seededRandom(seed), 200);
  const path = newPath();
  await saveSegmentIndex(systemDisk, path, { index, coveredEnd: seed });
  const loaded = await loadSegmentIndex(systemDisk, path);
  if (loaded === undefined) throw new Error("Nothing was loaded.");
  expect(loaded.coveredEnd).toBe(seed);
  expect(segmentsOf(loaded.index)).toEqual(segmentsOf(index));
  for (const topicId of history.model.deletedTopicIds) loaded.index.deleteTopic(topicId);
  for (let step = 0; step < 30; step += 1) history.step(loaded.index);
  expect(loaded.index.stats().segmentCount).toBe(history.model.segments.length);
});

test("segment index file: an empty index, and no file at all", async () => {
  const path = newPath();
  expect(await loadSegmentIndex(systemDisk, path)).toBeUndefined();
  await saveSegmentIndex(systemDisk, path, { index: new SegmentIndex(), coveredEnd: 0 });
  const loaded = await loadSegmentIndex(systemDisk, path);
  expect(loaded?.index.stats().segmentCount).toBe(0);
});

test.each(seeds)("segment index file: it is of the moment of the call (SEED=%d)", async (seed) => {
  const random = seededRandom(seed);
  const { index, history } = filled(random, 700);
  const expected = segmentsOf(index);
  const path = newPath();
  const restless = onWrite(() => {
    for (let step = below(random, 8); step > 0; step -= 1) history.step(index);
  });
  await saveSegmentIndex(restless, path, { index, coveredEnd: 1 });
  const loaded = await loadSegmentIndex(systemDisk, path);
  expect(segmentsOf(loaded?.index ?? index)).toEqual(expected);
  expect(segmentsOf(index)).not.toEqual(expected);
});

test("segment index file: golden", async () => {
  const path = newPath();
  const index = goldenIndex();
  await saveSegmentIndex(systemDisk, path, { index, coveredEnd: GOLDEN_COVERED_END });
  expect(Buffer.compare(await bytesOf(path), await bytesOf(GOLDEN))).toBe(0);
  const loaded = await loadSegmentIndex(systemDisk, GOLDEN);
  expect(loaded?.coveredEnd).toBe(GOLDEN_COVERED_END);
  expect(segmentsOf(loaded?.index ?? new SegmentIndex())).toEqual(segmentsOf(index));
});

test("segment index file: the version before is read, without times", async () => {
  const loaded = await loadSegmentIndex(systemDisk, GOLDEN_V1);
  expect(loaded?.coveredEnd).toBe(GOLDEN_COVERED_END);
  const timeless = [...segmentsOf(goldenIndex()).values()].map((facts) => {
    const searchIndex = facts?.searchIndex ?? null;
    return { ...facts, searchIndex: searchIndex && { ...searchIndex, times: null } };
  });
  const read: unknown[] = [...segmentsOf(loaded?.index ?? new SegmentIndex()).values()];
  expect(read).toEqual(timeless);
});

test("segment index file: cut at any byte, or with any byte changed, it is refused by name", async () => {
  const whole = await bytesOf(GOLDEN);
  const damaged = newPath();
  const step = Math.ceil(whole.length / 300);
  const refusal = async () => {
    await expect(loadSegmentIndex(systemDisk, damaged)).rejects.toThrow(damaged);
  };
  for (let position = 0; position < whole.length; position += position < 64 ? 1 : step) {
    await Bun.write(damaged, whole.subarray(0, position));
    await refusal();
    const changed = whole.slice();
    changed[position] = (whole[position] ?? 0) ^ (1 << (position % 8));
    await Bun.write(damaged, changed);
    await refusal();
  }
  await Bun.write(damaged, new Uint8Array([...whole, 0]));
  await expect(loadSegmentIndex(systemDisk, damaged)).rejects.toThrow(SegmentIndexDamagedError);
});

test("segment index file: one of a newer version is refused with its reason", async () => {
  const path = newPath();
  const bytes = await bytesOf(GOLDEN);
  bytes[11] = 9;
  await Bun.write(path, bytes);
  await expect(loadSegmentIndex(systemDisk, path)).rejects.toThrow("a newer version");
  await expect(loadSegmentIndex(systemDisk, path)).rejects.not.toThrow(SegmentIndexDamagedError);
});

test("segment index file: a half-written one leaves the old one in place", async () => {
  const { index, history } = filled(seededRandom(3), 700);
  const path = newPath();
  await saveSegmentIndex(systemDisk, path, { index, coveredEnd: 1 });
  const before = segmentsOf(index);
  for (let step = 0; step < 20; step += 1) history.step(index);
  let writeCount = 0;
  const failing = onWrite(() => {
    writeCount += 1;
    if (writeCount > 2) throw new KafkaError(ErrorCode.kafkaStorageError, "The disk stops here.");
  });
  const saving = saveSegmentIndex(failing, path, { index, coveredEnd: 2 });
  await expect(saving).rejects.toThrow("stops here");
  const loaded = await loadSegmentIndex(systemDisk, path);
  expect(loaded?.coveredEnd).toBe(1);
  expect(segmentsOf(loaded?.index ?? index)).toEqual(before);
});

/** The machine's disk; `action` runs at each write to a new file. */
function onWrite(action: () => void): Disk {
  return {
    ...systemDisk,
    async create(path, sizeBytes) {
      const file = await systemDisk.create(path, sizeBytes);
      const write = file.write.bind(file);
      file.write = async (bytes, position) => {
        action();
        await write(bytes, position);
      };
      return file;
    },
  };
}
