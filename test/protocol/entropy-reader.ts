/**
 * Makes up a message without knowing its fields: a `Reader` that answers every question of a codec from a
 * list of arbitrary bytes. When the bytes run out it answers with nothing (0, "", empty arrays), so fewer
 * bytes are smaller messages, and fast-check can shrink a failure.
 */
import { Reader, type UnknownTaggedField } from "../../src/protocol/reader.ts";

const STRINGS = [
  "",
  "a",
  "topic-1",
  "größe",
  "日本語",
  "🦊 fox",
  "\ufeffmark",
  "\u0000",
  "x".repeat(130),
];
const INT64_SAMPLES = [0, -1, 1, 2 ** 31, 2 ** 32, -(2 ** 32), 2 ** 53 - 1, -(2 ** 53) + 1];
/** Unknown tags start here, well above every tag that Kafka uses. */
const UNKNOWN_TAG_MIN = 100;
const KNOWN_TAG_END = 6;

/** Reads a random message out of `entropy`. */
export class EntropyReader extends Reader {
  readonly #entropy: Uint8Array;
  #next = 0;
  #unknownTag = UNKNOWN_TAG_MIN;

  constructor(entropy: Uint8Array) {
    super(new Uint8Array(0));
    this.#entropy = entropy;
  }

  override readInt8(): number {
    return (this.#byte() << 24) >> 24;
  }

  override readInt16(): number {
    return (this.readUint16() << 16) >> 16;
  }

  override readUint16(): number {
    return this.#byte() * 256 + this.#byte();
  }

  override readInt32(): number {
    return this.readUint32() | 0;
  }

  override readUint32(): number {
    return this.readUint16() * 65536 + this.readUint16();
  }

  override readInt64(): number {
    const choice = this.#byte();
    const sample = INT64_SAMPLES[choice % 16];
    return sample ?? this.readInt32() * 65536 + this.#byte();
  }

  override readInt64OrMax(): number {
    return this.#byte() % 2 === 0 ? 2 ** 63 : this.readInt64();
  }

  /** Never a whole number, which JSON would show as an integer. */
  override readFloat64(): number {
    return (this.readInt32() + 0.5) / 256;
  }

  override readBoolean(): boolean {
    return this.#byte() % 2 === 1;
  }

  override readUuid(): string {
    const first = this.#byte();
    const bytes = Uint8Array.from({ length: 16 }, () => (first === 0 ? 0 : this.#byte()));
    return Buffer.from(bytes).toString("base64url");
  }

  override readString(): string {
    return STRINGS[this.#byte() % STRINGS.length] ?? "";
  }

  override readNullableString(): string | null {
    return this.#isNull() ? null : this.readString();
  }

  override readBytes(): Uint8Array {
    return Uint8Array.from({ length: this.#byte() % 8 }, () => this.#byte());
  }

  override readNullableBytes(): Uint8Array | null {
    return this.#isNull() ? null : this.readBytes();
  }

  override readArrayLength(): number {
    return this.#byte() % 4;
  }

  override readNullableArrayLength(): number {
    return (this.#byte() % 5) - 1;
  }

  override readPresence(): boolean {
    return !this.#isNull();
  }

  override readTaggedFieldCount(): number {
    return this.#byte() % 4;
  }

  /** In generated code only tags are plain varints. */
  override readUnsignedVarint(): number {
    const choice = this.#byte() % (KNOWN_TAG_END + 2);
    if (choice < KNOWN_TAG_END) return choice;
    this.#unknownTag += 1;
    return this.#unknownTag;
  }

  override readTaggedFieldEnd(): number {
    return 0;
  }

  override endTaggedField(): void {
    // A made-up field has no size.
  }

  /** Gives a tag that is unknown in this version only a higher number, so that their order stays ascending. */
  override readUnknownTaggedField(
    tag: number,
    _end: number,
    fields: UnknownTaggedField[] | undefined,
  ): UnknownTaggedField[] {
    if (tag < UNKNOWN_TAG_MIN) this.#unknownTag += 1;
    const unknownTag = tag < UNKNOWN_TAG_MIN ? this.#unknownTag : tag;
    return [...(fields ?? []), { tag: unknownTag, bytes: this.readBytes() }];
  }

  #isNull(): boolean {
    return this.#byte() % 4 === 3;
  }

  #byte(): number {
    const byte = this.#entropy[this.#next] ?? 0;
    this.#next += 1;
    return byte;
  }
}
