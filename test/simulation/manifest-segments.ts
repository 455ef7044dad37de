/** What a broker does with registrations, and what ranges segments get that are sealed and merged. */

import type { MetaCommand } from "../../src/meta/meta-store.ts";
import {
  compareRanges,
  decodeSegmentFacts,
  type PartitionRange,
  type SegmentFacts,
} from "../../src/segment/segment-facts.ts";
import type { SegmentIndex } from "../../src/segment/segment-index.ts";
import type { SegmentStore } from "../../src/segment/segment-store.ts";

/** What a broker does with its metadata. */
export function applyTo(store: SegmentStore, command: MetaCommand): void {
  if (command.kind === "topicDeleted") store.deleteTopic(command.topicId);
  if (command.kind === "logStartOffsetsSet") {
    for (const { partition, offset } of command.offsets) {
      store.deleteRecordsBefore({ topicId: command.topicId, partition }, offset);
    }
  }
  if (command.kind !== "segmentsChanged") return;
  const { removedIds } = command;
  const added = command.added
    .map((facts) => decodeSegmentFacts(Buffer.from(facts, "base64")))
    .filter(
      ({ segmentId }) =>
        !removedIds.includes(segmentId) || store.index.segment(segmentId) !== undefined,
    );
  store.apply({ added, removedIds });
}

export function rangeOf(
  topicId: string,
  partition: number,
  startOffset: number,
  endOffset: number,
): PartitionRange {
  const recordCount = endOffset - startOffset;
  return {
    ...{ topicId, partition, startOffset, endOffset, position: 0, sizeBytes: 10 * recordCount },
    ...{ minTimestampMs: 0, maxTimestampMs: 0, batchCount: 1, recordCount, rowStart: 0 },
    rowCount: 0,
  };
}

/** One range per partition. */
export function joined(segments: readonly SegmentFacts[]): PartitionRange[] {
  const byPartition = new Map<string, PartitionRange>();
  for (const range of segments.flatMap(({ ranges }) => ranges)) {
    const key = `${range.topicId}/${range.partition}`;
    const other = byPartition.get(key) ?? range;
    const start = Math.min(other.startOffset, range.startOffset);
    const end = Math.max(other.endOffset, range.endOffset);
    byPartition.set(key, rangeOf(range.topicId, range.partition, start, end));
  }
  return [...byPartition.values()];
}

/** Whether another segment lies between what would become one range. */
export function hasForeign(
  index: SegmentIndex,
  ranges: readonly PartitionRange[],
  inputs: readonly SegmentFacts[],
): boolean {
  const removedIds = inputs.map(({ segmentId }) => segmentId);
  const [first] = inputs;
  if (first === undefined || ranges.length === 0) return false;
  const facts = { ...first, segmentId: "AAAAAAAAAAAAAAAAAAAAAA", ranges: placed(ranges) };
  return index.overlapOf({ added: [facts], removedIds }) !== undefined;
}

export function placed(ranges: readonly PartitionRange[]): PartitionRange[] {
  let position = 0;
  return ranges.toSorted(compareRanges).map((range) => {
    const result = { ...range, position };
    position += range.sizeBytes;
    return result;
  });
}
