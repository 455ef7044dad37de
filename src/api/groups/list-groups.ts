/**
 * ListGroups (key 16), versions 0 to 5: version 4 filters by state (KIP-518), 5 by type (KIP-848). Both filters
 * ignore case; an unknown value matches nothing.
 *
 * Deviations from Kafka: none known. All groups are of type "classic".
 */

import type { Group } from "../../coordinator/group.ts";
import type { GroupCoordinator } from "../../coordinator/group-coordinator.ts";
import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type ListGroupsRequest,
  readListGroupsRequest,
} from "../../protocol/generated/list-groups-request.ts";
import {
  type ListGroupsResponseInput,
  writeListGroupsResponse,
} from "../../protocol/generated/list-groups-response.ts";
import type { Handler } from "../handler.ts";

const GROUP_TYPE = "classic";

export function createListGroupsHandler(
  groups: GroupCoordinator,
): Handler<ListGroupsRequest, ListGroupsResponseInput> {
  return {
    apiKey: ApiKey.listGroups,
    minVersion: 0,
    maxVersion: 5,
    readRequest: readListGroupsRequest,
    writeResponse: writeListGroupsResponse,
    handle: (_context, { statesFilter, typesFilter }) => {
      const states = new Set(statesFilter.map((state) => state.trim().toLowerCase()));
      const types = typesFilter.map((type) => type.toLowerCase());
      const isTypeWanted = types.length === 0 || types.includes(GROUP_TYPE);
      const isWanted = ({ state }: Group) =>
        isTypeWanted && (states.size === 0 || states.has(state.toLowerCase()));
      const listed = [...groups.groups()].filter(isWanted).map((group) => ({
        groupId: group.groupId,
        protocolType: group.protocolType ?? "",
        groupState: group.state,
        groupType: GROUP_TYPE,
      }));
      return { errorCode: ErrorCode.none, groups: listed };
    },
    errorResponse: (_request, errorCode) => ({ errorCode, groups: [] }),
  };
}
