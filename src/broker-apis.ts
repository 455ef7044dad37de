/** The table of Kafka APIs that this broker serves, each made of its owners. */

import { createApiVersionsHandler } from "./api/cluster/api-versions.ts";
import type { ClusterView } from "./api/cluster/cluster-view.ts";
import { createDescribeClusterHandler } from "./api/cluster/describe-cluster.ts";
import { createFetchHandler, type FetchOwners } from "./api/fetch.ts";
import type { AnyHandler } from "./api/handler.ts";
import { createProduceHandler, type ProduceOwners } from "./api/produce.ts";
import { createAlterConfigsHandler } from "./api/topics/alter-configs.ts";
import { createCreatePartitionsHandler } from "./api/topics/create-partitions.ts";
import { createCreateTopicsHandler } from "./api/topics/create-topics.ts";
import { createDeleteRecordsHandler } from "./api/topics/delete-records.ts";
import { createDeleteTopicsHandler } from "./api/topics/delete-topics.ts";
import { createDescribeConfigsHandler } from "./api/topics/describe-configs.ts";
import { createDescribeTopicPartitionsHandler } from "./api/topics/describe-topic-partitions.ts";
import { createIncrementalAlterConfigsHandler } from "./api/topics/incremental-alter-configs.ts";
import { createListOffsetsHandler } from "./api/topics/list-offsets.ts";
import { createMetadataHandler } from "./api/topics/metadata.ts";
import { createOffsetForLeaderEpochHandler } from "./api/topics/offset-for-leader-epoch.ts";
import type { TopicAdmin } from "./meta/topic-admin.ts";
import type { DescribedConfig, TopicConfigs } from "./meta/topic-configs.ts";

/** Everything the APIs act on. */
export interface ApiOwners {
  readonly cluster: ClusterView;
  readonly produce: ProduceOwners;
  readonly fetch: FetchOwners;
  readonly topicAdmin: TopicAdmin;
  readonly configs: TopicConfigs;
  readonly brokerConfigs: readonly DescribedConfig[];
  readonly isAutoCreateEnabled: boolean;
  /** The handlers of consumer groups and producer ids. */
  readonly coordinatorHandlers: readonly AnyHandler[];
}

/** All handlers, ApiVersions, which lists them, included. */
export function createHandlers(owners: ApiOwners): readonly AnyHandler[] {
  const { cluster, topicAdmin, configs, brokerConfigs, isAutoCreateEnabled } = owners;
  const { meta, tiers, logs } = owners.fetch;
  const { wal } = tiers;
  const served: AnyHandler[] = [
    createProduceHandler(owners.produce),
    createFetchHandler(owners.fetch),
    createListOffsetsHandler({ tiers, logs, meta }),
    createOffsetForLeaderEpochHandler({ logs, meta }),
    createMetadataHandler({ cluster, meta, topicAdmin, isAutoCreateEnabled }),
    createCreateTopicsHandler({ topicAdmin, configs }),
    createDeleteTopicsHandler({ meta, topicAdmin }),
    createDeleteRecordsHandler({ wal, logs, meta, configs }),
    createCreatePartitionsHandler(topicAdmin),
    createDescribeConfigsHandler({ meta, configs, brokerId: cluster.brokerId, brokerConfigs }),
    createAlterConfigsHandler(topicAdmin),
    createIncrementalAlterConfigsHandler({ topicAdmin, configs }),
    createDescribeClusterHandler(cluster),
    createDescribeTopicPartitionsHandler({ cluster, meta }),
    ...owners.coordinatorHandlers,
  ];
  return [...served, createApiVersionsHandler(served)];
}
