/**
 * Heartbeat (key 12), versions 0 to 4. Keeps the member's session; REBALANCE_IN_PROGRESS asks it to join again.
 *
 * Deviations from Kafka: none known.
 */

import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type HeartbeatRequest,
  readHeartbeatRequest,
} from "../../protocol/generated/heartbeat-request.ts";
import {
  type HeartbeatResponseInput,
  writeHeartbeatResponse,
} from "../../protocol/generated/heartbeat-response.ts";
import type { Handler } from "../handler.ts";

export function createHeartbeatHandler(
  groups: GroupCoordinator,
): Handler<HeartbeatRequest, HeartbeatResponseInput> {
  return {
    apiKey: ApiKey.heartbeat,
    minVersion: 0,
    maxVersion: 4,
    readRequest: readHeartbeatRequest,
    writeResponse: writeHeartbeatResponse,
    handle: (_context, { groupId, generationId, memberId, groupInstanceId }) => ({
      errorCode: groups.heartbeat({ groupId, generationId, memberId, groupInstanceId }),
    }),
    errorResponse: (_request, errorCode) => ({ errorCode }),
  };
}
