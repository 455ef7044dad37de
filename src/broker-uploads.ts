/** Copies segments into the object store, where one is set. */

import type { Config } from "./config.ts";
import { type Clock, nextTurn } from "./core/clock.ts";
import type { Logger } from "./core/logger.ts";
import type { Metrics } from "./core/metrics.ts";
import type { SearchedTopics } from "./meta/searched-topics.ts";
import { objectStoreName, parseObjectStoreUrl } from "./segment/object-store-url.ts";
import type { SegmentStore } from "./segment/segment-store.ts";
import { Uploading } from "./segment/uploading.ts";
import { UploadingRunner } from "./segment/uploading-runner.ts";

export interface UploadsOptions {
  readonly storage: { readonly segments: SegmentStore };
  readonly config: Pick<Config, "enableWalIndexing" | "objectStore">;
  readonly searched: Pick<SearchedTopics, "isIndexed">;
  readonly metrics: Metrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Starts it. @returns ends it; what is being sent is given up */
export function startUploads(options: UploadsOptions): () => Promise<void> {
  const { storage, config, searched, metrics, clock, logger } = options;
  if (config.objectStore === "") return async () => {};
  const { segments } = storage;
  const location = parseObjectStoreUrl(config.objectStore);
  const runner = new UploadingRunner({ location, clock, logger });
  const uploading = new Uploading({
    ...{ storeName: objectStoreName(location), clock, logger },
    run: (work) => runner.run(work),
    pin: (segmentId) => segments.pin(segmentId),
    pathOf: (segmentId) => segments.pathOf(segmentId),
    isIndexAwaited: ({ searchIndex, ranges }) =>
      config.enableWalIndexing &&
      searchIndex === null &&
      ranges.some(({ topicId }) => searched.isIndexed(topicId)),
  });
  collect(metrics, uploading, runner);
  const removeListener = segments.onChanged((change) => uploading.apply(change));
  let isStopped = false;
  const starting = (async () => {
    for (const { segmentId } of [...segments.index.segments()]) {
      if (isStopped) return;
      const facts = segments.index.segment(segmentId);
      if (facts !== undefined) uploading.apply({ added: [facts], removedIds: [] });
      await nextTurn();
    }
    uploading.start();
  })();
  return async () => {
    isStopped = true;
    removeListener();
    runner.stop();
    await starting;
    await uploading.stop();
  };
}

function collect({ registry }: Metrics, uploading: Uploading, runner: UploadingRunner): void {
  registry.collected(
    "gauge",
    {
      name: "chronik_segments_uploaded",
      help: "Segments: whole in the object store, and waiting to be copied there.",
      labels: ["state"],
    },
    (report) => {
      const { uploadedCount, pendingCount } = uploading.stats();
      report(uploadedCount, "uploaded");
      report(pendingCount, "pending");
    },
  );
  registry.collected(
    "counter",
    { name: "chronik_upload_failures_total", help: "Tries to reach the object store that failed." },
    (report) => report(uploading.stats().failureCount),
  );
  const labels = ["operation", "status"];
  registry.collected(
    "counter",
    { name: "chronik_s3_requests_total", help: "Requests to S3; status 0: no answer.", labels },
    (report) => {
      for (const { operation, status, count } of runner.requests()) {
        report(count, operation, String(status));
      }
    },
  );
  registry.collected(
    "counter",
    { name: "chronik_s3_sent_bytes_total", help: "Bytes of bodies sent to S3.", labels },
    (report) => {
      for (const { operation, status, sentBytes } of runner.requests()) {
        report(sentBytes, operation, String(status));
      }
    },
  );
}
