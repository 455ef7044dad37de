/**
 * What the broker does from time to time: sealing what is durable, checkpoints, giving WAL files back that
 * nobody needs, forgetting silent producers. One round at a time; a failure is told, not repeated at once.
 */

import type { Clock } from "./core/clock.ts";
import type { Logger } from "./core/logger.ts";
import type { LogManager } from "./log/log-manager.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import type { Sealing } from "./segment/sealing.ts";
import type { Wal } from "./wal/wal.ts";
import { fileSequenceOf, type WalAddress, walAddressOf } from "./wal/wal-address.ts";

/** What is looked after. */
interface MaintainedStorage {
  readonly wal: Wal;
  readonly logs: LogManager;
  readonly meta: MetaStore;
  /** @returns the address from which on metadata entries are still needed */
  checkpoint(): Promise<number>;
}

export interface MaintenanceOptions {
  readonly storage: MaintainedStorage;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly producerIdExpirationMs: number;
  readonly sealing: Sealing;
  /** From here on the search index still reads the WAL. */
  readonly neededAddress: () => WalAddress;
  /** So many files of the WAL wait for it at most. */
  readonly unindexedFilesMax: number;
  /** Time between rounds; a new WAL file, a deleted topic or deleted records that free a file start one earlier. */
  readonly roundMs: number;
}

/** The rounds. */
export interface Maintenance {
  /** Gives back what became free since the last round, without doing all of one. */
  readonly releaseWal: () => void;
  /** Waits for a round under way. */
  readonly stop: () => Promise<void>;
}

/** Starts the rounds. */
export function startMaintenance(options: MaintenanceOptions): Maintenance {
  const { storage, clock, logger } = options;
  let isStopped = false;
  let isDue = false;
  let isReleaseDue = false;
  let running: Promise<void> | undefined;
  let oldestLive = storage.logs.oldestLiveSequence;
  let lastSequence = fileSequenceOf(storage.wal.appendedAddress);
  let doneAddress = -1;
  let unsealed = 0;
  expireProducers(options);
  const runRounds = async (): Promise<void> => {
    while ((isDue || isReleaseDue) && !isStopped) {
      const isWhole = isDue;
      isDue = false;
      isReleaseDue = false;
      oldestLive = storage.logs.oldestLiveSequence;
      try {
        // On a broker that nothing happens to, nothing is written.
        const { durableAddress } = storage.wal;
        if (isWhole && durableAddress !== doneAddress) {
          unsealed = await runRound(options);
          doneAddress = durableAddress;
        } else expireProducers(options);
        await releaseWal(options, unsealed);
      } catch (thrown) {
        logger.warn("maintenance_failed", { reason: String(thrown) });
      }
    }
  };
  const run = (): void => {
    if (isStopped || running !== undefined) return;
    // Rounds with nothing to do end before this assignment: what clears it must come later.
    running = runRounds().finally(() => {
      running = undefined;
      if (isDue || isReleaseDue) run();
    });
  };
  const start = (): void => {
    isDue = true;
    run();
  };
  storage.wal.onDurable((durableAddress) => {
    const sequence = fileSequenceOf(durableAddress);
    if (sequence === lastSequence) return;
    lastSequence = sequence;
    start();
  });
  const removeListener = storage.meta.onApplied(({ kind }) => {
    const isFileDead =
      kind === "logStartOffsetsSet" && storage.logs.oldestLiveSequence !== oldestLive;
    if (kind === "topicDeleted" || isFileDead) start();
  });
  let cancelTimer = (): void => {};
  const schedule = (): void => {
    cancelTimer = clock.after(options.roundMs, () => {
      start();
      schedule();
    });
  };
  schedule();
  return {
    releaseWal: () => {
      isReleaseDue = true;
      run();
    },
    stop: async () => {
      isStopped = true;
      options.sealing.stop();
      cancelTimer();
      removeListener();
      await running;
    },
  };
}

function expireProducers({ storage, clock, producerIdExpirationMs }: MaintenanceOptions): void {
  storage.logs.expireProducers(clock.nowMs() - producerIdExpirationMs);
}

/** What can't be sealed stays in the WAL; the rest of the round goes on. */
async function sealAll({ storage, sealing, logger }: MaintenanceOptions): Promise<void> {
  const { durableAddress } = storage.wal;
  try {
    for (;;) {
      const round = await sealing.seal();
      if (round === undefined || round.endAddress >= durableAddress) return;
    }
  } catch (thrown) {
    logger.error("sealing_failed", { reason: String(thrown) });
  }
}

/** @returns the sequence of the first WAL file that metadata or a batch that is not sealed still needs */
async function runRound(options: MaintenanceOptions): Promise<number> {
  const { wal, logs, checkpoint } = options.storage;
  expireProducers(options);
  await sealAll(options);
  const checkpointedAddress = await checkpoint();
  const oldestLive = logs.oldestLiveSequence ?? fileSequenceOf(wal.durableAddress);
  return Math.min(
    oldestLive,
    fileSequenceOf(checkpointedAddress),
    fileSequenceOf(wal.durableAddress),
  );
}

/** Gives back the files before `unsealed` that the search index does not need either. */
async function releaseWal(options: MaintenanceOptions, unsealed: number): Promise<void> {
  const { wal } = options.storage;
  const unindexed = fileSequenceOf(Math.min(options.neededAddress(), wal.durableAddress));
  // An index that is too far behind is made from the segments instead.
  const isWaiting = fileSequenceOf(wal.durableAddress) - unindexed <= options.unindexedFilesMax;
  const needed = isWaiting ? Math.min(unsealed, unindexed) : unsealed;
  if (walAddressOf(needed, 0) > wal.startAddress) await wal.release(walAddressOf(needed, 0));
}
