/**
 * Deletes objects that no registration names: what a crash left half-written, written but not registered, or
 * unregistered but not deleted. Only files named like segments, and only those that nobody has written to for a
 * grace period: whatever is being written is younger, or known to be in use.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import { type Disk, DiskError, removeTree } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import { UUID_BYTES } from "../protocol/uuid.ts";
import { segmentIdOfIndexDirectory } from "./merging-search-index.ts";
import { segmentIdOfName } from "./segment-writer.ts";

export interface ObjectSweepOptions {
  readonly disk: Disk;
  /** Where the segments lie. */
  readonly directory: string;
  /** Asked once all registrations are known. */
  readonly isRegistered: (segmentId: string) => boolean;
  /** Whether any segment is: if none is, nothing is deleted, as registrations may have been lost. */
  readonly hasRegistrations: () => boolean;
  /** Whether the object is to be registered yet, or still read. */
  readonly isInUse: (segmentId: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly graceMs?: number;
}

const SWEEP_INTERVAL_MS = 3_600_000;
const GRACE_MS = 3_600_000;
const ID_BYTES = new RegExp(`^[A-Za-z0-9_-]{${Math.ceil((UUID_BYTES * 8) / 6)}}$`);

/** Owns the schedule: at the start and every hour. */
export class ObjectSweep {
  readonly #options: ObjectSweepOptions;
  #cancelTimer: CancelTimer = () => {};
  #isStopped = false;
  #sweeping: Promise<void> = Promise.resolve();

  constructor(options: ObjectSweepOptions) {
    this.#options = options;
  }

  /** Sweeps for the first time. */
  start(): void {
    this.#sweeping = this.#sweepAndTell();
    this.#cancelTimer = this.#options.clock.after(SWEEP_INTERVAL_MS, () => {
      void this.#sweeping.then(() => {
        if (!this.#isStopped) this.start();
      });
    });
  }

  /** Resolves when the sweep under way is through. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelTimer();
    await this.#sweeping;
  }

  /** Never rejects: what could not be deleted is left to the next time. */
  async #sweepAndTell(): Promise<void> {
    const { directory, logger } = this.#options;
    try {
      const { deletedCount, foundCount } = await this.#sweep();
      if (deletedCount > 0) logger.info("objects_swept", { directory, deletedCount });
      if (foundCount > 0 && !this.#options.hasRegistrations()) {
        logger.warn("objects_unknown", { directory, foundCount });
      }
    } catch (thrown) {
      logger.warn("objects_not_swept", { directory, reason: String(thrown) });
    }
  }

  async #sweep(): Promise<{ readonly deletedCount: number; readonly foundCount: number }> {
    const { disk, directory, logger } = this.#options;
    let deletedCount = 0;
    let foundCount = 0;
    for (const name of await disk.list(directory)) {
      const segmentId = segmentIdOfName(name) ?? segmentIdOfIndexDirectory(name);
      if (segmentId === undefined || !ID_BYTES.test(segmentId) || this.#isNeeded(segmentId))
        continue;
      foundCount += 1;
      const path = `${directory}/${name}`;
      if (!(await this.#isOld(path)) || this.#isNeeded(segmentId)) continue;
      if (!this.#options.hasRegistrations()) continue;
      if (segmentIdOfIndexDirectory(name) === undefined) await removeIfThere(disk, path);
      else await removeTree(path);
      deletedCount += 1;
      logger.info("object_swept", { segmentId });
    }
    return { deletedCount, foundCount };
  }

  #isNeeded(segmentId: string): boolean {
    const { isRegistered, isInUse } = this.#options;
    return isRegistered(segmentId) || isInUse(segmentId);
  }

  async #isOld(path: string): Promise<boolean> {
    const { disk, clock, graceMs = GRACE_MS } = this.#options;
    try {
      const { modifiedMs } = await disk.stat(path);
      return clock.nowMs() - modifiedMs >= graceMs;
    } catch (thrown) {
      if (thrown instanceof DiskError && thrown.kind === "missing") return false;
      throw thrown;
    }
  }
}

/** Its owner may have deleted it meanwhile. */
async function removeIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.remove(path);
  } catch (thrown) {
    if (!(thrown instanceof DiskError && thrown.kind === "missing")) throw thrown;
  }
}
