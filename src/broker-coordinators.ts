/** Consumer groups and producer ids, with the APIs through which clients meet them. */

import type { ClusterView } from "./api/cluster/cluster-view.ts";
import { createDeleteGroupsHandler } from "./api/groups/delete-groups.ts";
import { createDescribeGroupsHandler } from "./api/groups/describe-groups.ts";
import { createFindCoordinatorHandler } from "./api/groups/find-coordinator.ts";
import { createHeartbeatHandler } from "./api/groups/heartbeat.ts";
import { createJoinGroupHandler } from "./api/groups/join-group.ts";
import { createLeaveGroupHandler } from "./api/groups/leave-group.ts";
import { createListGroupsHandler } from "./api/groups/list-groups.ts";
import { createOffsetCommitHandler } from "./api/groups/offset-commit.ts";
import { createOffsetFetchHandler } from "./api/groups/offset-fetch.ts";
import { createSyncGroupHandler } from "./api/groups/sync-group.ts";
import type { AnyHandler } from "./api/handler.ts";
import { createInitProducerIdHandler } from "./api/init-producer-id.ts";
import type { Config } from "./config.ts";
import { GroupCoordinator } from "./coordinator/group-coordinator.ts";
import { OffsetCoordinator } from "./coordinator/offset-coordinator.ts";
import { ProducerIds } from "./coordinator/producer-ids.ts";
import type { Clock } from "./core/clock.ts";
import type { Logger } from "./core/logger.ts";
import type { MetaStore } from "./meta/meta-store.ts";

export interface CoordinatorOptions {
  readonly config: Config;
  readonly store: MetaStore;
  readonly cluster: ClusterView;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface Coordinators {
  readonly handlers: readonly AnyHandler[];
  /** Ends every wait of a group's members, and the timers. */
  close(): void;
}

export function startCoordinators(options: CoordinatorOptions): Coordinators {
  const { config, store, cluster, clock, logger } = options;
  const groups = new GroupCoordinator({ store, clock, logger, settings: config });
  const offsets = new OffsetCoordinator({ store, groups, clock, logger, settings: config });
  offsets.start();
  const { brokerId, endpointOf } = cluster;
  return {
    handlers: [
      createFindCoordinatorHandler({ brokerId, endpointOf }),
      createJoinGroupHandler(groups),
      createSyncGroupHandler(groups),
      createHeartbeatHandler(groups),
      createLeaveGroupHandler(groups),
      createOffsetCommitHandler({ offsets, store }),
      createOffsetFetchHandler({ offsets, store }),
      createListGroupsHandler(groups),
      createDescribeGroupsHandler(groups),
      createDeleteGroupsHandler(groups),
      createInitProducerIdHandler(new ProducerIds(store)),
    ],
    close: () => {
      groups.close();
      offsets.close();
    },
  };
}
