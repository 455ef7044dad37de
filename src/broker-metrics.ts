/** What is read at scrape time: sizes, lags and counts that their owners know already. */

import type { Metrics } from "./core/metrics.ts";
import { archiveStats } from "./core/native-segments.ts";
import type { LogManager } from "./log/log-manager.ts";
import type { Partition } from "./log/partition.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import type { SegmentStore } from "./segment/segment-store.ts";
import type { Wal } from "./wal/wal.ts";

interface MeasuredStorage {
  readonly wal: Wal;
  readonly logs: LogManager;
  readonly meta: MetaStore;
  readonly segments: SegmentStore;
}

/** Sets the metrics that follow from storage. Call once. */
export function collectStorage(
  metrics: Metrics,
  { wal, logs, meta, segments }: MeasuredStorage,
): void {
  collectSegments(metrics, segments);
  metrics.collectWal(() => wal.sizes());
  metrics.collectTopics(() => {
    let partitionCount = 0;
    for (const topic of meta.topics()) partitionCount += topic.partitionCount;
    return { topicCount: meta.topicCount, partitionCount };
  });
  metrics.collectConsumerLag((report) => {
    for (const groupId of meta.groupIds()) {
      for (const { topic, partition, offset } of meta.committedOffsets(groupId)) {
        const topicId = meta.topic(topic)?.topicId;
        const log = topicId === undefined ? undefined : logs.partition(topicId, partition);
        if (log === undefined) continue;
        report(lagOf(log, offset), groupId, topic, String(partition));
      }
    }
  });
  metrics.registry.collected(
    "gauge",
    { name: "chronik_batch_index_bytes", help: "Memory of the index of batches in the WAL." },
    (report) => report(logs.batchIndexBytes),
  );
}

/** How many records a group that committed `offset` has before it. */
function lagOf({ logStartOffset, highWatermark }: Partition, offset: number): number {
  return Math.max(0, highWatermark - Math.max(offset, logStartOffset));
}

function collectSegments({ registry }: Metrics, segments: SegmentStore): void {
  const { index } = segments;
  registry.collected(
    "gauge",
    { name: "chronik_segments", help: "Segments by level: 0 as sealed.", labels: ["level"] },
    (report) => {
      for (const { level, segmentCount } of index.stats().byLevel) {
        report(segmentCount, String(level));
      }
    },
  );
  registry.collected(
    "gauge",
    { name: "chronik_segments_indexed", help: "Segments that have a search index." },
    (report) => report(index.stats().indexedSegmentCount),
  );
  registry.collected(
    "gauge",
    {
      name: "chronik_segment_bytes",
      help: "Bytes of segments: of their objects, of the batches in them, and of batches that are deleted.",
      labels: ["kind"],
    },
    (report) => {
      const { objectBytes, dataBytes, deadBytes } = index.stats();
      report(objectBytes, "object");
      report(dataBytes, "data");
      report(deadBytes, "dead");
    },
  );
  registry.collected(
    "counter",
    {
      name: "chronik_segment_read_bytes_total",
      help: "Bytes read of segments' objects: of batches for consumers and hits, of search indexes for searches and merges.",
      labels: ["kind"],
    },
    (report) => {
      report(segments.readBytes, "batches");
      report(archiveStats().bytesRead, "index");
    },
  );
}
