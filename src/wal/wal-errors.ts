/** What can be wrong with a WAL on disk, each as one sentence for the one who runs the broker. */

import { ErrorCode, KafkaError } from "../protocol/errors.ts";

/** Durable bytes are not what was written. The broker must not start: it would lose or invent records. */
export class WalCorruptionError extends KafkaError {
  readonly path: string;
  /** In the file, in bytes. */
  readonly position: number;

  constructor(where: { readonly path: string; readonly position: number }, reason: string) {
    super(
      ErrorCode.kafkaStorageError,
      `The write-ahead log is corrupt at position ${where.position} of ${where.path}: ${reason}`,
    );
    this.path = where.path;
    this.position = where.position;
  }
}

/** The files were written by a later version of this program. */
export class WalVersionError extends KafkaError {
  constructor(path: string, version: number) {
    super(
      ErrorCode.kafkaStorageError,
      `${path} has format ${version}, of a newer version of this program. Use that version.`,
    );
  }
}

/** Appends are refused until files are freed; what is in the WAL stays readable. */
export class WalFullError extends KafkaError {
  constructor(reason: string) {
    super(ErrorCode.kafkaStorageError, reason);
  }
}

/** An address whose file has been freed. */
export class WalFreedError extends KafkaError {
  constructor(path: string) {
    super(ErrorCode.offsetOutOfRange, `${path} has been freed.`);
  }
}
