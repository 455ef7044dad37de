/**
 * Opens the index of segments at a start. Where its file is damaged, or has gone missing though there were checkpoints,
 * it is rebuilt from the objects and their manifest, and that is said. Without any checkpoint the WAL has it all.
 */

import type { Disk } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import { pathsOf } from "../meta/data-directory.ts";
import type { ObjectStore } from "./object-store.ts";
import { SegmentIndex } from "./segment-index.ts";
import {
  loadSegmentIndex,
  type SavedSegmentIndex,
  SegmentIndexDamagedError,
} from "./segment-index-file.ts";
import { type RebuiltIndex, rebuildSegmentIndex } from "./segment-rebuild.ts";
import { segmentFileName, segmentIdOfName } from "./segment-writer.ts";

/** Of segments that are told by name. */
const NAMED_MAX = 10;

export interface SegmentIndexPlace {
  readonly disk: Disk;
  readonly dataDir: string;
  /** Of the segments and their manifest. */
  readonly objects: ObjectStore;
  readonly logger: Logger;
}

/** An index, and whether registrations of the WAL may say again what is in it, or build on what is not. */
export interface OpenedSegmentIndex extends SavedSegmentIndex {
  readonly isRebuilt: boolean;
}

/** @throws DiskError, ObjectStoreError, ManifestVersionError, KafkaError if a newer version wrote the index */
export async function openSegmentIndex(place: SegmentIndexPlace): Promise<OpenedSegmentIndex> {
  const { disk, dataDir } = place;
  const paths = pathsOf(dataDir);
  let reason: string;
  try {
    const saved = await loadSegmentIndex(disk, paths.segmentIndex);
    if (saved !== undefined) return { ...saved, isRebuilt: false };
    if (!(await hasCheckpoints(place))) {
      return { index: new SegmentIndex(), coveredEnd: 0, isRebuilt: false };
    }
    reason = `${paths.segmentIndex} is missing.`;
  } catch (thrown) {
    if (!(thrown instanceof SegmentIndexDamagedError)) throw thrown;
    reason = thrown.message;
  }
  const { objects } = place;
  const segmentIdOf = segmentIdOfName;
  const rebuilt = await rebuildSegmentIndex({ manifests: objects, segments: objects, segmentIdOf });
  await syncObjects(place, rebuilt.newerIds);
  tell(place, reason, rebuilt);
  return { index: rebuilt.index, coveredEnd: rebuilt.coveredEnd, isRebuilt: true };
}

/** The index of segments is the first of the checkpoints: where there are others, it was there. */
async function hasCheckpoints({ disk, dataDir }: SegmentIndexPlace): Promise<boolean> {
  const { metaCheckpoint, logCheckpoint } = pathsOf(dataDir);
  const names = await disk.list(dataDir);
  return [metaCheckpoint, logCheckpoint].some((path) =>
    names.includes(path.slice(dataDir.length + 1)),
  );
}

/** A process that died had written them whole, and perhaps not synced: from now on they must stay. */
async function syncObjects(
  { disk, dataDir }: SegmentIndexPlace,
  segmentIds: readonly string[],
): Promise<void> {
  const { segments } = pathsOf(dataDir);
  for (const segmentId of segmentIds) {
    const file = await disk.open(`${segments}/${segmentFileName(segmentId)}`, "readWrite");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  }
  if (segmentIds.length > 0) await disk.syncDirectory(segments);
}

function tell({ objects, logger }: SegmentIndexPlace, reason: string, rebuilt: RebuiltIndex): void {
  const { manifest, faults, namedCount, newerIds, missingIds, ignored } = rebuilt;
  for (const { key, reason: fault } of faults) {
    logger.warn("manifest_damaged", { store: objects.name, key, reason: fault });
  }
  logger.warn("segment_index_rebuilt", {
    reason,
    from: objects.name,
    generation: manifest?.header.generation ?? "none",
    generationMs: manifest?.header.createdMs,
    namedSegments: namedCount,
    newerSegments: newerIds.length,
    missingSegments: missingIds.length,
    ignoredObjects: ignored.length,
  });
  for (const segmentId of missingIds.slice(0, NAMED_MAX)) {
    logger.error("segment_missing", { segmentId, store: objects.name });
  }
}
