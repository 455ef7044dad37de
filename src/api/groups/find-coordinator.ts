/**
 * FindCoordinator (key 10), versions 0 to 6; version 4 and later ask for several keys. This broker coordinates all.
 * Share groups (key type 2) are not served: INVALID_REQUEST, as by a Kafka without them.
 *
 * Deviations from Kafka: keys of transactions are answered although InitProducerId refuses transactional ids: that
 * answer says why.
 */

import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type FindCoordinatorRequest,
  readFindCoordinatorRequest,
} from "../../protocol/generated/find-coordinator-request.ts";
import {
  type FindCoordinatorResponseInput,
  writeFindCoordinatorResponse,
} from "../../protocol/generated/find-coordinator-response.ts";
import type { Handler, RequestContext } from "../handler.ts";

/** From this version on the request has `coordinatorKeys`. */
const BATCH_VERSION = 4;
const KeyType = { group: 0, transaction: 1 } as const;

export interface FindCoordinatorOptions {
  readonly brokerId: number;
  /** The address that this client should use. */
  readonly endpointOf: (context: RequestContext) => {
    readonly host: string;
    readonly port: number;
  };
}

export function createFindCoordinatorHandler(
  options: FindCoordinatorOptions,
): Handler<FindCoordinatorRequest, FindCoordinatorResponseInput> {
  return {
    apiKey: ApiKey.findCoordinator,
    minVersion: 0,
    maxVersion: 6,
    readRequest: readFindCoordinatorRequest,
    writeResponse: writeFindCoordinatorResponse,
    handle: (context, request) => {
      const isServed = request.keyType === KeyType.group || request.keyType === KeyType.transaction;
      const errorCode = isServed ? ErrorCode.none : ErrorCode.invalidRequest;
      const node = isServed
        ? { nodeId: options.brokerId, ...options.endpointOf(context) }
        : undefined;
      return responseOf(request, errorCode, { apiVersion: context.apiVersion, node });
    },
    errorResponse: (request, errorCode, apiVersion) =>
      responseOf(request, errorCode, { apiVersion, node: undefined }),
  };
}

function responseOf(
  request: FindCoordinatorRequest,
  errorCode: number,
  answer: {
    readonly apiVersion: number;
    readonly node:
      | { readonly nodeId: number; readonly host: string; readonly port: number }
      | undefined;
  },
): FindCoordinatorResponseInput {
  const { nodeId, host, port } = answer.node ?? { nodeId: -1, host: "", port: -1 };
  const errorMessage =
    errorCode === ErrorCode.none ? "" : "There is no coordinator for keys of this type.";
  const coordinator = { nodeId, host, port, errorCode, errorMessage };
  if (answer.apiVersion < BATCH_VERSION) return coordinator;
  return { coordinators: request.coordinatorKeys.map((key) => ({ key, ...coordinator })) };
}
