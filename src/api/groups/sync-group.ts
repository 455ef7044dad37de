/**
 * SyncGroup (key 14), versions 0 to 5. The leader brings the assignment; the answer waits until it is durable.
 *
 * Deviations from Kafka: none known.
 */

import { NO_ASSIGNMENT } from "../../coordinator/group.ts";
import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  readSyncGroupRequest,
  type SyncGroupRequest,
} from "../../protocol/generated/sync-group-request.ts";
import {
  type SyncGroupResponseInput,
  writeSyncGroupResponse,
} from "../../protocol/generated/sync-group-response.ts";
import type { Handler } from "../handler.ts";

export function createSyncGroupHandler(
  groups: GroupCoordinator,
): Handler<SyncGroupRequest, SyncGroupResponseInput> {
  return {
    apiKey: ApiKey.syncGroup,
    minVersion: 0,
    maxVersion: 5,
    readRequest: readSyncGroupRequest,
    writeResponse: writeSyncGroupResponse,
    handle: async ({ connection }, request) => {
      const { errorCode, protocolType, protocolName, assignment } = await groups.sync({
        groupId: request.groupId,
        memberId: request.memberId,
        groupInstanceId: request.groupInstanceId,
        generationId: request.generationId,
        protocolType: request.protocolType,
        protocolName: request.protocolName,
        // Copied: the group keeps them, the request's frame goes.
        assignments: new Map(
          request.assignments.map((entry) => [entry.memberId, entry.assignment.slice()]),
        ),
        onClose: (listener) => connection.onClose(listener),
      });
      return { errorCode, protocolType, protocolName, assignment };
    },
    errorResponse: (_request, errorCode) => ({ errorCode, assignment: NO_ASSIGNMENT }),
  };
}
