/** Kafka's error codes (source: https://kafka.apache.org/protocol, "Error Codes") and the error that carries one. */

import { AssertionError } from "../core/assert.ts";

/** Names are Kafka's in camelCase. */
export const ErrorCode = {
  unknownServerError: -1,
  none: 0,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopicOrPartition: 3,
  invalidFetchSize: 4,
  leaderNotAvailable: 5,
  notLeaderOrFollower: 6,
  requestTimedOut: 7,
  brokerNotAvailable: 8,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  staleControllerEpoch: 11,
  offsetMetadataTooLarge: 12,
  networkException: 13,
  coordinatorLoadInProgress: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  invalidTopicException: 17,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  invalidRequiredAcks: 21,
  illegalGeneration: 22,
  inconsistentGroupProtocol: 23,
  invalidGroupId: 24,
  unknownMemberId: 25,
  invalidSessionTimeout: 26,
  rebalanceInProgress: 27,
  invalidCommitOffsetSize: 28,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  invalidTimestamp: 32,
  unsupportedSaslMechanism: 33,
  illegalSaslState: 34,
  unsupportedVersion: 35,
  topicAlreadyExists: 36,
  invalidPartitions: 37,
  invalidReplicationFactor: 38,
  invalidReplicaAssignment: 39,
  invalidConfig: 40,
  notController: 41,
  invalidRequest: 42,
  unsupportedForMessageFormat: 43,
  policyViolation: 44,
  outOfOrderSequenceNumber: 45,
  duplicateSequenceNumber: 46,
  invalidProducerEpoch: 47,
  invalidTxnState: 48,
  invalidProducerIdMapping: 49,
  invalidTransactionTimeout: 50,
  concurrentTransactions: 51,
  transactionCoordinatorFenced: 52,
  transactionalIdAuthorizationFailed: 53,
  securityDisabled: 54,
  operationNotAttempted: 55,
  kafkaStorageError: 56,
  logDirNotFound: 57,
  saslAuthenticationFailed: 58,
  unknownProducerId: 59,
  reassignmentInProgress: 60,
  nonEmptyGroup: 68,
  groupIdNotFound: 69,
  fetchSessionIdNotFound: 70,
  invalidFetchSessionEpoch: 71,
  listenerNotFound: 72,
  topicDeletionDisabled: 73,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  unsupportedCompressionType: 76,
  staleBrokerEpoch: 77,
  offsetNotAvailable: 78,
  memberIdRequired: 79,
  preferredLeaderNotAvailable: 80,
  groupMaxSizeReached: 81,
  fencedInstanceId: 82,
  eligibleLeadersNotAvailable: 83,
  electionNotNeeded: 84,
  noReassignmentInProgress: 85,
  groupSubscribedToTopic: 86,
  invalidRecord: 87,
  unstableOffsetCommit: 88,
  throttlingQuotaExceeded: 89,
  producerFenced: 90,
  resourceNotFound: 91,
  duplicateResource: 92,
  unacceptableCredential: 93,
  unknownTopicId: 100,
  inconsistentTopicId: 103,
  fetchSessionTopicIdError: 106,
  fencedMemberEpoch: 110,
  unreleasedInstanceId: 111,
  unsupportedAssignor: 112,
  staleMemberEpoch: 113,
  mismatchedEndpointType: 114,
  unsupportedEndpointType: 115,
  invalidRegularExpression: 128,
} as const;

/** A number of `ErrorCode`, as it stands on the wire (int16). */
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** An operating error: of a peer's input, the disk or a setting. `message` is a sentence for the one who reads it. */
export class KafkaError extends Error {
  override readonly name = "KafkaError";
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The code to put on the wire for `thrown`. A broken invariant is the connection's to report. */
export function errorCodeOf(thrown: unknown): ErrorCode {
  if (thrown instanceof AssertionError) throw thrown;
  return thrown instanceof KafkaError ? thrown.code : ErrorCode.unknownServerError;
}
