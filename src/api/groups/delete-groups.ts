/**
 * DeleteGroups (key 42), versions 0 to 2: empty groups go, with their offsets. Others are NON_EMPTY_GROUP.
 *
 * Deviations from Kafka: none known.
 */

import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DeleteGroupsRequest,
  readDeleteGroupsRequest,
} from "../../protocol/generated/delete-groups-request.ts";
import {
  type DeleteGroupsResponseInput,
  writeDeleteGroupsResponse,
} from "../../protocol/generated/delete-groups-response.ts";
import type { Handler } from "../handler.ts";

export function createDeleteGroupsHandler(
  groups: GroupCoordinator,
): Handler<DeleteGroupsRequest, DeleteGroupsResponseInput> {
  return {
    apiKey: ApiKey.deleteGroups,
    minVersion: 0,
    maxVersion: 2,
    readRequest: readDeleteGroupsRequest,
    writeResponse: writeDeleteGroupsResponse,
    handle: async (_context, { groupsNames }) => {
      const results = [...new Set(groupsNames)].map(async (groupId) => ({
        groupId,
        errorCode: await groups.delete(groupId),
      }));
      return { results: await Promise.all(results) };
    },
    errorResponse: ({ groupsNames }, errorCode) => ({
      results: groupsNames.map((groupId) => ({ groupId, errorCode })),
    }),
  };
}
