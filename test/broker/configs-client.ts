/** Describes and changes topics' configs over a socket. */

import { writeAlterConfigsRequest } from "../../src/protocol/generated/alter-configs-request.ts";
import { readAlterConfigsResponse } from "../../src/protocol/generated/alter-configs-response.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeDescribeConfigsRequest } from "../../src/protocol/generated/describe-configs-request.ts";
import { readDescribeConfigsResponse } from "../../src/protocol/generated/describe-configs-response.ts";
import {
  type IncrementalAlterConfigsRequestAlterConfigsResourceInput,
  writeIncrementalAlterConfigsRequest,
} from "../../src/protocol/generated/incremental-alter-configs-request.ts";
import { readIncrementalAlterConfigsResponse } from "../../src/protocol/generated/incremental-alter-configs-response.ts";
import type { PipelinedClient } from "./pipelined-client.ts";

export const TOPIC = 2;
export const BROKER = 4;
export const SET = 0;
export const DELETE = 1;
export const APPEND = 2;
export const SUBTRACT = 3;

/** What a topic has of its own, or the broker gives it: everything but Apache Kafka's defaults. */
export async function configsOf(client: PipelinedClient, topic: string) {
  const resources = [{ resourceType: TOPIC, resourceName: topic, configurationKeys: null }];
  const reader = await client.exchange(ApiKey.describeConfigs, 4, (writer) =>
    writeDescribeConfigsRequest(writer, { resources, includeSynonyms: true }, 4),
  );
  return readDescribeConfigsResponse(reader, 4).results[0]?.configs ?? [];
}

/** Those that were set for the topic. */
export async function ownConfigsOf(client: PipelinedClient, topic: string) {
  const configs = await configsOf(client, topic);
  return Object.fromEntries(
    configs.filter(({ configSource }) => configSource === 1).map((one) => [one.name, one.value]),
  );
}

export async function alterResources(
  client: PipelinedClient,
  resources: readonly IncrementalAlterConfigsRequestAlterConfigsResourceInput[],
  validateOnly = false,
) {
  const reader = await client.exchange(ApiKey.incrementalAlterConfigs, 1, (writer) =>
    writeIncrementalAlterConfigsRequest(writer, { resources, validateOnly }, 1),
  );
  return readIncrementalAlterConfigsResponse(reader, 1).responses;
}

type Change = readonly [operation: number, name: string, value: string | null];

/** @returns error code and message */
export async function alterTopic(
  client: PipelinedClient,
  topic: string,
  changes: readonly Change[],
  validateOnly = false,
): Promise<readonly (number | string | null | undefined)[]> {
  const configs = changes.map(([configOperation, name, value]) => ({
    ...{ configOperation, name, value },
  }));
  const resources = [{ resourceType: TOPIC, resourceName: topic, configs }];
  const [answer] = await alterResources(client, resources, validateOnly);
  return [answer?.errorCode, answer?.errorMessage];
}

/** All of the topic's own at once. @returns error code and message */
export async function replaceConfigs(
  client: PipelinedClient,
  topic: string,
  configs: Readonly<Record<string, string | null>>,
): Promise<readonly (number | string | null | undefined)[]> {
  const rows = Object.entries(configs).map(([name, value]) => ({ name, value }));
  const resources = [{ resourceType: TOPIC, resourceName: topic, configs: rows }];
  const reader = await client.exchange(ApiKey.alterConfigs, 2, (writer) =>
    writeAlterConfigsRequest(writer, { resources, validateOnly: false }, 2),
  );
  const [answer] = readAlterConfigsResponse(reader, 2).responses;
  return [answer?.errorCode, answer?.errorMessage];
}
