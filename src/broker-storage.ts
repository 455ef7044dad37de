/**
 * Opens what the broker keeps in its data directory, in the order in which each part needs the one
 * before: lock, identity, checkpoints, WAL (which fills metadata and logs again), and closes it in
 * the other direction.
 */

import type { Config } from "./config.ts";
import { BufferPool } from "./core/buffer-pool.ts";
import type { Clock } from "./core/clock.ts";
import type { Disk, DiskLock } from "./core/disk.ts";
import type { Logger } from "./core/logger.ts";
import type { Metrics } from "./core/metrics.ts";
import { loadNative } from "./core/native.ts";
import {
  type CheckpointedPartition,
  readLogCheckpoint,
  writeLogCheckpoint,
} from "./log/log-checkpoint.ts";
import { LogManager } from "./log/log-manager.ts";
import type { LogTiers } from "./log/log-reader.ts";
import { type BrokerIdentity, closeIdentity, openIdentity } from "./meta/broker-identity.ts";
import { readCheckpoint, writeCheckpoint } from "./meta/checkpoint.ts";
import { pathsOf } from "./meta/data-directory.ts";
import { LocalMetaStore } from "./meta/local-meta-store.ts";
import { readBatchHeader } from "./protocol/record-batch.ts";
import { FileObjectStore } from "./segment/file-object-store.ts";
import type { ObjectStore } from "./segment/object-store.ts";
import { decodeSegmentFacts } from "./segment/segment-facts.ts";
import { saveSegmentIndex } from "./segment/segment-index-file.ts";
import { type OpenedSegmentIndex, openSegmentIndex } from "./segment/segment-index-opening.ts";
import { SegmentStore } from "./segment/segment-store.ts";
import type { WalEntry } from "./wal/group-scan.ts";
import { batchOfLegacyPayload } from "./wal/legacy-entry.ts";
import { Wal } from "./wal/wal.ts";
import type { WalAddress } from "./wal/wal-address.ts";
import { ENTRY_VERSION_LEGACY } from "./wal/wal-format.ts";

/** Of buffers for cold reads. */
const READ_BUFFER_BYTES_MAX = 16 * 2 ** 20;
/** Least share of memory for the index of batches that are still in the WAL. */
const BATCH_INDEX_BYTES_MAX_MIN = 16 * 2 ** 20;

export interface StorageOptions {
  readonly config: Config;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** The WAL can no longer be written: the broker must stop. */
  onFailure(reason: unknown): void;
}

/** Everything that is kept, open. */
export interface Storage {
  readonly identity: BrokerIdentity;
  readonly wal: Wal;
  readonly logs: LogManager;
  /** Where the logs' batches lie. */
  readonly tiers: LogTiers;
  readonly meta: LocalMetaStore;
  readonly segments: SegmentStore;
  /** Where segments lie for ever, and the manifest that names them. */
  readonly objects: ObjectStore;
  /**
   * Writes checkpoints of segments, logs and metadata, so that a restart need not read older entries.
   * @returns the WAL address from which on entries are still needed, but for batches that are not sealed
   */
  checkpoint(): Promise<number>;
  /** `isClean`: everything is synced and a checkpoint is written; else only the lock goes. */
  close(isClean: boolean): Promise<void>;
}

