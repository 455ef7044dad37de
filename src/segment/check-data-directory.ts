/**
 * Checks all that a broker keeps: checkpoints, WAL, index of segments, every registered object, the manifest, and that
 * each partition's offsets are there from its start to its end, once. It only reads. What a start would put in order
 * by itself is noted; everything else that is not as it was written is a fault.
 */

import type { Disk } from "../core/disk.ts";
import { silentLogger } from "../core/logger.ts";
import { readLogCheckpoint } from "../log/log-checkpoint.ts";
import { readCheckpoint } from "../meta/checkpoint.ts";
import { pathsOf } from "../meta/data-directory.ts";
import { LocalMetaStore } from "../meta/local-meta-store.ts";
import type { MetaCommand } from "../meta/meta-store.ts";
import { readBatchHeader } from "../protocol/record-batch.ts";
import { isLegacyEntry } from "../wal/group-scan.ts";
import { batchOfLegacyPayload } from "../wal/legacy-entry.ts";
import { inspectWal } from "../wal/recovery.ts";
import { type OnFinding, reasonOf } from "./check-finding.ts";
import { checkManifest } from "./check-manifest.ts";
import { faultOfReach, WalReaches } from "./check-reach.ts";
import { checkSegment } from "./check-segment.ts";
import { ASIDE_DIRECTORY, FileObjectStore } from "./file-object-store.ts";
import { MANIFEST_PREFIX } from "./manifest-format.ts";
import { decodeSegmentFacts } from "./segment-facts.ts";
import { SegmentIndex } from "./segment-index.ts";
import { loadSegmentIndex } from "./segment-index-file.ts";
import { segmentFileName, segmentIdOfName } from "./segment-writer.ts";

/** What was looked at. */
export interface CheckSummary {
  readonly walFileCount: number;
  readonly walEntryCount: number;
  readonly segmentCount: number;
  readonly segmentBytes: number;
  readonly partitionCount: number;
}

/** The state that a start would find. Parts that could not be read are empty. */
interface FoundState {
  readonly meta: LocalMetaStore;
  readonly index: SegmentIndex;
  readonly walReaches: WalReaches;
  /** By `topicId/partition`. */
  readonly logEndOffsets: ReadonlyMap<string, number>;
  readonly walFileCount: number;
  readonly walEntryCount: number;
  /** Everything was read: what is missing now is lost. */
  readonly isWhole: boolean;
}

/**
 * Checks `dataDir`, which no broker may be using.
 * @param onFinding called as soon as something is found
 * @throws DiskError if the directory can't be read at all
 */
export async function checkDataDirectory(
  disk: Disk,
  dataDir: string,
  onFinding: OnFinding,
): Promise<CheckSummary> {
  const state = await readState(disk, dataDir, onFinding);
  await checkSegments(disk, dataDir, { index: state.index, onFinding });
  // Without one of its parts, everything would seem to be missing.
  const partitionCount = state.isWhole ? checkReaches(dataDir, state, onFinding) : 0;
  if (state.isWhole) {
    const { index, meta } = state;
    const directory = pathsOf(dataDir).segments;
    const objects = new FileObjectStore({ disk, directory });
    const pathOf = (key: string) => `${directory}/${key}`;
    const namedIds = await checkManifest({ objects, pathOf, index, meta, onFinding });
    await noteOrphans(disk, dataDir, { index, onFinding }, namedIds);
  }
  for (const name of await disk.list(dataDir)) {
    if (!name.endsWith(".tmp")) continue;
    onFinding({ kind: "note", path: `${dataDir}/${name}`, reason: "it was not finished" });
  }
  const { segmentCount, objectBytes } = state.index.stats();
  const { walFileCount, walEntryCount } = state;
  return { walFileCount, walEntryCount, segmentCount, segmentBytes: objectBytes, partitionCount };
}

