/**
 * The last offset of each key, in bounded memory: keys as MD5 digests, like Apache Kafka's `SkimpyOffsetMap`, in an
 * open hash table with linear probing. A slot is six words: the digest's four, then the offset's upper 21 and lower
 * 32 bits, plus one, so that a slot of zeros is free.
 */

import { assert } from "../core/assert.ts";

const WORDS_PER_SLOT = 6;
const BYTES_PER_SLOT = WORDS_PER_SLOT * 4;
const OFFSET_HIGH = 4;
const OFFSET_LOW = 5;
/** Searches stay short while this much is used at most. */
const LOAD_MAX = 0.85;
const SLOT_COUNT_MIN = 16;
const WORD = 2 ** 32;
const NONE = -1;

/** For one partition at a time. */
export class KeyOffsetMap {
  /** The largest offset that the map knows of; what lies behind it is not looked up. */
  latestOffset = NONE;
  readonly #slotCount: number;
  readonly #sizeMax: number;
  readonly #words: Uint32Array;
  readonly #digest = new Uint8Array(16);
  readonly #digestWords = new Uint32Array(this.#digest.buffer);
  #size = 0;

  /** @param keyCountMax more keys will not come; `bytesMax` may let in fewer */
  constructor(keyCountMax: number, bytesMax: number) {
    const wanted = Math.max(SLOT_COUNT_MIN, Math.ceil(keyCountMax / LOAD_MAX) + 1);
    this.#slotCount = Math.min(wanted, Math.floor(bytesMax / BYTES_PER_SLOT));
    assert(this.#slotCount >= SLOT_COUNT_MIN, "a map has room");
    this.#sizeMax = Math.floor(this.#slotCount * LOAD_MAX);
    this.#words = new Uint32Array(this.#slotCount * WORDS_PER_SLOT);
  }

  /** How many keys it knows. */
  get size(): number {
    return this.#size;
  }

  /** @returns false if there is no room for another key; then nothing has changed */
  put(key: Uint8Array, offset: number): boolean {
    const at = this.#find(key);
    if (this.#isFree(at)) {
      if (this.#size === this.#sizeMax) return false;
      this.#size += 1;
      this.#words.set(this.#digestWords, at);
    }
    const stored = offset + 1;
    this.#words[at + OFFSET_HIGH] = Math.floor(stored / WORD);
    this.#words[at + OFFSET_LOW] = stored % WORD;
    return true;
  }

  /** -1 for a key that it does not know. */
  offsetOf(key: Uint8Array): number {
    const at = this.#find(key);
    return this.#isFree(at) ? NONE : this.#offsetAt(at);
  }

  /** Where the key is, or would be. */
  #find(key: Uint8Array): number {
    Bun.MD5.hash(key, this.#digest);
    const [first = 0, second = 0, third = 0, fourth = 0] = this.#digestWords;
    const words = this.#words;
    for (let slot = first % this.#slotCount; ; slot = (slot + 1) % this.#slotCount) {
      const at = slot * WORDS_PER_SLOT;
      if (this.#isFree(at)) return at;
      if (
        words[at] === first &&
        words[at + 1] === second &&
        words[at + 2] === third &&
        words[at + 3] === fourth
      ) {
        return at;
      }
    }
  }

  #isFree(at: number): boolean {
    return this.#words[at + OFFSET_HIGH] === 0 && this.#words[at + OFFSET_LOW] === 0;
  }

  #offsetAt(at: number): number {
    const high = this.#words[at + OFFSET_HIGH] ?? 0;
    return high * WORD + (this.#words[at + OFFSET_LOW] ?? 0) - 1;
  }
}
