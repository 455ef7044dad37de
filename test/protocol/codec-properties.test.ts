/** Every message in every version: what is written is read back, and bytes that are none are refused cleanly. */
import { expect, test } from "bun:test";
import fc from "fast-check";
import { KafkaError } from "../../src/protocol/errors.ts";
import { ALL_MESSAGES, type MessageCodec } from "../../src/protocol/generated/all-messages.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { EntropyReader } from "./entropy-reader.ts";

const RUNS_PER_VERSION = 12;
const ENTROPY_BYTES_MAX = 300;
/** Hostile values are tried at the first positions of a message; there its outer lengths are. */
const ATTACKED_POSITIONS_MAX = 48;
const HOSTILE = [
  [0x7f, 0xff, 0xff, 0xff],
  [0x80, 0x00, 0x00, 0x00],
  [0xff, 0xff, 0xff, 0xfe],
  [0xff, 0xff, 0xff, 0xff, 0x07],
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
] as const;

const writer = new Writer();

function versionsOf(codec: MessageCodec): number[] {
  const count = codec.maxVersion - codec.minVersion + 1;
  return Array.from({ length: count }, (_, index) => codec.minVersion + index);
}

function encoded(codec: MessageCodec, message: unknown, version: number): Uint8Array {
  writer.reset();
  codec.write(writer, message, version);
  return writer.bytesWritten().slice();
}

/** A message of middling size that is always the same. */
function sampleBytes(codec: MessageCodec, version: number): Uint8Array {
  const entropy = Uint8Array.from({ length: 80 }, (_, index) => (index * 37 + 1) % 251);
  return encoded(codec, codec.read(new EntropyReader(entropy), version), version);
}

/** Decodes `bytes`, which may be anything. Everything but a message and a `KafkaError` is a fault. */
function readAnything(codec: MessageCodec, version: number, bytes: Uint8Array): void {
  try {
    codec.read(new Reader(bytes), version);
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
  }
}

test.each(ALL_MESSAGES)("codec: $name survives a round trip in every version", (codec) => {
  for (const version of versionsOf(codec)) {
    const property = fc.property(fc.uint8Array({ maxLength: ENTROPY_BYTES_MAX }), (entropy) => {
      const message = codec.read(new EntropyReader(entropy), version);
      const bytes = encoded(codec, message, version);
      const reader = new Reader(bytes);
      const decoded = codec.read(reader, version);
      expect(reader.remaining).toBe(0);
      expect(decoded).toEqual(message);
      expect(encoded(codec, decoded, version)).toEqual(bytes);
    });
    fc.assert(property, { numRuns: RUNS_PER_VERSION });
  }
});

test.each(ALL_MESSAGES)("codec: $name cut at any byte is a KafkaError", (codec) => {
  for (const version of versionsOf(codec)) {
    const bytes = sampleBytes(codec, version);
    for (let length = 0; length < bytes.length; length += 1) {
      const cut = new Reader(bytes, 0, length);
      expect(() => codec.read(cut, version)).toThrow(KafkaError);
    }
  }
});

test.each(ALL_MESSAGES)("codec: $name with hostile lengths never fails otherwise", (codec) => {
  for (const version of versionsOf(codec)) {
    const bytes = sampleBytes(codec, version);
    const end = Math.min(bytes.length, ATTACKED_POSITIONS_MAX);
    for (const value of HOSTILE) {
      for (let position = 0; position < end; position += 1) {
        const attacked = bytes.slice();
        attacked.set(value.slice(0, attacked.length - position), position);
        readAnything(codec, version, attacked);
      }
    }
  }
});

test("codec: arbitrary bytes are a message or a KafkaError", () => {
  const anyCodec = fc.constantFrom(...ALL_MESSAGES);
  const property = fc.property(anyCodec, fc.uint8Array({ maxLength: 200 }), (codec, bytes) => {
    for (const version of versionsOf(codec)) readAnything(codec, version, bytes);
  });
  fc.assert(property, { numRuns: 2_000 });
});

test.each(ALL_MESSAGES)("codec: $name refuses versions that it does not have", (codec) => {
  for (const version of [codec.minVersion - 1, codec.maxVersion + 1, Number.NaN]) {
    expect(() => codec.read(new Reader(new Uint8Array(64)), version)).toThrow(KafkaError);
    expect(() => codec.write(writer, {}, version)).toThrow(KafkaError);
  }
});