/** Reads checkpoints, index and WAL in the order in which a start does. */
async function readState(disk: Disk, dataDir: string, onFinding: OnFinding): Promise<FoundState> {
  const paths = pathsOf(dataDir);
  let isWhole = true;
  const attempt = async <Result>(path: string, read: () => Promise<Result>) => {
    try {
      return await read();
    } catch (thrown) {
      isWhole = false;
      onFinding({ kind: "fault", path, reason: reasonOf(thrown) });
      return undefined;
    }
  };
  const saved = await attempt(paths.segmentIndex, () => loadSegmentIndex(disk, paths.segmentIndex));
  const { index, coveredEnd } = saved ?? { index: new SegmentIndex(), coveredEnd: 0 };
  const meta = new LocalMetaStore();
  meta.onApplied((command) => applyTo(index, command));
  await attempt(paths.metaCheckpoint, () => readCheckpoint(disk, paths.metaCheckpoint, meta));
  const logs = await attempt(paths.logCheckpoint, () =>
    readLogCheckpoint(disk, paths.logCheckpoint),
  );
  const walReaches = new WalReaches();
  const wal = await attempt(paths.wal, () =>
    inspectWal({
      disk,
      directory: paths.wal,
      logger: silentLogger,
      startAddress: meta.appliedEnd,
      onEntry: (entry) => {
        if (entry.kind === "metadata") {
          meta.recover(entry.address, entry.payload, coveredEnd);
          return;
        }
        const isLegacy = isLegacyEntry(entry);
        const batch = isLegacy ? batchOfLegacyPayload(entry.payload) : entry.payload;
        walReaches.add(entry, readBatchHeader(batch, 0));
      },
    }),
  );
  if (wal !== undefined && wal.cutBytes > 0) {
    const reason = `${wal.cutBytes} bytes at its end were never durable`;
    onFinding({ kind: "note", path: paths.wal, reason });
  }
  for (const topicId of [...index.topicIds()]) {
    if (meta.topicById(topicId) === undefined) index.deleteTopic(topicId);
  }
  const logEndOffsets = new Map(
    logs?.partitions.map((each) => [`${each.topicId}/${each.partition}`, each.state.logEndOffset]),
  );
  const { fileCount = 0, entryCount = 0 } = wal ?? {};
  const counts = { walFileCount: fileCount, walEntryCount: entryCount };
  return { meta, index, walReaches, logEndOffsets, ...counts, isWhole };
}

/** What of the index follows from metadata. @throws AssertionError if two segments overlap */
function applyTo(index: SegmentIndex, command: MetaCommand): void {
  switch (command.kind) {
    case "topicDeleted":
      index.deleteTopic(command.topicId);
      return;
    case "logStartOffsetsSet":
      for (const { partition, offset } of command.offsets) {
        index.setLogStartOffset(command.topicId, partition, offset);
      }
      return;
    case "segmentsChanged": {
      const { removedIds } = command;
      const added = command.added.map((facts) => decodeSegmentFacts(Buffer.from(facts, "base64")));
      index.apply({ added, removedIds });
      return;
    }
    default:
      return;
  }
}

interface SegmentsToCheck {
  readonly index: SegmentIndex;
  readonly onFinding: OnFinding;
}

async function checkSegments(
  disk: Disk,
  dataDir: string,
  { index, onFinding }: SegmentsToCheck,
): Promise<void> {
  for (const { segmentId } of index.segments()) {
    const facts = index.segment(segmentId);
    const path = `${pathsOf(dataDir).segments}/${segmentFileName(segmentId)}`;
    if (facts !== undefined) await checkSegment(disk, path, { facts, onFinding });
  }
}

/** @returns how many partitions were followed */
function checkReaches(dataDir: string, state: FoundState, onFinding: OnFinding): number {
  const { meta, index, walReaches, logEndOffsets } = state;
  let partitionCount = 0;
  for (const { topicId, name, partitionCount: count, configs } of meta.topics()) {
    for (let partition = 0; partition < count; partition += 1) {
      const expected = {
        topicId,
        partition,
        logStartOffset: meta.logStartOffset(topicId, partition),
        logEndOffset: logEndOffsets.get(`${topicId}/${partition}`) ?? 0,
        isCompacted: configs["cleanup.policy"]?.includes("compact") ?? false,
      };
      const fault = faultOfReach(expected, { index, walReaches });
      if (fault === undefined) continue;
      onFinding({ kind: "fault", path: dataDir, reason: `${name}-${partition}: ${fault}` });
    }
    partitionCount += count;
  }
  return partitionCount;
}

function isStoreDirectory(name: string): boolean {
  return `${name}/` === MANIFEST_PREFIX || name === ASIDE_DIRECTORY;
}

/** Objects that nobody registered. */
async function noteOrphans(
  disk: Disk,
  dataDir: string,
  { index, onFinding }: SegmentsToCheck,
  namedIds: ReadonlySet<string>,
): Promise<void> {
  const directory = pathsOf(dataDir).segments;
  const known = new Set([...index.segments()].map(({ segmentId }) => segmentFileName(segmentId)));
  for (const { name, isDirectory } of await disk.entries(directory)) {
    // Directories are the manifest's, and the store's own.
    if (known.has(name) || (isDirectory && isStoreDirectory(name))) continue;
    const isNamed = namedIds.has(segmentIdOfName(name) ?? "");
    const reason = isNamed
      ? "it is no longer registered, and goes when the manifest does not name it any more"
      : "it is not registered: what made it was cut off, or it was replaced";
    onFinding({ kind: "note", path: `${directory}/${name}`, reason });
  }
}
