/**
 * ApiVersions (key 18), versions 0 to 4. The list is made from the table of handlers: what is not
 * there is not advertised.
 *
 * A version that we do not know is answered in version 0 with UNSUPPORTED_VERSION and the list, so
 * that a newer client can choose (KIP-511). Deviations from Kafka: no features are told.
 */

import { ErrorCode } from "../../protocol/errors.ts";
import { ApiKey } from "../../protocol/generated/api-keys.ts";
import {
  type ApiVersionsRequest,
  readApiVersionsRequest,
} from "../../protocol/generated/api-versions-request.ts";
import {
  type ApiVersionsResponseInput,
  writeApiVersionsResponse,
} from "../../protocol/generated/api-versions-response.ts";
import type { AnyHandler, Handler } from "../handler.ts";

const VERSION_MAX = 4;
/** First version in which clients name themselves. */
const CLIENT_SOFTWARE_VERSION = 3;
const SOFTWARE_NAME = /^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$/;

/** @param served all other handlers */
export function createApiVersionsHandler(
  served: readonly AnyHandler[],
): Handler<ApiVersionsRequest | undefined, ApiVersionsResponseInput> {
  const self = { apiKey: ApiKey.apiVersions, minVersion: 0, maxVersion: VERSION_MAX };
  const apiKeys = [...served, self]
    .map(({ apiKey, minVersion, maxVersion }) => ({ apiKey, minVersion, maxVersion }))
    .sort((a, b) => a.apiKey - b.apiKey);
  return {
    ...self,
    readRequest: readApiVersionsRequest,
    writeResponse: writeApiVersionsResponse,
    handle: (context, request) => {
      // The dispatcher does not decode a request of a version that is not known.
      if (request === undefined) return { errorCode: ErrorCode.unsupportedVersion, apiKeys };
      const isNamed = context.apiVersion >= CLIENT_SOFTWARE_VERSION;
      if (isNamed && !isNameValid(request)) {
        return { errorCode: ErrorCode.invalidRequest, apiKeys: [] };
      }
      return { errorCode: ErrorCode.none, apiKeys };
    },
  };
}

function isNameValid(request: ApiVersionsRequest): boolean {
  return (
    SOFTWARE_NAME.test(request.clientSoftwareName) &&
    SOFTWARE_NAME.test(request.clientSoftwareVersion)
  );
}
