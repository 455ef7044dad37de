/** FindCoordinator, ListGroups, DescribeGroups, DeleteGroups and InitProducerId in all their versions. */

import { expect, test } from "bun:test";
import { createDeleteGroupsHandler } from "../../../src/api/groups/delete-groups.ts";
import { createDescribeGroupsHandler } from "../../../src/api/groups/describe-groups.ts";
import { createFindCoordinatorHandler } from "../../../src/api/groups/find-coordinator.ts";
import { createListGroupsHandler } from "../../../src/api/groups/list-groups.ts";
import { createInitProducerIdHandler } from "../../../src/api/init-producer-id.ts";
import type { GroupCoordinator } from "../../../src/coordinator/group-coordinator.ts";
import { ProducerIds } from "../../../src/coordinator/producer-ids.ts";
import { ErrorCode } from "../../../src/protocol/errors.ts";
import { writeDeleteGroupsRequest } from "../../../src/protocol/generated/delete-groups-request.ts";
import { readDeleteGroupsResponse } from "../../../src/protocol/generated/delete-groups-response.ts";
import { writeDescribeGroupsRequest } from "../../../src/protocol/generated/describe-groups-request.ts";
import { readDescribeGroupsResponse } from "../../../src/protocol/generated/describe-groups-response.ts";
import { writeFindCoordinatorRequest } from "../../../src/protocol/generated/find-coordinator-request.ts";
import { readFindCoordinatorResponse } from "../../../src/protocol/generated/find-coordinator-response.ts";
import {
  type InitProducerIdRequestInput,
  writeInitProducerIdRequest,
} from "../../../src/protocol/generated/init-producer-id-request.ts";
import { readInitProducerIdResponse } from "../../../src/protocol/generated/init-producer-id-response.ts";
import {
  type ListGroupsRequestInput,
  writeListGroupsRequest,
} from "../../../src/protocol/generated/list-groups-request.ts";
import { readListGroupsResponse } from "../../../src/protocol/generated/list-groups-response.ts";
import {
  joinAlone,
  newCoordinator,
  newStore,
  offsetOf,
  simpleCommit,
} from "../../coordinator/coordinator-parts.ts";
import { call, callFailed, versionsOf } from "./api-parts.ts";

const find = { write: writeFindCoordinatorRequest, read: readFindCoordinatorResponse };
const list = { write: writeListGroupsRequest, read: readListGroupsResponse };
const describe = { write: writeDescribeGroupsRequest, read: readDescribeGroupsResponse };
const remove = { write: writeDeleteGroupsRequest, read: readDeleteGroupsResponse };
const init = { write: writeInitProducerIdRequest, read: readInitProducerIdResponse };
const noGroups = {} as GroupCoordinator;
const findHandler = createFindCoordinatorHandler({
  brokerId: 7,
  endpointOf: ({ connection }) => ({ host: connection.localAddress, port: connection.localPort }),
});

/** A stable group `g` with one member, and `simple` which only holds offsets. */
async function twoGroups() {
  const parts = await newCoordinator();
  const memberId = await joinAlone(parts);
  await parts.offsets.commit(simpleCommit("simple", [offsetOf(0, 1)]));
  return { ...parts, memberId };
}

test.each(versionsOf(findHandler))("FindCoordinator v%i: this broker", async (version) => {
  const request = version >= 4 ? { coordinatorKeys: ["g", "h"] } : { key: "g" };
  const answer = await call(findHandler, find, { version, request });
  const node = { nodeId: 7, host: "127.0.0.1", port: 9092, errorCode: ErrorCode.none };
  if (version < 4) expect(answer).toMatchObject(node);
  else {
    expect(answer.coordinators).toMatchObject([
      { key: "g", ...node },
      { key: "h", ...node },
    ]);
  }
});

test("FindCoordinator: share groups and unknown key types are INVALID_REQUEST", async () => {
  for (const keyType of [2, 9]) {
    const request = { keyType, coordinatorKeys: ["k"] };
    const { coordinators } = await call(findHandler, find, { version: 6, request });
    const [coordinator] = coordinators;
    expect(coordinator).toMatchObject({
      errorCode: ErrorCode.invalidRequest,
      nodeId: -1,
      port: -1,
    });
  }
  const old = { key: "k", keyType: 1 };
  expect((await call(findHandler, find, { version: 1, request: old })).errorCode).toBe(0);
});

