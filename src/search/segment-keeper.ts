/** Makes the search index of a segment and appends it to the segment's archive; the keeper's work. */

import { blockingDisk } from "../core/blocking-disk.ts";
import { removeTree } from "../core/disk.ts";
import { closeIndex } from "../core/native.ts";
import { type KeptRange, mergeIndexes } from "../core/native-segments.ts";
import type { SegmentFacts } from "../segment/segment-facts.ts";
import { appendSearchIndex } from "../segment/segment-search-index.ts";
import { type BatchesIndex, indexBatches } from "./batches-index.ts";
import type { KeepCommand } from "./indexer-messages.ts";

type IndexSegment = Extract<KeepCommand, { kind: "indexSegment" }>;

/** @returns the segment's facts as they are to be registered. Rejects if its index can't be made. */
export async function indexSegment(command: IndexSegment): Promise<SegmentFacts> {
  const { segment, indexNumbers } = command;
  if (indexNumbers !== undefined) return await appendMerged(command, indexNumbers);
  const parts = await indexBatches({
    disk: blockingDisk,
    segment: { path: command.segmentPath, lengthBytes: segment.lengthBytes },
    ranges: segment.ranges,
    topicNames: new Map(command.topics.map(({ topicId, name }) => [topicId, name])),
    directory: temporaryPath(command),
    memoryBytesMax: command.memoryBytesMax,
  });
  try {
    return await appendMerged(command, parts.indexNumbers);
  } finally {
    await forget(parts);
  }
}

async function appendMerged(
  { segment, segmentPath, topics, ...command }: IndexSegment,
  sources: readonly number[],
): Promise<SegmentFacts> {
  const topicIds = new Set(topics.map(({ topicId }) => topicId));
  const ranges = segment.ranges.flatMap(
    ({ topicId, partition, startOffset, endOffset }): KeptRange[] =>
      topicIds.has(topicId) ? [{ topicId, partition, startOffset, endOffset }] : [],
  );
  const directory = temporaryPath({ segment, directory: command.directory });
  await blockingDisk.createDirectory(command.directory);
  await removeTree(directory);
  try {
    const merged = mergeIndexes({ sources, directory, keep: { kind: "ranges", ranges } });
    const { documentCount, sizeBytes, times } = merged;
    const searchIndex = { documentCount, sizeBytes, times };
    if (documentCount === 0) return { ...segment, searchIndex };
    const place = { path: segmentPath, lengthBytes: segment.lengthBytes };
    const lengthBytes = await appendSearchIndex(blockingDisk, place, directory);
    return { ...segment, lengthBytes, searchIndex };
  } finally {
    await removeTree(directory);
  }
}

/** What a crash leaves there is removed at the next start. */
function temporaryPath({ directory, segment }: Pick<IndexSegment, "directory" | "segment">) {
  return `${directory}/segment-${segment.segmentId}`;
}

async function forget({ indexNumbers, directories }: BatchesIndex): Promise<void> {
  for (const indexNumber of indexNumbers) closeIndex(indexNumber);
  for (const directory of directories) await removeTree(directory);
}
