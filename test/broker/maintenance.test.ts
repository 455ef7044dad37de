/** What the broker does from time to time, it goes on doing. */

import { expect, test } from "bun:test";
import { startMaintenance } from "../../src/broker-maintenance.ts";
import { openStorage } from "../../src/broker-storage.ts";
import { loadConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import { registerSegments } from "../../src/segment/registration.ts";
import { Sealing } from "../../src/segment/sealing.ts";
import { ManualClock } from "../manual-clock.ts";
import { inDirectory } from "../wal/wal-fixture.ts";

const ROUND_MS = 1000;

test("maintenance: rounds with nothing to do do not end the rounds", () =>
  inDirectory(async (directory) => {
    const { config } = await loadConfig({
      argv: ["--data-dir", directory],
      env: {},
      readFile: async () => "",
    });
    const clock = new ManualClock();
    const logger = silentLogger;
    const metrics = createMetrics("test");
    const disk = systemDisk;
    const onFailure = (reason: unknown): void => {
      throw reason;
    };
    const opened = await openStorage({
      ...{ config, disk, clock: systemClock, logger, metrics, onFailure },
    });
    let rounds = Promise.withResolvers<void>();
    const storage = {
      ...opened,
      checkpoint: async () => {
        const address = await opened.checkpoint();
        rounds.resolve();
        return address;
      },
    };
    const sealing = new Sealing({
      ...{ ...opened, clock, logger },
      walDirectory: `${directory}/wal`,
      register: (segments) => registerSegments(opened.meta, segments),
    });
    const maintenance = startMaintenance({
      ...{ storage, sealing, clock, logger },
      producerIdExpirationMs: 1000,
      roundMs: ROUND_MS,
      neededAddress: () => Number.POSITIVE_INFINITY,
      unindexedFilesMax: 16,
    });
    await clock.advance(ROUND_MS);
    await rounds.promise;
    // Nothing happens for some rounds.
    for (let count = 0; count < 3; count += 1) await clock.advance(ROUND_MS);
    rounds = Promise.withResolvers();
    const topic = { topicId: "AAAAAAAAAAAAAAAAAAAAAQ", name: "t", partitionCount: 1 };
    await opened.meta.commit({
      kind: "topicCreated",
      topic: { ...topic, configs: {}, createdMs: 0 },
    });
    await clock.advance(ROUND_MS);
    await rounds.promise;
    // Resolved by the round that saw the change; the test would time out without it.
    expect(opened.meta.topicCount).toBe(1);
    await maintenance.stop();
    await opened.close(true);
  }));