test.each(versionsOf(createListGroupsHandler(noGroups)))("ListGroups v%i", async (version) => {
  const { groups } = await twoGroups();
  const handler = createListGroupsHandler(groups);
  const ask = async (request: ListGroupsRequestInput) =>
    (await call(handler, list, { version, request })).groups;
  expect(await ask({})).toMatchObject([
    {
      groupId: "g",
      protocolType: "consumer",
      groupState: version >= 4 ? "Stable" : "",
      groupType: version >= 5 ? "classic" : "",
    },
    { groupId: "simple", protocolType: "" },
  ]);
  if (version < 4) return;
  const idsOf = async (request: ListGroupsRequestInput) =>
    (await ask(request)).map(({ groupId }) => groupId);
  expect(await idsOf({ statesFilter: ["EMPTY"] })).toEqual(["simple"]);
  expect(await idsOf({ statesFilter: ["stable", "Empty"] })).toEqual(["g", "simple"]);
  expect(await idsOf({ statesFilter: ["nonsense"] })).toEqual([]);
  if (version < 5) return;
  expect(await idsOf({ typesFilter: ["Classic"], statesFilter: ["Stable"] })).toEqual(["g"]);
  expect(await idsOf({ typesFilter: ["consumer"] })).toEqual([]);
});

test.each(versionsOf(createDescribeGroupsHandler(noGroups)))(
  "DescribeGroups v%i",
  async (version) => {
    const { groups, memberId } = await twoGroups();
    const handler = createDescribeGroupsHandler(groups);
    const request = {
      groups: ["g", "simple", "missing"],
      ...(version >= 3 ? { includeAuthorizedOperations: true } : {}),
    };
    const answer = await call(handler, describe, { version, request });
    expect(answer.groups).toMatchObject([
      {
        errorCode: ErrorCode.none,
        groupState: "Stable",
        protocolType: "consumer",
        protocolData: "range",
        members: [{ memberId, clientId: "c", clientHost: "/127.0.0.1" }],
        authorizedOperations: version >= 3 ? 3400 : -2147483648,
      },
      { errorCode: ErrorCode.none, groupState: "Empty", protocolType: "", members: [] },
      {
        errorCode: version >= 6 ? ErrorCode.groupIdNotFound : ErrorCode.none,
        errorMessage: version >= 6 ? "Group missing not found." : null,
        groupState: "Dead",
        members: [],
      },
    ]);
    expect([...(answer.groups[0]?.members[0]?.memberAssignment ?? [])]).toEqual([1]);
    expect(answer.groups[0]?.members[0]?.memberMetadata.length).toBeGreaterThan(0);
  },
);

test.each(versionsOf(createDeleteGroupsHandler(noGroups)))("DeleteGroups v%i", async (version) => {
  const { groups, store } = await twoGroups();
  const handler = createDeleteGroupsHandler(groups);
  const request = { groupsNames: ["g", "simple", "simple", "missing"] };
  const { results } = await call(handler, remove, { version, request });
  expect(results).toMatchObject([
    { groupId: "g", errorCode: ErrorCode.nonEmptyGroup },
    { groupId: "simple", errorCode: ErrorCode.none },
    { groupId: "missing", errorCode: ErrorCode.groupIdNotFound },
  ]);
  expect(store.hasCommittedOffsets("simple")).toBe(false);
});

test.each(versionsOf(createInitProducerIdHandler({} as ProducerIds)))(
  "InitProducerId v%i",
  async (version) => {
    const { store } = await newStore();
    const handler = createInitProducerIdHandler(new ProducerIds(store));
    const ask = async (changes: Partial<InitProducerIdRequestInput>) => {
      const request = { transactionalId: null, transactionTimeoutMs: 60_000, ...changes };
      return await call(handler, init, { version, request });
    };
    const first = await ask({});
    expect(first).toMatchObject({ errorCode: ErrorCode.none, producerEpoch: 0 });
    expect((await ask({})).producerId).toBe(first.producerId + 1);
    const refused = { producerId: -1, producerEpoch: -1 };
    expect(await ask({ transactionalId: "t" })).toMatchObject({
      errorCode: ErrorCode.unsupportedVersion,
      ...refused,
    });
    expect((await ask({ transactionalId: "" })).errorCode).toBe(ErrorCode.invalidRequest);
    if (version >= 3) {
      expect((await ask({ producerId: 5 })).errorCode).toBe(ErrorCode.invalidRequest);
      const again = await ask({ producerId: first.producerId, producerEpoch: 3 });
      expect(again).toMatchObject({ errorCode: ErrorCode.none, producerEpoch: 0 });
      expect(again.producerId).not.toBe(first.producerId);
    }
    const request = { transactionalId: null, transactionTimeoutMs: 0 };
    const errorCode = ErrorCode.kafkaStorageError;
    expect(callFailed(handler, init, { version, request, errorCode }).errorCode).toBe(
      ErrorCode.coordinatorLoadInProgress,
    );
  },
);
