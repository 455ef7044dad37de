/** DescribeCluster (key 60), versions 0 to 2. One broker, never fenced. */

import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DescribeClusterRequest,
  readDescribeClusterRequest,
} from "../../protocol/generated/describe-cluster-request.ts";
import {
  type DescribeClusterResponseInput,
  writeDescribeClusterResponse,
} from "../../protocol/generated/describe-cluster-response.ts";
import type { Handler } from "../handler.ts";
import { CLUSTER_OPERATIONS, type ClusterView, OPERATIONS_NOT_ASKED } from "./cluster-view.ts";

const BROKER_ENDPOINTS = 1;

export function createDescribeClusterHandler(
  cluster: ClusterView,
): Handler<DescribeClusterRequest, DescribeClusterResponseInput> {
  return {
    apiKey: ApiKey.describeCluster,
    minVersion: 0,
    maxVersion: 2,
    readRequest: readDescribeClusterRequest,
    writeResponse: writeDescribeClusterResponse,
    handle: (context, request) => {
      const { clusterId, brokerId } = cluster;
      if (request.endpointType !== BROKER_ENDPOINTS) {
        return {
          errorCode: ErrorCode.mismatchedEndpointType,
          errorMessage: "The request was sent to an endpoint of wrong type.",
          clusterId: "",
          brokers: [],
        };
      }
      return {
        errorCode: ErrorCode.none,
        endpointType: BROKER_ENDPOINTS,
        clusterId,
        controllerId: brokerId,
        brokers: [{ brokerId, ...cluster.endpointOf(context) }],
        clusterAuthorizedOperations: request.includeClusterAuthorizedOperations
          ? CLUSTER_OPERATIONS
          : OPERATIONS_NOT_ASKED,
      };
    },
  };
}
