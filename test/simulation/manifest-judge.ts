/** Rebuilds the index of segments from a store alone, and compares it with what was registered in the log. */

import type { Disk } from "../../src/core/disk.ts";
import type { MetaCommand } from "../../src/meta/meta-store.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import { decodeSegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import {
  describeSegment,
  type RebuiltIndex,
  rebuildSegmentIndex,
} from "../../src/segment/segment-rebuild.ts";
import { segmentFileName, segmentIdOfName } from "../../src/segment/segment-writer.ts";
import { demand } from "./storage-model.ts";

/** What has happened. */
export interface ManifestModel {
  readonly commands: readonly { readonly address: number; readonly command: MetaCommand }[];
}

/** @throws ViolationError */
export async function judgeManifest(
  disk: Disk,
  directory: string,
  { commands }: ManifestModel,
): Promise<RebuiltIndex> {
  const objects = new FileObjectStore({ disk, directory });
  const rebuilt = await rebuildSegmentIndex({
    ...{ manifests: objects, segments: objects, segmentIdOf: segmentIdOfName },
  });
  const { index, manifest, faults, missingIds } = rebuilt;
  demand(faults.length === 0, `a generation is damaged: ${JSON.stringify(faults)}`);
  demand(missingIds.length === 0, `objects are missing: ${missingIds.join(", ")}`);
  const registered = stateAfter(commands.map(({ command }) => command));
  const coveredEnd = manifest?.header.coveredEnd ?? 0;
  const covered = commands.filter(({ address }) => address < coveredEnd);
  const known = stateAfter(covered.map(({ command }) => command));
  for (const { topicId, partition, offset } of offsetsOf(registered.index)) {
    const found = index.rangeOf(topicId, partition, offset);
    const isThere = found !== undefined && found.startOffset <= offset;
    demand(isThere, `offset ${offset} of ${topicId}-${partition} is lost`);
  }
  if (manifest !== undefined) judgeDeleted(index, known);
  if (manifest !== undefined && covered.length === commands.length) {
    const isEqual = Bun.deepEquals(segmentIds(index), segmentIds(registered.index));
    demand(
      isEqual || rebuilt.newerIds.length > 0,
      "the newest generation is not what is registered",
    );
  }
  for (const { segmentId, lengthBytes } of index.segments()) {
    const name = segmentFileName(segmentId);
    const source = {
      name,
      readRange: (start: number, end: number) => objects.readRange(name, start, end),
    };
    const { facts } = await describeSegment(source, lengthBytes);
    const isSame = Bun.deepEquals(facts.ranges, index.segment(segmentId)?.ranges);
    demand(isSame, `segment ${segmentId} is not what its object says`);
  }
  return rebuilt;
}

interface LogState {
  readonly index: SegmentIndex;
  readonly deletedTopicIds: ReadonlySet<string>;
  readonly logStarts: ReadonlyMap<string, number>;
}

function stateAfter(commands: readonly MetaCommand[]): LogState {
  const index = new SegmentIndex();
  const deletedTopicIds = new Set<string>();
  const logStarts = new Map<string, number>();
  for (const command of commands) {
    if (command.kind === "topicDeleted") {
      index.deleteTopic(command.topicId);
      deletedTopicIds.add(command.topicId);
    } else if (command.kind === "logStartOffsetsSet") {
      for (const { partition, offset } of command.offsets) {
        index.setLogStartOffset(command.topicId, partition, offset);
        logStarts.set(`${command.topicId}/${partition}`, offset);
      }
    } else if (command.kind === "segmentsChanged") {
      const { removedIds } = command;
      const added = command.added
        .map((facts) => decodeSegmentFacts(Buffer.from(facts, "base64")))
        .filter(
          ({ segmentId }) =>
            !removedIds.includes(segmentId) || index.segment(segmentId) !== undefined,
        );
      index.apply({ added, removedIds });
    }
  }
  return { index, deletedTopicIds, logStarts };
}

function judgeDeleted(index: SegmentIndex, known: LogState): void {
  for (const topicId of index.topicIds()) {
    demand(!known.deletedTopicIds.has(topicId), `topic ${topicId} came back`);
    for (const partition of index.partitions(topicId)) {
      const start = index.startOffset(topicId, partition) ?? Number.POSITIVE_INFINITY;
      const logStart = known.logStarts.get(`${topicId}/${partition}`) ?? 0;
      demand(start >= logStart, `records of ${topicId}-${partition} came back`);
    }
  }
}

function* offsetsOf(index: SegmentIndex) {
  for (const topicId of index.topicIds()) {
    for (const partition of index.partitions(topicId)) {
      const first = index.startOffset(topicId, partition) ?? 0;
      for (const { startOffset, endOffset } of index.ranges(topicId, partition)) {
        for (let offset = Math.max(first, startOffset); offset < endOffset; offset += 1) {
          yield { topicId, partition, offset };
        }
      }
    }
  }
}

function segmentIds(index: SegmentIndex): string[] {
  return [...index.segments()].map(({ segmentId }) => segmentId).sort();
}
