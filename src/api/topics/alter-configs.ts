/**
 * AlterConfigs (key 33), versions 0 to 2: a topic's own configs become those of the request, and no others.
 *
 * Deviations from Kafka: the configs of a broker can't be changed while it runs; loggers, client metrics and groups
 * are refused.
 */

import type { TopicAdmin } from "../../meta/topic-admin.ts";
import {
  type AlterConfigsRequest,
  readAlterConfigsRequest,
} from "../../protocol/generated/alter-configs-request.ts";
import {
  type AlterConfigsResponseInput,
  writeAlterConfigsResponse,
} from "../../protocol/generated/alter-configs-response.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import type { Handler } from "../handler.ts";
import { alterEach, failedAlterations } from "./config-resource.ts";

export function createAlterConfigsHandler(
  topicAdmin: TopicAdmin,
): Handler<AlterConfigsRequest, AlterConfigsResponseInput> {
  return {
    apiKey: ApiKey.alterConfigs,
    minVersion: 0,
    maxVersion: 2,
    readRequest: readAlterConfigsRequest,
    writeResponse: writeAlterConfigsResponse,
    errorResponse: ({ resources }, errorCode) => ({
      responses: failedAlterations(resources, errorCode),
    }),
    handle: async (_context, { resources, validateOnly }) => ({
      responses: await alterEach(resources, {
        topicAdmin,
        isTrial: validateOnly,
        allowsNull: () => false,
        change: (_own, { configs }) =>
          Object.fromEntries(configs.map(({ name, value }) => [name, value ?? ""])),
      }),
    }),
  };
}
