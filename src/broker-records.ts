/** Topics and their records for the HTTP edge: the log and the metadata behind its `RecordSource`. */

import type { RecordSource } from "./http/record-source.ts";
import type { LogManager } from "./log/log-manager.ts";
import { type LogTiers, readBatches } from "./log/log-reader.ts";
import { firstRecordSince } from "./log/partition-times.ts";
import type { MetaStore, Topic } from "./meta/meta-store.ts";

export interface RecordOwners {
  readonly tiers: LogTiers;
  readonly logs: LogManager;
  readonly meta: MetaStore;
}

export function createRecordSource({ tiers, logs, meta }: RecordOwners): RecordSource {
  const partitionOf = ({ topicId, partition }: { topicId: string; partition: number }) =>
    logs.partition(topicId, partition);
  return {
    topics: () => [...meta.topics()].sort(byName),
    topic: (name) => meta.topic(name),
    reachOf: (place) => {
      const partition = partitionOf(place);
      if (partition === undefined) return undefined;
      return { startOffset: partition.logStartOffset, endOffset: partition.highWatermark };
    },
    sizeBytesOf: (place) => {
      const partition = partitionOf(place);
      if (partition === undefined) return 0;
      return partition.availableBytes(partition.logStartOffset, Number.MAX_SAFE_INTEGER);
    },
    readBatches: async (place, stretch) => {
      const partition = partitionOf(place);
      if (partition === undefined || partition.isDeleted) return [];
      return await readBatches(tiers, partition, { ...stretch, isOneBatchDue: true });
    },
    offsetSince: async (place, timestampMs) => {
      const partition = partitionOf(place);
      if (partition === undefined || partition.isDeleted) return undefined;
      return (await firstRecordSince(tiers, partition, timestampMs))?.offset;
    },
  };
}

function byName(left: Topic, right: Topic): number {
  return left.name < right.name ? -1 : 1;
}
