/** What every generated codec shares: empty values and the refusals that have to do with versions. */

import { ErrorCode, KafkaError } from "./errors.ts";

/** The default of an array; shared, so never to be changed. */
export const EMPTY_ARRAY: readonly never[] = [];

/** The default of bytes. */
export const EMPTY_BYTES = new Uint8Array(0);

/** @throws KafkaError UNSUPPORTED_VERSION for a version outside `minVersion` to `maxVersion`. */
export function refuseVersion(message: string, version: number): never {
  throw new KafkaError(ErrorCode.unsupportedVersion, `${message} has no version ${version}.`);
}

/** @throws KafkaError UNSUPPORTED_VERSION: a value was given for a field that `version` cannot carry. */
export function refuseField(field: string, version: number): never {
  throw new KafkaError(
    ErrorCode.unsupportedVersion,
    `${field} cannot be sent in version ${version}.`,
  );
}

/** @throws KafkaError UNSUPPORTED_VERSION: a field is null in a version that cannot say so. */
export function refuseNull(field: string, version: number): never {
  throw new KafkaError(ErrorCode.unsupportedVersion, `${field} is null in version ${version}.`);
}
