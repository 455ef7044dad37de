/**
 * Checks the records of a batch that a client wants to append, uncompressed or after decompression,
 * without allocating anything as long as they are in order.
 *
 * Follows Apache Kafka's LogValidator. Stricter in one thing: offset deltas must count 0, 1, 2, … in
 * uncompressed batches too, where Kafka looks at compressed ones only.
 */

import { ErrorCode, KafkaError } from "./errors.ts";
import { RecordCursor } from "./record.ts";
import { type BatchHeader, NO_TIMESTAMP_MS } from "./record-batch.ts";

/** What a topic demands of records. */
export interface RecordRules {
  /** Bounds of create times, both inclusive. A record without a timestamp passes. */
  readonly timestampMsMin: number;
  readonly timestampMsMax: number;
  /** A compacted topic takes no record without a key. */
  readonly isKeyRequired: boolean;
}

/** No demands beyond the format. */
export const NO_RECORD_RULES: RecordRules = {
  timestampMsMin: Number.MIN_SAFE_INTEGER,
  timestampMsMax: Number.MAX_SAFE_INTEGER,
  isKeyRequired: false,
};

/** Why one record was refused; the shape Produce v8 and later answer with. */
export interface RecordFault {
  /** 0-based place of the record in its batch. */
  readonly batchIndex: number;
  readonly message: string;
}

/** A batch is refused because of some of its records. */
export class RecordValidationError extends KafkaError {
  readonly recordFaults: readonly RecordFault[];

  constructor(code: ErrorCode, recordFaults: readonly RecordFault[]) {
    super(code, recordFaults[0]?.message ?? "Some records are invalid.");
    this.recordFaults = recordFaults;
  }
}

/** Faults told of one batch; a client needs no more to see its mistake. */
const RECORD_FAULTS_LIMIT = 100;

/** One walk at a time: `validateRecords` neither waits nor calls itself. */
const cursor = new RecordCursor(new Uint8Array(0), 0);

/**
 * Checks the uncompressed records of the batch with `header` that fill `records` from `start` to `end`.
 *
 * @returns the greatest timestamp of them (-1 if none has one), which the batch's header must hold: see
 *   `setMaxTimestampAndCrc` for when it does not.
 * @throws KafkaError INVALID_RECORD if they are not `header.recordCount` well-formed records;
 *   RecordValidationError INVALID_RECORD or INVALID_TIMESTAMP if some break `rules` or offset order.
 */
export function validateRecords(
  records: Uint8Array,
  start: number,
  end: number,
  header: BatchHeader,
  rules: RecordRules = NO_RECORD_RULES,
): number {
  try {
    cursor.reset(records, header.recordCount, start, end);
    const timestampMsMax = timestampMsMaxOf(header, rules);
    if (timestampMsMax !== undefined) return timestampMsMax;
    cursor.reset(records, header.recordCount, start, end);
    throw faultsOf(header, rules);
  } finally {
    cursor.release();
  }
}

/** The greatest timestamp, or undefined if a record is faulty. */
function timestampMsMaxOf(header: BatchHeader, rules: RecordRules): number | undefined {
  let timestampMsMax = NO_TIMESTAMP_MS;
  let isFaulty = false;
  for (let index = 0; cursor.next(); index += 1) {
    while (cursor.nextHeader());
    const timestampMs = header.baseTimestampMs + cursor.timestampDelta;
    if (timestampMs > timestampMsMax) timestampMsMax = timestampMs;
    if (
      cursor.offsetDelta !== index ||
      (timestampMs < rules.timestampMsMin && timestampMs !== NO_TIMESTAMP_MS) ||
      timestampMs > rules.timestampMsMax ||
      (rules.isKeyRequired && cursor.keyStart < 0)
    ) {
      isFaulty = true;
    }
  }
  return isFaulty ? undefined : timestampMsMax;
}

/** A second walk, to tell each faulty record apart. The code is that of the first. */
function faultsOf(header: BatchHeader, rules: RecordRules): RecordValidationError {
  const faults: RecordFault[] = [];
  let code: ErrorCode = ErrorCode.invalidRecord;
  for (let batchIndex = 0; faults.length < RECORD_FAULTS_LIMIT && cursor.next(); batchIndex += 1) {
    const timestampMs = header.baseTimestampMs + cursor.timestampDelta;
    if (rules.isKeyRequired && cursor.keyStart < 0) {
      faults.push({ batchIndex, message: "A compacted topic takes no record without a key." });
    } else if (
      timestampMs !== NO_TIMESTAMP_MS &&
      (timestampMs < rules.timestampMsMin || timestampMs > rules.timestampMsMax)
    ) {
      if (faults.length === 0) code = ErrorCode.invalidTimestamp;
      const range = `${rules.timestampMsMin} to ${rules.timestampMsMax}`;
      faults.push({ batchIndex, message: `The timestamp ${timestampMs} is not within ${range}.` });
    } else if (cursor.offsetDelta !== batchIndex) {
      faults.push({ batchIndex, message: "Offset deltas must count from 0 without a gap." });
    }
  }
  return new RecordValidationError(code, faults);
}
