/** The manifest of the object store, kept up while the broker runs, and its metrics. */

import type { Config } from "./config.ts";
import type { Clock } from "./core/clock.ts";
import type { Logger } from "./core/logger.ts";
import type { Metrics } from "./core/metrics.ts";
import { type ManifestMeta, ManifestWriter } from "./segment/manifest-writer.ts";
import type { ObjectStore } from "./segment/object-store.ts";
import type { SegmentStore } from "./segment/segment-store.ts";
import type { Wal } from "./wal/wal.ts";

/** What the manifest is about, and where it lies. */
interface ManifestedStorage {
  readonly identity: { readonly clusterId: string };
  readonly meta: ManifestMeta;
  readonly objects: ObjectStore;
  readonly segments: SegmentStore;
  readonly wal: Wal;
}

export interface ManifestsOptions {
  readonly storage: ManifestedStorage;
  readonly config: Pick<Config, "walIndexingIntervalSecs">;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Starts it, before anything is registered. */
export function startManifests(options: ManifestsOptions): ManifestWriter {
  const { storage, config, clock, logger, metrics } = options;
  const { identity, meta, objects, segments, wal } = storage;
  const writer = new ManifestWriter({
    ...{ store: objects, segments, meta, clock, logger, clusterId: identity.clusterId },
    appendedAddress: () => wal.appendedAddress,
    roundMs: config.walIndexingIntervalSecs * 1000,
  });
  const { registry } = metrics;
  registry.collected(
    "gauge",
    {
      name: "chronik_manifest_lag_seconds",
      help: "How long the oldest change of segments waits to be in the object store's manifest.",
    },
    (report) => report(writer.stats().lagMs / 1000),
  );
  registry.collected(
    "gauge",
    {
      name: "chronik_manifest_generation",
      help: "Newest durable generation of the manifest; -1 before the first.",
    },
    (report) => report(writer.stats().generation),
  );
  registry.collected(
    "counter",
    {
      name: "chronik_manifest_failures_total",
      help: "Attempts to read or write the manifest that failed.",
    },
    (report) => report(writer.stats().failureCount),
  );
  writer.start();
  return writer;
}
