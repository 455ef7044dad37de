/**
 * InitProducerId (key 22), versions 0 to 5. Every idempotent producer gets an id that nobody ever had, with epoch 0.
 *
 * Deviations from Kafka: transactions are not served. A transactional id is answered UNSUPPORTED_VERSION, which
 * clients take as final (the Java client's message: "The version of API is not supported."); retriable codes would
 * make `initTransactions` hang, and authorization codes would send people after the wrong cause.
 */

import type { ProducerIds } from "../coordinator/producer-ids.ts";
import { ErrorCode } from "../protocol/errors.ts";
import { ApiKey } from "../protocol/generated/api-keys.ts";
import {
  type InitProducerIdRequest,
  readInitProducerIdRequest,
} from "../protocol/generated/init-producer-id-request.ts";
import {
  type InitProducerIdResponseInput,
  writeInitProducerIdResponse,
} from "../protocol/generated/init-producer-id-response.ts";
import type { Handler } from "./handler.ts";

/** In place of a producer id or epoch that is not there. */
const NONE = -1;

export function createInitProducerIdHandler(
  producerIds: ProducerIds,
): Handler<InitProducerIdRequest, InitProducerIdResponseInput> {
  return {
    apiKey: ApiKey.initProducerId,
    minVersion: 0,
    maxVersion: 5,
    readRequest: readInitProducerIdRequest,
    writeResponse: writeInitProducerIdResponse,
    handle: async (_context, request) => {
      const errorCode = refusalOf(request);
      if (errorCode !== ErrorCode.none) return refused(errorCode);
      // A producer that names its former id gets a new one all the same, as in Kafka.
      const producerId = await producerIds.next();
      return { errorCode, producerId, producerEpoch: 0 };
    },
    errorResponse: (_request, errorCode) => refused(retriable(errorCode)),
  };
}

function refusalOf({ transactionalId, producerId, producerEpoch }: InitProducerIdRequest) {
  if (transactionalId === "") return ErrorCode.invalidRequest;
  if ((producerId === NONE) !== (producerEpoch === NONE)) return ErrorCode.invalidRequest;
  return transactionalId === null ? ErrorCode.none : ErrorCode.unsupportedVersion;
}

function refused(errorCode: number): InitProducerIdResponseInput {
  return { errorCode, producerId: NONE, producerEpoch: NONE };
}

/** What Kafka answers while it can't get a block of ids: the client tries again, at this broker. */
function retriable(errorCode: number): number {
  return errorCode === ErrorCode.kafkaStorageError
    ? ErrorCode.coordinatorLoadInProgress
    : errorCode;
}
