/** A broker's storage on the machine's disk; what `flags` do not say has its default. */

import { openStorage, type Storage } from "../../src/broker-storage.ts";
import { loadConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { type Disk, systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { createMetrics } from "../../src/core/metrics.ts";

export function openedStorage(dataDir: string, ...flags: readonly string[]): Promise<Storage> {
  return openedStorageOn(systemDisk, dataDir, ...flags);
}

/** The same on a disk that a test controls. */
export async function openedStorageOn(
  disk: Disk,
  dataDir: string,
  ...flags: readonly string[]
): Promise<Storage> {
  const { config } = await loadConfig({
    argv: ["--data-dir", dataDir, ...flags],
    env: {},
    readFile: async () => "",
  });
  return await openStorage({
    config,
    disk,
    clock: systemClock,
    logger: silentLogger,
    metrics: createMetrics("test"),
    onFailure: (reason) => {
      throw reason;
    },
  });
}
