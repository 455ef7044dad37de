/** How failures of the metadata store are told to the clients of a group. */

import { ErrorCode, errorCodeOf } from "../protocol/errors.ts";

/** What clients are told when the store refuses; they know these codes and try again. */
export function storeCodeOf(thrown: unknown): ErrorCode {
  const errorCode = errorCodeOf(thrown);
  switch (errorCode) {
    case ErrorCode.unknownTopicOrPartition:
    case ErrorCode.requestTimedOut:
      return ErrorCode.coordinatorNotAvailable;
    case ErrorCode.kafkaStorageError:
      return ErrorCode.notCoordinator;
    case ErrorCode.recordListTooLarge:
    case ErrorCode.messageTooLarge:
      return ErrorCode.unknownServerError;
    default:
      return errorCode;
  }
}
