/**
 * The payload of a version 1 entry: one record, written field by field. Read, never written by the broker.
 *
 *    0 offset i64   8 timestampMs i64   16 key   value   headerCount i32   each header: key   value
 *
 * Keys, values and header keys are an int32 length (-1 = null, not for header keys) and that many bytes.
 * Integers are big-endian.
 */

import { readInt32At, readInt64At, writeInt32At, writeInt64At } from "../protocol/big-endian.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { batchOfLegacyRecord, type LegacyRecord } from "../protocol/legacy-record.ts";

/** The record of a version 1 payload as a batch of one. @throws KafkaError if it is cut short. */
export function batchOfLegacyPayload(payload: Uint8Array): Uint8Array {
  return batchOfLegacyRecord(decodeLegacyPayload(payload));
}

/** The fields of a version 1 payload; keys and values are views. @throws KafkaError if it is cut short. */
function decodeLegacyPayload(payload: Uint8Array): LegacyRecord {
  if (payload.length < 16) throw cutShort();
  let position = 16;
  const readLength = (): number => {
    if (position + 4 > payload.length) throw cutShort();
    const length = readInt32At(payload, position);
    position += 4;
    return length;
  };
  const readBytes = (): Uint8Array | null => {
    const length = readLength();
    if (length === -1) return null;
    if (length < 0 || position + length > payload.length) throw cutShort();
    position += length;
    return payload.subarray(position - length, position);
  };
  const key = readBytes();
  const value = readBytes();
  const headers: LegacyRecord["headers"][number][] = [];
  for (let left = readLength(); left > 0; left -= 1) {
    const headerKey = readBytes();
    if (headerKey === null) throw cutShort();
    headers.push({ key: headerKey, value: readBytes() });
  }
  const [offset, timestampMs] = [readInt64At(payload, 0), readInt64At(payload, 8)];
  return { offset, timestampMs, key, value, headers };
}

/** The version 1 payload of a record; for the tests that keep the format readable. */
export function encodeLegacyPayload(record: LegacyRecord): Uint8Array {
  const parts: Uint8Array[] = [];
  const pushBytes = (bytes: Uint8Array | null): void => {
    const length = new Uint8Array(4);
    writeInt32At(length, 0, bytes?.length ?? -1);
    parts.push(length, bytes ?? new Uint8Array(0));
  };
  const start = new Uint8Array(16);
  writeInt64At(start, 0, record.offset);
  writeInt64At(start, 8, record.timestampMs);
  pushBytes(record.key);
  pushBytes(record.value);
  const headerCount = new Uint8Array(4);
  writeInt32At(headerCount, 0, record.headers.length);
  parts.push(headerCount);
  for (const header of record.headers) {
    pushBytes(header.key);
    pushBytes(header.value);
  }
  return Buffer.concat([start, ...parts]);
}

function cutShort(): KafkaError {
  return new KafkaError(ErrorCode.corruptMessage, "A legacy record in the WAL is cut short.");
}
