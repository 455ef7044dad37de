/** Kafka's form of a UUID in text: its 16 bytes in base64url without padding, 22 characters. */

import { systemRandomBytes } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "./errors.ts";

/** The id that stands for "none". */
export const ZERO_UUID = "AAAAAAAAAAAAAAAAAAAAAA";

export const UUID_BYTES = 16;

const TEXT_LENGTH = 22;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
/** The six bits of each character; -1 for a character outside the alphabet. */
const VALUES = new Int8Array(128).fill(-1);
for (let value = 0; value < ALPHABET.length; value += 1) VALUES[ALPHABET.charCodeAt(value)] = value;

/** The code of the character for each six bits. */
const CODES = Uint8Array.from(ALPHABET, (character) => character.charCodeAt(0));
const text = Buffer.alloc(TEXT_LENGTH);

/** The text of the 16 bytes at `position`. By hand, because a `Buffer` over the bytes costs twice the time. */
export function uuidOf(bytes: Uint8Array, position: number): string {
  let target = 0;
  let source = position;
  for (; target < TEXT_LENGTH - 2; target += 4) {
    const bits =
      ((bytes[source] as number) << 16) |
      ((bytes[source + 1] as number) << 8) |
      (bytes[source + 2] as number);
    source += 3;
    text[target] = CODES[bits >> 18] as number;
    text[target + 1] = CODES[(bits >> 12) & 0x3f] as number;
    text[target + 2] = CODES[(bits >> 6) & 0x3f] as number;
    text[target + 3] = CODES[bits & 0x3f] as number;
  }
  const last = bytes[source] as number;
  text[target] = CODES[last >> 2] as number;
  text[target + 1] = CODES[(last & 3) << 4] as number;
  return text.toString("latin1");
}

/** Writes the 16 bytes of `uuid` at `position`. @throws KafkaError INVALID_REQUEST if it is none. */
export function setUuid(bytes: Uint8Array, position: number, uuid: string): void {
  if (uuid.length !== TEXT_LENGTH) refuse(uuid);
  let bits = 0;
  let bitCount = 0;
  let target = position;
  for (let index = 0; index < TEXT_LENGTH; index += 1) {
    const value = VALUES[uuid.charCodeAt(index)] ?? -1;
    if (value < 0) refuse(uuid);
    bits = ((bits << 6) | value) & 0xfff;
    bitCount += 6;
    if (bitCount >= 8) {
      bitCount -= 8;
      bytes[target] = (bits >> bitCount) & 0xff;
      target += 1;
    }
  }
}

/** The 16 bytes of `uuid`. @throws KafkaError INVALID_REQUEST if it is none. */
export function uuidBytes(uuid: string): Uint8Array {
  const bytes = new Uint8Array(UUID_BYTES);
  setUuid(bytes, 0, uuid);
  return bytes;
}

function refuse(uuid: string): never {
  throw new KafkaError(ErrorCode.invalidRequest, `"${uuid.slice(0, 40)}" is not a UUID.`);
}

/** A new id of chance. As in Apache Kafka it never begins with `-`, which command lines would misread. */
export function randomUuid(): string {
  for (;;) {
    const uuid = uuidOf(systemRandomBytes(UUID_BYTES), 0);
    if (!uuid.startsWith("-") && uuid !== ZERO_UUID) return uuid;
  }
}
