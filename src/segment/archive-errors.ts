/** What can be wrong with an archive, each as one sentence for the one who runs the broker. */

import { ErrorCode, KafkaError } from "../protocol/errors.ts";

/** An archive, by what people call it: the path of a file or the key of an object. */
export interface ArchivePlace {
  readonly name: string;
  /** In the archive, in bytes. */
  readonly position: number;
}

/** The bytes are not those that were written. Nothing of them is handed out. */
export class ArchiveCorruptionError extends KafkaError {
  readonly place: ArchivePlace;

  constructor(place: ArchivePlace, reason: string, options?: ErrorOptions) {
    super(
      ErrorCode.kafkaStorageError,
      `The archive ${place.name} is corrupt at position ${place.position}: ${reason}`,
      options,
    );
    this.place = place;
  }
}

/** The archive was written by a later version of this program. */
export class ArchiveVersionError extends KafkaError {
  constructor(name: string, version: number) {
    super(
      ErrorCode.kafkaStorageError,
      `The archive ${name} has format ${version}, of a newer version of this program. Use that version.`,
    );
  }
}
