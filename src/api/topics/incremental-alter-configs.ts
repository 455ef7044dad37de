/**
 * IncrementalAlterConfigs (key 44), versions 0 and 1: configs of topics are set, deleted, appended to, subtracted from.
 *
 * Deviations from Kafka: the configs of a broker can't be changed while it runs; loggers, client metrics and groups
 * are refused; an operation that there is not is INVALID_REQUEST.
 */

import { ConfigOperation, changedConfigs } from "../../meta/config-changes.ts";
import type { TopicAdmin } from "../../meta/topic-admin.ts";
import type { TopicConfigs } from "../../meta/topic-configs.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type IncrementalAlterConfigsRequest,
  readIncrementalAlterConfigsRequest,
} from "../../protocol/generated/incremental-alter-configs-request.ts";
import {
  type IncrementalAlterConfigsResponseInput,
  writeIncrementalAlterConfigsResponse,
} from "../../protocol/generated/incremental-alter-configs-response.ts";
import type { Handler } from "../handler.ts";
import { alterEach, failedAlterations } from "./config-resource.ts";

export function createIncrementalAlterConfigsHandler(owners: {
  readonly topicAdmin: TopicAdmin;
  readonly configs: TopicConfigs;
}): Handler<IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponseInput> {
  const { topicAdmin, configs } = owners;
  return {
    apiKey: ApiKey.incrementalAlterConfigs,
    minVersion: 0,
    maxVersion: 1,
    readRequest: readIncrementalAlterConfigsRequest,
    writeResponse: writeIncrementalAlterConfigsResponse,
    errorResponse: ({ resources }, errorCode) => ({
      responses: failedAlterations(resources, errorCode),
    }),
    handle: async (_context, { resources, validateOnly }) => ({
      responses: await alterEach(resources, {
        topicAdmin,
        isTrial: validateOnly,
        allowsNull: ({ configOperation }) => configOperation === ConfigOperation.delete,
        change: (own, resource) =>
          changedConfigs(
            configs,
            own,
            resource.configs.map(({ name, value, configOperation: operation }) => ({
              ...{ name, value, operation },
            })),
          ),
      }),
    }),
  };
}
