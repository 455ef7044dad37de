/** What the index of segments costs at a million segments: a lookup, a segment in memory, saving and loading it. */
import { mkdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { loadSegmentIndex, saveSegmentIndex } from "../../src/segment/segment-index-file.ts";
import { uuidFrom } from "../segment/segment-model.ts";
import { UsageWatch } from "./process-usage.ts";
import type { Row } from "./row.ts";
import { median } from "./statistics.ts";
import { type Context, type Outcome, scaled, type Workload } from "./workload.ts";

const SEGMENT_COUNT = 1_000_000;
const PARTITION_COUNT = 1_000;
const LOOKUP_COUNT = 500_000;
const LOOKUP_MICROSECONDS_MAX = 2;
const RECORDS_PER_RANGE = 100;
const RANGE_MS = 1_000;
const BATCH_BYTES = 10_000;

export const SEGMENT_INDEX: Workload = { name: "segment-index", run };

interface Measured {
  readonly byOffsetMicroseconds: readonly number[];
  readonly byTimeMicroseconds: readonly number[];
  readonly bytesPerSegment: number;
  readonly fileBytesPerSegment: number;
  readonly saveSeconds: readonly number[];
  readonly loadSeconds: readonly number[];
  readonly othersCores: number;
}

async function run(context: Context): Promise<Outcome> {
  const segmentCount = scaled(SEGMENT_COUNT, context);
  const topicId = uuidFrom(seededRandom(1));
  const index = filledIndex(topicId, segmentCount);
  const watch = new UsageWatch();
  // The first round warms up.
  const rounds = Array.from({ length: context.pairCount + 1 }, () => ({
    byOffset: lookupsByOffset(index, topicId, segmentCount),
    byTime: lookupsByTime(index, topicId, segmentCount),
  })).slice(1);
  const file = await savedAndLoaded(index, context);
  const measured: Measured = {
    byOffsetMicroseconds: rounds.map(({ byOffset }) => byOffset),
    byTimeMicroseconds: rounds.map(({ byTime }) => byTime),
    bytesPerSegment: index.memoryBytes / segmentCount,
    ...file,
    othersCores: watch.stop(0).othersCores,
  };
  context.tell(
    `segment-index: ${segmentCount} segments; ` +
      `by offset ${median(measured.byOffsetMicroseconds).toFixed(2)} µs, ` +
      `by time ${median(measured.byTimeMicroseconds).toFixed(2)} µs; ` +
      `${measured.bytesPerSegment.toFixed(0)} bytes a segment, ` +
      `${measured.fileBytesPerSegment.toFixed(0)} in the file; ` +
      `save ${median(measured.saveSeconds).toFixed(2)} s, load ${median(measured.loadSeconds).toFixed(2)} s`,
  );
  return { rows: rowsOf(measured), runs: [measured] };
}

/** Segments of one partition each, registered one after the other; times of neighbours overlap. */
function filledIndex(topicId: string, segmentCount: number): SegmentIndex {
  const random = seededRandom(2);
  const index = new SegmentIndex();
  for (let number = 0; number < segmentCount; number += 1) {
    const partition = number % PARTITION_COUNT;
    const position = Math.floor(number / PARTITION_COUNT);
    const minTimestampMs = position * RANGE_MS + Math.floor(random() * RANGE_MS);
    const range = {
      topicId,
      partition,
      startOffset: position * RECORDS_PER_RANGE,
      endOffset: (position + 1) * RECORDS_PER_RANGE,
      position: 0,
      sizeBytes: BATCH_BYTES,
      minTimestampMs,
      maxTimestampMs: minTimestampMs + 2 * RANGE_MS,
      batchCount: 1,
      recordCount: RECORDS_PER_RANGE,
      rowStart: 0,
      rowCount: 0,
    };
    const facts: SegmentFacts = {
      segmentId: uuidFrom(random),
      level: 0,
      createdMs: number,
      lengthBytes: BATCH_BYTES,
      startAddress: number,
      endAddress: number + 1,
      searchIndex: null,
      ranges: [range],
    };
    index.apply({ added: [facts], removedIds: [] });
  }
  return index;
}

/** Microseconds a lookup. @throws if one finds the wrong range */
function lookupsByOffset(index: SegmentIndex, topicId: string, segmentCount: number): number {
  const random = seededRandom(3);
  const offsetCount = Math.floor(segmentCount / PARTITION_COUNT) * RECORDS_PER_RANGE;
  const startedMs = performance.now();
  for (let count = 0; count < LOOKUP_COUNT; count += 1) {
    const offset = Math.floor(random() * offsetCount);
    const found = index.rangeOf(topicId, count % PARTITION_COUNT, offset);
    const isRight = found && found.startOffset <= offset && found.endOffset > offset;
    if (!isRight && offsetCount > 0) throw new Error(`Offset ${offset} was not found.`);
  }
  return ((performance.now() - startedMs) * 1000) / LOOKUP_COUNT;
}

/** Microseconds a lookup. @throws if one finds the wrong range */
function lookupsByTime(index: SegmentIndex, topicId: string, segmentCount: number): number {
  const random = seededRandom(4);
  const endMs = Math.floor(segmentCount / PARTITION_COUNT) * RANGE_MS;
  const startedMs = performance.now();
  for (let count = 0; count < LOOKUP_COUNT; count += 1) {
    const timestampMs = Math.floor(random() * endMs);
    const found = index.rangeSince(topicId, count % PARTITION_COUNT, timestampMs, 0);
    const isRight = found && found.maxTimestampMs >= timestampMs;
    if (!isRight && endMs > 0) throw new Error(`Time ${timestampMs} was not found.`);
  }
  return ((performance.now() - startedMs) * 1000) / LOOKUP_COUNT;
}

async function savedAndLoaded(index: SegmentIndex, context: Context) {
  const directory = join(context.directory, "segment-index");
  mkdirSync(directory, { recursive: true });
  const path = join(directory, "segments.index");
  const { segmentCount } = index.stats();
  const saveSeconds: number[] = [];
  const loadSeconds: number[] = [];
  try {
    for (let count = 0; count < context.pairCount; count += 1) {
      const startedMs = performance.now();
      await saveSegmentIndex(systemDisk, path, { index, coveredEnd: 0 });
      const savedMs = performance.now();
      const loaded = await loadSegmentIndex(systemDisk, path);
      loadSeconds.push((performance.now() - savedMs) / 1000);
      saveSeconds.push((savedMs - startedMs) / 1000);
      if (loaded?.index.stats().segmentCount !== segmentCount)
        throw new Error("Segments are lost.");
    }
    return { saveSeconds, loadSeconds, fileBytesPerSegment: statSync(path).size / segmentCount };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function rowsOf(measured: Measured): Row[] {
  const what = "1,000,000 segments registered";
  const common = { kafka: [], othersCores: [measured.othersCores] };
  const target = { of: "value", atMost: LOOKUP_MICROSECONDS_MAX } as const;
  const row = (name: string, title: string, unit: string, ours: readonly number[]): Row => ({
    ...common,
    name: `segment-index/${name}`,
    title: `${what}: ${title}`,
    unit,
    ours,
  });
  return [
    { ...row("offset", "lookup by offset", "µs", measured.byOffsetMicroseconds), target },
    { ...row("time", "lookup by time", "µs", measured.byTimeMicroseconds), target },
    row("memory", "memory of one", "bytes", [measured.bytesPerSegment]),
    row("file", "size of one in the file", "bytes", [measured.fileBytesPerSegment]),
    row("save", "saving the index", "s", measured.saveSeconds),
    row("load", "loading the index", "s", measured.loadSeconds),
  ];
}
