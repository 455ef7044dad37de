/** The search index of merged segments: exactly the records that lie in each, without reading them again. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { freezeIndexes, LiveIndex, searchIndexes } from "../../src/core/native.ts";
import { openArchivedIndex } from "../../src/core/native-segments.ts";
import { RecordPack } from "../../src/core/record-pack.ts";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { BATCH_HEADER_BYTES } from "../../src/protocol/record-batch.ts";
import { ArchiveWriter } from "../../src/segment/archive-writer.ts";
import { mergeSegments } from "../../src/segment/merging-job.ts";
import { commandOf, type MergedSegments } from "../../src/segment/merging-messages.ts";
import { planMerge } from "../../src/segment/merging-plan.ts";
import type { PartitionRange, SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { segmentFileName } from "../../src/segment/segment-writer.ts";
import { inDirectory } from "./archive-fixture.ts";
import { nextSegmentId, SealedWorld, TOPIC_IDS } from "./merging-fixture.ts";

setDefaultTimeout(30_000);

test("merged search index: each segment has the records that it holds, and no others", () =>
  inDirectory(async (directory) => {
    const { index, segments, sealed } = await sealedSegments(directory, 4);
    const [deleted = "", cut = ""] = TOPIC_IDS;
    index.deleteTopic(deleted);
    index.setLogStartOffset(cut, 0, Math.floor(sealed.endOffset(cut, 0) / 2));
    const inputs = await Promise.all(segments.map((facts) => withIndex(directory, facts)));
    const { segments: outputs, indexFault } = await merge(directory, index, inputs);
    expect(indexFault).toBeUndefined();
    expect(outputs.length).toBeGreaterThan(1);
    for (const facts of outputs) {
      const places = placesOf(facts);
      expect(facts.searchIndex?.documentCount).toBe(places.length);
      expect(indexedPlaces(directory, facts)).toEqual(places);
      const tar = Bun.spawnSync(["tar", "tzf", pathOf(directory, facts)]);
      expect([tar.exitCode, tar.stderr.toString()]).toEqual([0, ""]);
      expect(tar.stdout.toString()).toContain("index/meta.json");
    }
    const names = [...inputs, ...outputs].map(({ segmentId }) => segmentFileName(segmentId));
    expect(await systemDisk.list(directory)).toEqual(names.sort());
  }));

test("merged search index: there is none where one input has none", () =>
  inDirectory(async (directory) => {
    const { index, segments } = await sealedSegments(directory, 2);
    const [first, ...others] = segments;
    if (first === undefined) throw new Error("nothing was sealed");
    const inputs = [await withIndex(directory, first), ...others];
    const { segments: outputs, indexFault } = await merge(directory, index, inputs);
    expect(outputs.map(({ searchIndex }) => searchIndex)).toEqual(outputs.map(() => null));
    expect(indexFault).toBeUndefined();
  }));

test("merged search index: inputs without a record to find give outputs without one", () =>
  inDirectory(async (directory) => {
    const { index, segments } = await sealedSegments(directory, 2);
    const searchIndex = { documentCount: 0, sizeBytes: 0, times: null };
    const inputs = segments.map((facts) => ({ ...facts, searchIndex }));
    const { segments: outputs } = await merge(directory, index, inputs);
    for (const facts of outputs) expect(facts.searchIndex).toEqual(searchIndex);
  }));

test("merged search index: topics that are not indexed get none, and nothing waits for theirs", () =>
  inDirectory(async (directory) => {
    const { index, segments } = await sealedSegments(directory, 2);
    const topicIds = [
      ...new Set(segments.flatMap(({ ranges }) => ranges).map((one) => one.topicId)),
    ];
    const inputs = [await withIndex(directory, segments[0] as SegmentFacts), ...segments.slice(1)];
    // Sealed, and never indexed: only topics that are indexed are missed.
    const awaited = await merge(directory, index, inputs);
    expect(awaited.segments.every(({ searchIndex }) => searchIndex === null)).toBe(true);
    const { segments: outputs } = await merge(directory, index, inputs, topicIds);
    expect(outputs.length).toBeGreaterThan(0);
    expect(outputs.every(({ searchIndex }) => searchIndex === null)).toBe(true);
    const both = await Promise.all(segments.map((facts) => withIndex(directory, facts)));
    const { segments: some } = await merge(directory, index, both, topicIds.slice(1));
    for (const { ranges, searchIndex } of some) {
      expect(searchIndex !== null).toBe(ranges.some(({ topicId }) => topicId === topicIds[0]));
    }
  }));

test("merged search index: one that can't be read is told, and the segments are merged without", () =>
  inDirectory(async (directory) => {
    const { index, segments } = await sealedSegments(directory, 2);
    const searchIndex = { documentCount: 5, sizeBytes: 500, times: null };
    const inputs = segments.map((facts) => ({ ...facts, searchIndex }));
    const { segments: outputs, indexFault } = await merge(directory, index, inputs);
    expect(indexFault).toContain("index");
    expect(outputs.map((facts) => facts.searchIndex)).toEqual(outputs.map(() => null));
    const names = [...inputs, ...outputs].map(({ segmentId }) => segmentFileName(segmentId));
    expect(await systemDisk.list(directory)).toEqual(names.sort());
  }));

async function sealedSegments(directory: string, sealCount: number) {
  const sealed = new SealedWorld(seededRandom(4), { batchBytesMax: 2_000, batchCountMax: 5 });
  const segments: SegmentFacts[] = [];
  for (let seal = 0; seal < sealCount; seal += 1) {
    segments.push(...(await sealed.seal(systemDisk, directory)));
  }
  const index = new SegmentIndex();
  index.apply({ added: segments, removedIds: [] });
  return { index, segments, sealed };
}

/** Appends an index of all the segment's records, each of which tells its place. */
async function withIndex(directory: string, facts: SegmentFacts): Promise<SegmentFacts> {
  using live = new LiveIndex();
  for (const range of facts.ranges) live.add(packOf(range));
  live.commit();
  const frozen = await mkdtemp(join(tmpdir(), "chronik-frozen-"));
  const indexDirectory = join(frozen, "index");
  const searchIndex = freezeIndexes([live.number], indexDirectory);
  const writer = await ArchiveWriter.append(
    systemDisk,
    pathOf(directory, facts),
    facts.lengthBytes,
  );
  for (const name of await systemDisk.list(indexDirectory)) {
    if (name.startsWith(".")) continue;
    const bytes = await Bun.file(join(indexDirectory, name)).bytes();
    const options = { chunkBytes: 65_536, compression: "stored" } as const;
    await writer.beginFile({ name: `index/${name}`, sizeBytes: bytes.length, ...options });
    await writer.write(bytes);
    await writer.endFile();
  }
  await rm(frozen, { recursive: true });
  const { lengthBytes } = await writer.finish();
  return { ...facts, searchIndex, lengthBytes };
}

