/** Addresses that clients are told through a socket for both families of addresses. */

import { expect, test } from "bun:test";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeDescribeClusterRequest } from "../../src/protocol/generated/describe-cluster-request.ts";
import { readDescribeClusterResponse } from "../../src/protocol/generated/describe-cluster-response.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import { RunningBroker } from "../broker/running-broker.ts";

const VERSION = 1;

function hasIpv6(): boolean {
  try {
    Bun.listen({ hostname: "::", port: 0, socket: { data: () => {} } }).stop(true);
    return true;
  } catch {
    return false;
  }
}

test.skipIf(!hasIpv6())(
  "listener: a client that came over IPv4 is told an IPv4 address",
  async () => {
    const broker = await RunningBroker.start("--bind-addr", "::");
    using client = await PipelinedClient.connect(broker.kafkaPort);
    try {
      const reader = await client.exchange(ApiKey.describeCluster, VERSION, (writer) =>
        writeDescribeClusterRequest(writer, { includeClusterAuthorizedOperations: false }, VERSION),
      );
      const { brokers } = readDescribeClusterResponse(reader, VERSION);
      expect(brokers.map(({ host }) => host)).toEqual(["127.0.0.1"]);
    } finally {
      await broker.remove();
    }
  },
);
