/**
 * DescribeConfigs (key 32), versions 0 to 4: of topics, and of this broker.
 *
 * Deviations from Kafka: of a broker only those settings are told that this one has; loggers, client
 * metrics and groups are refused.
 */

import type { MetaStore } from "../../meta/meta-store.ts";
import {
  CONFIG_TYPE_CODE,
  ConfigSource,
  type DescribedConfig,
  type TopicConfigs,
} from "../../meta/topic-configs.ts";
import { topicNameFaultOf } from "../../meta/topic-name.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type DescribeConfigsRequest,
  type DescribeConfigsRequestDescribeConfigsResource,
  readDescribeConfigsRequest,
} from "../../protocol/generated/describe-configs-request.ts";
import {
  type DescribeConfigsResponseDescribeConfigsResourceResultInput,
  type DescribeConfigsResponseDescribeConfigsResultInput,
  type DescribeConfigsResponseInput,
  writeDescribeConfigsResponse,
} from "../../protocol/generated/describe-configs-response.ts";
import type { Handler } from "../handler.ts";
import { BROKER_RESOURCE, TOPIC_RESOURCE } from "./config-resource.ts";

export interface DescribeConfigsOwners {
  readonly meta: MetaStore;
  readonly configs: TopicConfigs;
  readonly brokerId: number;
  /** This broker's settings by Kafka's names. */
  readonly brokerConfigs: readonly DescribedConfig[];
}

export function createDescribeConfigsHandler(
  owners: DescribeConfigsOwners,
): Handler<DescribeConfigsRequest, DescribeConfigsResponseInput> {
  return {
    apiKey: ApiKey.describeConfigs,
    minVersion: 0,
    maxVersion: 4,
    readRequest: readDescribeConfigsRequest,
    writeResponse: writeDescribeConfigsResponse,
    handle: ({ apiVersion }, request) => ({
      results: distinct(request.resources).map((resource) =>
        describeOne(owners, resource, { ...request, isFirstVersion: apiVersion === 0 }),
      ),
    }),
  };
}

/** Each resource once, with the last of its lists of keys. */
function distinct(
  resources: readonly DescribeConfigsRequestDescribeConfigsResource[],
): DescribeConfigsRequestDescribeConfigsResource[] {
  const byName = new Map(
    resources.map((resource) => [`${resource.resourceType}/${resource.resourceName}`, resource]),
  );
  return [...byName.values()];
}

/** How much to tell of each config. */
interface Details {
  readonly includeSynonyms: boolean;
  readonly includeDocumentation: boolean;
  /** Version 0 says only whether a value is the default, not where it comes from. */
  readonly isFirstVersion: boolean;
}

function describeOne(
  owners: DescribeConfigsOwners,
  resource: DescribeConfigsRequestDescribeConfigsResource,
  details: Details,
): DescribeConfigsResponseDescribeConfigsResultInput {
  const { resourceType, resourceName } = resource;
  try {
    const configs = configsOf(owners, resource).map((config) =>
      resultOf(config, details, resourceType === BROKER_RESOURCE),
    );
    return { errorCode: ErrorCode.none, errorMessage: null, resourceType, resourceName, configs };
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    const { code: errorCode, message: errorMessage } = thrown;
    return { errorCode, errorMessage, resourceType, resourceName, configs: [] };
  }
}

function configsOf(
  { meta, configs, brokerId, brokerConfigs }: DescribeConfigsOwners,
  { resourceType, resourceName, configurationKeys }: DescribeConfigsRequestDescribeConfigsResource,
): readonly DescribedConfig[] {
  // In version 0 and in some clients an empty list stands for all, as null does.
  const keys = configurationKeys?.length === 0 ? null : configurationKeys;
  if (resourceType === TOPIC_RESOURCE) {
    const nameFault = topicNameFaultOf(resourceName);
    if (nameFault !== undefined) throw new KafkaError(ErrorCode.invalidTopicException, nameFault);
    const topic = meta.topic(resourceName);
    if (topic !== undefined) return configs.describe(topic.configs, keys);
    throw new KafkaError(
      ErrorCode.unknownTopicOrPartition,
      "This server does not host this topic-partition.",
    );
  }
  if (resourceType === BROKER_RESOURCE) {
    // The empty name stands for the settings of all brokers, of which there are none.
    if (resourceName === "") return [];
    if (resourceName === String(brokerId)) {
      return brokerConfigs.filter(({ name }) => keys === null || keys.includes(name));
    }
    throw new KafkaError(
      ErrorCode.invalidRequest,
      `Unexpected broker id, expected ${brokerId} or empty string, but received ${resourceName}`,
    );
  }
  throw new KafkaError(ErrorCode.invalidRequest, `Unsupported resource type: ${resourceType}`);
}

function resultOf(
  config: DescribedConfig,
  details: Details,
  readOnly: boolean,
): DescribeConfigsResponseDescribeConfigsResourceResultInput {
  const { name, value, source } = config;
  if (details.isFirstVersion) {
    return {
      name,
      value,
      readOnly,
      isDefault: source === ConfigSource.default,
      isSensitive: false,
    };
  }
  return {
    name,
    value,
    readOnly,
    configSource: source,
    isSensitive: false,
    synonyms: details.includeSynonyms ? config.synonyms : [],
    configType: CONFIG_TYPE_CODE[config.type],
    documentation: details.includeDocumentation ? config.documentation : null,
  };
}