/** One record at each offset of a range. */
function packOf({ topicId, partition, startOffset, endOffset }: PartitionRange): Uint8Array {
  const recordCount = endOffset - startOffset;
  const records = Array.from({ length: recordCount }, (_, offset) => {
    const value = new TextEncoder().encode(`word${offset}`);
    return { offset, timestampMs: 0, key: null, value, headers: [], attributes: 0 };
  });
  const section = encodeBatch(batchOf(records)).subarray(BATCH_HEADER_BYTES);
  const place = { topicId, topic: topicId, partition, baseOffset: startOffset };
  const pack = new RecordPack();
  pack.add({ ...place, recordCount, baseTimestampMs: 0 }, section);
  return pack.bytes();
}

async function merge(
  directory: string,
  index: SegmentIndex,
  inputs: readonly SegmentFacts[],
  unindexed: readonly string[] = [],
): Promise<MergedSegments> {
  const sizes = { ownBytesMin: 15_000, segmentBytesMax: 1e9 };
  const plan = await planMerge(inputs, index, {
    kind: "shared",
    ...sizes,
    newSegmentId: nextSegmentId,
  });
  const isIndexed = (topicId: string) => !unindexed.includes(topicId);
  return await mergeSegments(systemDisk, commandOf(plan, { directory, createdMs: 1, isIndexed }));
}

function placesOf({ ranges }: SegmentFacts): string[] {
  const places: string[] = [];
  for (const { topicId, partition, startOffset, endOffset } of ranges) {
    for (let offset = startOffset; offset < endOffset; offset += 1) {
      places.push(`${topicId}/${partition}/${offset}`);
    }
  }
  return places.sort();
}

function indexedPlaces(directory: string, facts: SegmentFacts): string[] {
  const { lengthBytes } = facts;
  using index = openArchivedIndex({
    path: pathOf(directory, facts),
    lengthBytes,
    isVerified: true,
  });
  const { hits } = searchIndexes([index.number], { query: { kind: "all" }, size: 10_000 });
  return hits.map(({ topic, partition, offset }) => `${topic}/${partition}/${offset}`).sort();
}

function pathOf(directory: string, { segmentId }: SegmentFacts): string {
  return join(directory, segmentFileName(segmentId));
}