/** @throws DiskError, DataDirectoryError, WalCorruptionError, WalVersionError, each with one clear sentence */
export async function openStorage(options: StorageOptions): Promise<Storage> {
  const { config, disk } = options;
  const { dataDir } = config;
  await disk.createDirectory(dataDir);
  const lock = disk.lock(pathsOf(dataDir).lock);
  try {
    await loadNative({ fallbackDirectory: dataDir });
    return await openLocked(options, lock);
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

async function openLocked(options: StorageOptions, lock: DiskLock): Promise<Storage> {
  const { config, disk, clock, logger } = options;
  const { dataDir } = config;
  const stored = await openIdentity(disk, dataDir);
  const directory = pathsOf(dataDir).segments;
  await disk.createDirectory(directory);
  const objects = new FileObjectStore({ disk, directory, clock });
  const opened = await openSegmentIndex({ disk, dataDir, objects, logger });
  const { index } = opened;
  const segments = new SegmentStore({ disk, directory, logger }, index);
  const logs = new LogManager({
    clock,
    leaderEpoch: stored.leaderEpoch,
    batchIndexBytesMax: Math.max(BATCH_INDEX_BYTES_MAX_MIN, config.memoryMaxBytes / 8),
    sealed: segments,
  });
  const meta = new LocalMetaStore();
  const registrations = { mayNotFit: opened.isRebuilt, leftOutCount: 0 };
  applyTo({ meta, logs, segments }, registrations);
  await readCheckpoint(disk, pathsOf(dataDir).metaCheckpoint, meta);
  const wal = await recover(options, { logs, meta }, opened);
  registrations.mayNotFit = false;
  if (registrations.leftOutCount > 0) {
    logger.warn("registrations_left_out", { count: registrations.leftOutCount });
  }
  for (const topicId of [...index.topicIds()]) {
    if (meta.topicById(topicId) === undefined) index.deleteTopic(topicId);
  }
  const identity = { ...stored, leaderEpoch: logs.leaderEpoch };
  const parts = { wal, logs, meta, segments, objects };
  const checkpoint = createCheckpoint(disk, dataDir, parts);
  return {
    ...parts,
    identity,
    tiers: { wal, sealed: segments, buffers: new BufferPool(readBufferBytesOf(config)) },
    checkpoint,
    close: async (isClean) => {
      try {
        if (isClean) {
          await segments.close();
          await objects.close();
          await wal.close();
          await checkpoint();
          await closeIdentity(disk, dataDir, identity);
        }
      } finally {
        lock.release();
      }
    },
  };
}

/** Kept of the memory for answers, so that reads of cold batches use it again. */
function readBufferBytesOf({ inFlightBytesMax }: Config): number {
  return Math.min(READ_BUFFER_BYTES_MAX, inFlightBytesMax / 4);
}

/** What becomes of registrations at a start. */
interface Registrations {
  /** The index was rebuilt: a merge may build on one that it lacks. Its inputs are all there, and stay. */
  mayNotFit: boolean;
  leftOutCount: number;
}

/** What of the storage follows from metadata follows from it at once. */
function applyTo(
  { meta, logs, segments }: Pick<Storage, "meta" | "logs" | "segments">,
  registrations: Registrations,
): void {
  const { index } = segments;
  meta.onApplied((command) => {
    switch (command.kind) {
      case "topicCreated":
        return logs.ensureTopic(command.topic);
      case "partitionsAdded": {
        const topic = meta.topicById(command.topicId);
        return topic && logs.ensureTopic(topic);
      }
      case "topicDeleted":
        segments.deleteTopic(command.topicId);
        return logs.deleteTopic(command.topicId);
      case "logStartOffsetsSet":
        for (const { partition, offset } of command.offsets) {
          const place = { topicId: command.topicId, partition };
          segments.deleteRecordsBefore(place, offset);
          logs.deleteRecordsBefore(place, offset);
        }
        return;
      case "segmentsChanged": {
        const { removedIds } = command;
        const added = command.added
          .map((facts) => decodeSegmentFacts(Buffer.from(facts, "base64")))
          // What was to get an index and was merged meanwhile is gone.
          .filter(
            ({ segmentId }) =>
              !removedIds.includes(segmentId) || index.segment(segmentId) !== undefined,
          );
        if (registrations.mayNotFit && index.overlapOf({ added, removedIds }) !== undefined) {
          registrations.leftOutCount += 1;
          return;
        }
        segments.apply({ added, removedIds });
        for (const place of added.flatMap(({ ranges }) => ranges)) {
          // Its topic can have been deleted while it was sealed.
          if (meta.topicById(place.topicId) === undefined) index.deleteTopic(place.topicId);
          logs.forgetSealed(place, segments.endOffset(place));
        }
        return;
      }
      default:
        return;
    }
  });
}

/** Fills metadata and logs from the WAL, and attaches them to it. */
async function recover(
  options: StorageOptions,
  { logs, meta }: Pick<Storage, "logs" | "meta">,
  { coveredEnd: registrationsEnd, isRebuilt }: OpenedSegmentIndex,
): Promise<Wal> {
  const { disk, config } = options;
  const covered = new Map<string, number>();
  const checkpoint = await readLogCheckpoint(disk, pathsOf(config.dataDir).logCheckpoint);
  let neededStart = Math.min(checkpoint.liveStart, registrationsEnd, meta.appliedEnd);
  for (const partition of checkpoint.partitions) {
    logs.restore(partition, partition.state);
    covered.set(placeKeyOf(partition), partition.coveredEnd);
    neededStart = Math.min(neededStart, partition.coveredEnd);
  }
  // Older files are there for the search index alone. An index of segments that was rebuilt may lack one.
  const walkStart = isRebuilt ? 0 : neededStart;
  const wal = await openWal(options, { meta, walkStart }, (entry) => {
    if (entry.kind === "metadata") {
      meta.recover(entry.address, entry.payload, registrationsEnd);
    } else {
      const isCheckpointed = entry.address < (covered.get(placeKeyOf(entry)) ?? 0);
      recoverBatch(logs, entry, isCheckpointed);
    }
  });
  meta.attach(wal);
  logs.attach(wal);
  return wal;
}

function placeKeyOf({ topicId, partition }: Pick<CheckpointedPartition, "topicId" | "partition">) {
  return `${topicId}/${partition}`;
}

/** The index of segments is written only if it has changed; no file is ahead of the WAL. */
function createCheckpoint(
  disk: Disk,
  dataDir: string,
  { wal, logs, meta, segments }: Pick<Storage, "wal" | "logs" | "meta" | "segments">,
): () => Promise<number> {
  let savedVersion = -1;
  return async () => {
    const { index } = segments;
    const { version } = index;
    const segmentsEnd = meta.appliedEnd;
    if (version !== savedVersion) {
      const path = pathsOf(dataDir).segmentIndex;
      await saveSegmentIndex(disk, path, { index, coveredEnd: segmentsEnd });
      savedVersion = version;
    }
    const logsEnd = await writeLogCheckpoint(disk, pathsOf(dataDir).logCheckpoint, { logs, wal });
    await writeCheckpoint(disk, pathsOf(dataDir).metaCheckpoint, meta);
    return Math.min(segmentsEnd, logsEnd);
  };
}

function openWal(
  options: StorageOptions,
  { meta, walkStart }: { readonly meta: LocalMetaStore; readonly walkStart: WalAddress },
  onEntry: (entry: WalEntry) => void,
): Promise<Wal> {
  const { config, disk, clock, logger, metrics } = options;
  return Wal.open({
    disk,
    clock,
    logger,
    directory: pathsOf(config.dataDir).wal,
    slabBytes: config.walSlabBytes,
    fileBytes: config.walFileBytes,
    walBytesMax: config.walBytesMax,
    startAddress: meta.appliedEnd,
    walkStart,
    syncDelayMsMax: config.syncDelayMsMax,
    onEntry,
    onFailure: options.onFailure,
    onSync: (latencyMs) => metrics.walSyncLatencySeconds.observe(latencyMs / 1000),
  });
}

function recoverBatch(logs: LogManager, entry: WalEntry, isCheckpointed: boolean): void {
  const isLegacy = entry.version === ENTRY_VERSION_LEGACY;
  const batch = isLegacy ? batchOfLegacyPayload(entry.payload) : entry.payload;
  logs.recover(entry, {
    header: readBatchHeader(batch, 0),
    leaderEpoch: entry.leaderEpoch,
    address: entry.address,
    sizeBytes: entry.payload.length,
    isLegacy,
    isCheckpointed,
  });
}
