/** What this broker tells clients about the cluster, which is itself alone. */

import type { RequestContext } from "../handler.ts";

/** Where a client finds a broker. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export interface ClusterView {
  readonly clusterId: string;
  readonly brokerId: number;
  /** Of every partition; rises at each unclean start. */
  readonly leaderEpoch: number;
  /** The address for this client: the advertised one, or that through which it reached us. */
  endpointOf(context: RequestContext): Endpoint;
}

/** Asked by a client that does not want authorized operations told (KIP-430). */
export const OPERATIONS_NOT_ASKED = -2147483648;

/** Bit of each ACL operation by Kafka's number (KIP-430). */
function bitsOf(operations: readonly number[]): number {
  return operations.reduce((bits, operation) => bits | (1 << operation), 0);
}

const READ = 3;
const WRITE = 4;
const CREATE = 5;
const DELETE = 6;
const ALTER = 7;
const DESCRIBE = 8;
const CLUSTER_ACTION = 9;
const DESCRIBE_CONFIGS = 10;
const ALTER_CONFIGS = 11;
const IDEMPOTENT_WRITE = 12;

/** Without an authorizer everything is allowed. */
export const TOPIC_OPERATIONS = bitsOf([
  READ,
  WRITE,
  CREATE,
  DELETE,
  ALTER,
  DESCRIBE,
  DESCRIBE_CONFIGS,
  ALTER_CONFIGS,
]);

export const CLUSTER_OPERATIONS = bitsOf([
  CREATE,
  ALTER,
  DESCRIBE,
  CLUSTER_ACTION,
  DESCRIBE_CONFIGS,
  ALTER_CONFIGS,
  IDEMPOTENT_WRITE,
]);
