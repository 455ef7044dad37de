/** A body that nobody has to keep: bytes that follow from their position, or bytes at hand, read by range. */

import type { RangeSource } from "../../src/segment/archive-source.ts";

export class PatternSource implements RangeSource {
  readonly name = "pattern";
  readonly #bytes: Uint8Array | undefined;
  readonly #sizeBytes: number;
  readonly #seed: number;
  #readBytesMax = 0;

  constructor(content: number | Uint8Array, { seed = 1 }: { readonly seed?: number } = {}) {
    this.#bytes = typeof content === "number" ? undefined : content;
    this.#sizeBytes = typeof content === "number" ? content : content.length;
    this.#seed = seed;
  }

  /** Of one read. */
  get readBytesMax(): number {
    return this.#readBytesMax;
  }

  async readRange(start: number, end: number): Promise<Uint8Array> {
    this.#readBytesMax = Math.max(this.#readBytesMax, end - start);
    if (this.#bytes !== undefined) return this.#bytes.slice(start, end);
    const words = new Uint32Array(Math.ceil((Math.min(end, this.#sizeBytes) - start) / 4) + 1);
    const first = start >>> 2;
    for (let i = 0; i < words.length; i += 1) {
      words[i] = Math.imul(first + i + this.#seed, 0x9e3779b1) ^ ((first + i) >>> 5);
    }
    const skipped = start & 3;
    const sizeBytes = Math.max(0, Math.min(end, this.#sizeBytes) - start);
    return new Uint8Array(words.buffer).slice(skipped, skipped + sizeBytes);
  }
}
