/**
 * DescribeGroups (key 15), versions 0 to 6. A group that does not exist is Dead; from version 6 on it is also
 * GROUP_ID_NOT_FOUND (KIP-1043). Metadata and protocol are told of stable groups only.
 *
 * Deviations from Kafka: none known. Without an authorizer everything is authorized, as in Kafka.
 */

import type { Group } from "../../coordinator/group.ts";
import { metadataOf, NO_ASSIGNMENT } from "../../coordinator/group.ts";
import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DescribeGroupsRequest,
  readDescribeGroupsRequest,
} from "../../protocol/generated/describe-groups-request.ts";
import {
  type DescribeGroupsResponseDescribedGroupInput,
  type DescribeGroupsResponseInput,
  writeDescribeGroupsResponse,
} from "../../protocol/generated/describe-groups-response.ts";
import type { Handler } from "../handler.ts";

/** From this version on a missing group is an error. */
const NOT_FOUND_VERSION = 6;
/** Bits of Kafka's AclOperation: READ 3, DELETE 6, DESCRIBE 8, DESCRIBE_CONFIGS 10, ALTER_CONFIGS 11. */
const GROUP_OPERATIONS = [3, 6, 8, 10, 11].reduce((bits, operation) => bits | (1 << operation), 0);

export function createDescribeGroupsHandler(
  groups: GroupCoordinator,
): Handler<DescribeGroupsRequest, DescribeGroupsResponseInput> {
  return {
    apiKey: ApiKey.describeGroups,
    minVersion: 0,
    maxVersion: NOT_FOUND_VERSION,
    readRequest: readDescribeGroupsRequest,
    writeResponse: writeDescribeGroupsResponse,
    handle: ({ apiVersion }, request) => {
      const operations = request.includeAuthorizedOperations
        ? { authorizedOperations: GROUP_OPERATIONS }
        : {};
      const described = request.groups.map((groupId) => {
        const group = groups.group(groupId);
        if (group) return { ...describedGroup(group), ...operations };
        const isError = apiVersion >= NOT_FOUND_VERSION;
        return isError ? notFound(groupId) : { ...failed(groupId, ErrorCode.none), ...operations };
      });
      return { groups: described };
    },
    errorResponse: (request, errorCode) => ({
      groups: request.groups.map((groupId) => failed(groupId, errorCode)),
    }),
  };
}

function describedGroup(group: Group): DescribeGroupsResponseDescribedGroupInput {
  const isStable = group.state === "Stable";
  return {
    errorCode: ErrorCode.none,
    groupId: group.groupId,
    groupState: group.state,
    protocolType: group.protocolType ?? "",
    protocolData: isStable ? (group.protocolName ?? "") : "",
    members: [...group.members.values()].map((member) => ({
      memberId: member.memberId,
      groupInstanceId: member.groupInstanceId,
      clientId: member.clientId,
      clientHost: member.clientHost,
      memberMetadata: isStable ? metadataOf(member, group.protocolName) : NO_ASSIGNMENT,
      memberAssignment: member.assignment,
    })),
  };
}

function notFound(groupId: string): DescribeGroupsResponseDescribedGroupInput {
  const errorMessage = `Group ${groupId} not found.`;
  return { ...failed(groupId, ErrorCode.groupIdNotFound), errorMessage };
}

function failed(groupId: string, errorCode: number): DescribeGroupsResponseDescribedGroupInput {
  return {
    errorCode,
    groupId,
    groupState: "Dead",
    protocolType: "",
    protocolData: "",
    members: [],
  };
}
