/**
 * Opens what the broker keeps in its data directory, in the order in which each part needs the one
 * before: lock, identity, checkpoint, WAL (which fills metadata and logs again), and closes it in
 * the other direction.
 */

import { join } from "node:path";
import type { Config } from "./config.ts";
import type { Clock } from "./core/clock.ts";
import type { Disk, DiskLock } from "./core/disk.ts";
import type { Logger } from "./core/logger.ts";
import type { Metrics } from "./core/metrics.ts";
import { loadNative } from "./core/native.ts";
import { LogManager } from "./log/log-manager.ts";
import type { LogTiers } from "./log/log-reader.ts";
import { NOTHING_SEALED } from "./log/sealed-log.ts";
import { type BrokerIdentity, closeIdentity, openIdentity } from "./meta/broker-identity.ts";
import { readCheckpoint, writeCheckpoint } from "./meta/checkpoint.ts";
import { LocalMetaStore } from "./meta/local-meta-store.ts";
import { readBatchHeader } from "./protocol/record-batch.ts";
import type { WalEntry } from "./wal/group-scan.ts";
import { batchOfLegacyPayload } from "./wal/legacy-entry.ts";
import { Wal } from "./wal/wal.ts";
import { ENTRY_VERSION_LEGACY } from "./wal/wal-format.ts";

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
  /**
   * Writes a checkpoint of the metadata, so that a restart need not read older entries.
   * @returns the address from which on entries are still needed
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
  const lock = disk.lock(join(dataDir, "lock"));
  try {
    await loadNative({ fallbackDirectory: dataDir });
    return await openLocked(options, lock);
  } catch (thrown) {
    lock.release();
    throw thrown;
  }
}

async function openLocked(options: StorageOptions, lock: DiskLock): Promise<Storage> {
  const { config, disk, clock } = options;
  const { dataDir } = config;
  const stored = await openIdentity(disk, dataDir);
  const logs = new LogManager({
    clock,
    leaderEpoch: stored.leaderEpoch,
    batchIndexBytesMax: Math.max(BATCH_INDEX_BYTES_MAX_MIN, config.memoryMaxBytes / 8),
    sealed: NOTHING_SEALED,
  });
  const meta = new LocalMetaStore();
  meta.onApplied((command) => {
    switch (command.kind) {
      case "topicCreated":
        return logs.ensureTopic(command.topic);
      case "partitionsAdded": {
        const topic = meta.topicById(command.topicId);
        return topic && logs.ensureTopic(topic);
      }
      case "topicDeleted":
        return logs.deleteTopic(command.topicId);
      case "logStartOffsetsSet":
        for (const { partition, offset } of command.offsets) {
          logs.deleteRecordsBefore({ topicId: command.topicId, partition }, offset);
        }
        return;
      default:
        return;
    }
  });
  const checkpointPath = join(dataDir, "meta.checkpoint");
  await readCheckpoint(disk, checkpointPath, meta);
  const wal = await openWal(options, logs, meta);
  meta.attach(wal);
  logs.attach(wal);
  const identity = { ...stored, leaderEpoch: logs.leaderEpoch };
  const checkpoint = async (): Promise<number> => {
    const coveredAddress = meta.appliedEnd;
    await writeCheckpoint(disk, checkpointPath, meta);
    return coveredAddress;
  };
  return {
    identity,
    wal,
    logs,
    tiers: { wal, sealed: NOTHING_SEALED },
    meta,
    checkpoint,
    close: async (isClean) => {
      try {
        if (isClean) {
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

function openWal(options: StorageOptions, logs: LogManager, meta: LocalMetaStore): Promise<Wal> {
  const { config, disk, clock, logger, metrics } = options;
  return Wal.open({
    disk,
    clock,
    logger,
    directory: join(config.dataDir, "wal"),
    slabBytes: config.walSlabBytes,
    fileBytes: config.walFileBytes,
    walBytesMax: config.walBytesMax,
    startAddress: meta.appliedEnd,
    syncDelayMsMax: config.syncDelayMsMax,
    onEntry: (entry) => {
      if (entry.kind === "metadata") meta.recover(entry.address, entry.payload);
      else recoverBatch(logs, entry);
    },
    onFailure: options.onFailure,
    onSync: (latencyMs) => metrics.walSyncLatencySeconds.observe(latencyMs / 1000),
  });
}

function recoverBatch(logs: LogManager, entry: WalEntry): void {
  const isLegacy = entry.version === ENTRY_VERSION_LEGACY;
  const batch = isLegacy ? batchOfLegacyPayload(entry.payload) : entry.payload;
  logs.recover(entry, {
    header: readBatchHeader(batch, 0),
    leaderEpoch: entry.leaderEpoch,
    address: entry.address,
    sizeBytes: entry.payload.length,
    isLegacy,
    isCheckpointed: false,
  });
}
