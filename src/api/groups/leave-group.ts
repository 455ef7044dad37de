/**
 * LeaveGroup (key 13), versions 0 to 5; version 3 and later name several members, static ones also by instance id.
 *
 * Deviations from Kafka: none known.
 */

import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type LeaveGroupRequest,
  readLeaveGroupRequest,
} from "../../protocol/generated/leave-group-request.ts";
import {
  type LeaveGroupResponseInput,
  writeLeaveGroupResponse,
} from "../../protocol/generated/leave-group-response.ts";
import type { Handler } from "../handler.ts";

/** From this version on a request has a list of members. */
const BATCH_VERSION = 3;

export function createLeaveGroupHandler(
  groups: GroupCoordinator,
): Handler<LeaveGroupRequest, LeaveGroupResponseInput> {
  return {
    apiKey: ApiKey.leaveGroup,
    minVersion: 0,
    maxVersion: 5,
    readRequest: readLeaveGroupRequest,
    writeResponse: writeLeaveGroupResponse,
    handle: ({ apiVersion }, request) => {
      const isBatch = apiVersion >= BATCH_VERSION;
      const members = isBatch
        ? request.members
        : [{ memberId: request.memberId, groupInstanceId: null }];
      const { errorCode, errorCodes } = groups.leave(request.groupId, members);
      if (errorCode !== ErrorCode.none) return { errorCode };
      if (!isBatch) return { errorCode: errorCodes[0] ?? ErrorCode.none };
      return {
        errorCode,
        members: members.map(({ memberId, groupInstanceId }, index) => ({
          memberId,
          groupInstanceId,
          errorCode: errorCodes[index] ?? ErrorCode.none,
        })),
      };
    },
    errorResponse: (_request, errorCode) => ({ errorCode }),
  };
}
