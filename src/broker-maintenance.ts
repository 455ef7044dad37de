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
import { fileSequenceOf, walAddressOf } from "./wal/wal-address.ts";

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
  /** Undefined: nothing is sealed. */
  readonly sealing: Sealing | undefined;
  /** Time between rounds; a new WAL file, a deleted topic or deleted records that free a file start one earlier. */
  readonly roundMs: number;
}

/** Starts the rounds. @returns stops them, waiting for one under way */
export function startMaintenance(options: MaintenanceOptions): () => Promise<void> {
  const { storage, clock, logger } = options;
  let isStopped = false;
  let isDue = false;
  let running: Promise<void> | undefined;
  let oldestLive = storage.logs.oldestLiveSequence;
  let lastSequence = fileSequenceOf(storage.wal.appendedAddress);
  let doneAddress = -1;
  expireProducers(options);
  const runRounds = async (): Promise<void> => {
    while (isDue && !isStopped) {
      isDue = false;
      oldestLive = storage.logs.oldestLiveSequence;
      try {
        // On a broker that nothing happens to, nothing is written.
        const { durableAddress } = storage.wal;
        if (durableAddress === doneAddress) expireProducers(options);
        else await runRound(options);
        doneAddress = durableAddress;
      } catch (thrown) {
        logger.warn("maintenance_failed", { reason: String(thrown) });
      }
    }
  };
  const start = (): void => {
    isDue = true;
    if (isStopped || running !== undefined) return;
    // Rounds with nothing to do end before this assignment: what clears it must come later.
    running = runRounds().finally(() => {
      running = undefined;
      if (isDue) start();
    });
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
  return async () => {
    isStopped = true;
    options.sealing?.stop();
    cancelTimer();
    removeListener();
    await running;
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
      const round = await sealing?.seal();
      if (round === undefined || round.endAddress >= durableAddress) return;
    }
  } catch (thrown) {
    logger.error("sealing_failed", { reason: String(thrown) });
  }
}

async function runRound(options: MaintenanceOptions): Promise<void> {
  const { storage } = options;
  const { wal, logs } = storage;
  expireProducers(options);
  await sealAll(options);
  // Files before the checkpoint and before the oldest batch that is not sealed can go.
  const checkpointedAddress = await storage.checkpoint();
  const oldestLive = logs.oldestLiveSequence ?? fileSequenceOf(wal.durableAddress);
  const needed = Math.min(
    oldestLive,
    fileSequenceOf(checkpointedAddress),
    fileSequenceOf(wal.durableAddress),
  );
  if (walAddressOf(needed, 0) > wal.startAddress) await wal.release(walAddressOf(needed, 0));
}
