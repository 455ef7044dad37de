/**
 * JoinGroup (key 11), versions 0 to 9. The answer waits for the rebalance. Version 4: new members have to come
 * back with the id they are given (KIP-394); 5: static members (KIP-345); 9: returning leaders skip the
 * assignment (KIP-814).
 *
 * Deviations from Kafka: a new member whose client never learned its id is dropped when the connection ends, not
 * after five minutes. GROUP_MAX_SIZE_REACHED also stands for the limits on groups and on members' bytes.
 */

import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import type { JoinReply } from "../../coordinator/group-events.ts";
import { refusedJoin } from "../../coordinator/group-step.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type JoinGroupRequest,
  readJoinGroupRequest,
} from "../../protocol/generated/join-group-request.ts";
import {
  type JoinGroupResponseInput,
  writeJoinGroupResponse,
} from "../../protocol/generated/join-group-response.ts";
import type { Handler } from "../handler.ts";

/** From this version on a member has to know its id before it joins. */
const MEMBER_ID_VERSION = 4;
/** From this version on the protocol's name can be null. */
const NULLABLE_PROTOCOL_VERSION = 7;
const SKIP_ASSIGNMENT_VERSION = 9;

export function createJoinGroupHandler(
  groups: GroupCoordinator,
): Handler<JoinGroupRequest, JoinGroupResponseInput> {
  return {
    apiKey: ApiKey.joinGroup,
    minVersion: 0,
    maxVersion: 9,
    readRequest: readJoinGroupRequest,
    writeResponse: writeJoinGroupResponse,
    handle: async ({ connection, clientId, apiVersion }, request) => {
      const reply = await groups.join({
        groupId: request.groupId,
        memberId: request.memberId,
        groupInstanceId: request.groupInstanceId,
        clientId,
        clientHost: `/${connection.remoteAddress}`,
        protocolType: request.protocolType,
        // Copied: the group keeps them, the request's frame goes.
        protocols: request.protocols.map(({ name, metadata }) => ({
          name,
          metadata: metadata.slice(),
        })),
        sessionTimeoutMs: request.sessionTimeoutMs,
        rebalanceTimeoutMs: rebalanceTimeoutMsOf(request),
        mustKnowMemberId: apiVersion >= MEMBER_ID_VERSION,
        canSkipAssignment: apiVersion >= SKIP_ASSIGNMENT_VERSION,
        onClose: (listener) => connection.onClose(listener),
      });
      return responseOf(reply, apiVersion);
    },
    errorResponse: (request, errorCode, apiVersion) =>
      responseOf({ ...refusedJoin(0, request.memberId), errorCode }, apiVersion),
  };
}

/** Version 0 has only the session timeout, which served for both. */
function rebalanceTimeoutMsOf({ rebalanceTimeoutMs, sessionTimeoutMs }: JoinGroupRequest): number {
  return rebalanceTimeoutMs < 0 ? sessionTimeoutMs : rebalanceTimeoutMs;
}

function responseOf(
  reply: Omit<JoinReply, "errorCode"> & { readonly errorCode: number },
  apiVersion: number,
): JoinGroupResponseInput {
  const { protocolName } = reply;
  return {
    errorCode: reply.errorCode,
    generationId: reply.generationId,
    protocolType: reply.protocolType,
    protocolName: apiVersion < NULLABLE_PROTOCOL_VERSION ? (protocolName ?? "") : protocolName,
    leader: reply.leaderId,
    skipAssignment: reply.skipAssignment,
    memberId: reply.memberId,
    members: reply.members,
  };
}
