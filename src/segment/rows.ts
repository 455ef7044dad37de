/**
 * Rows of numbers in one piece of memory. A row is a fixed number of float64; where a field needs less, two uint32
 * take the place of one. All of a row lies together, so that reading it costs one or two trips to memory.
 */

const NUMBER_BYTES = 8;
const WORD_BYTES = 4;

/** A growing array of rows. Whoever owns it knows the fields. */
export class Rows {
  /** In float64 per row. */
  readonly #width: number;
  /** Field f of row i is `numbers[i * width + f]`. */
  numbers = new Float64Array(0);
  /** The same memory: word w of row i is `words[i * 2 * width + w]`. */
  words = new Uint32Array(0);

  constructor(width: number) {
    this.#width = width;
  }

  get capacity(): number {
    return this.numbers.length / this.#width;
  }

  get sizeBytes(): number {
    return this.numbers.byteLength;
  }

  /** Keeps the rows that fit. */
  resize(capacity: number): void {
    const numbers = resized(this.numbers, capacity * this.#width);
    this.#replace(numbers);
  }

  /** Moves the rows `[start, end)` so that they begin at `target`. */
  move(start: number, end: number, target: number): void {
    // As words: a float64 that is really two words must not be read as a number.
    const words = 2 * this.#width;
    this.words.copyWithin(target * words, start * words, end * words);
  }

  /** Puts row `order[i]` in the place of row i. */
  permute(order: Uint32Array): void {
    const words = 2 * this.#width;
    const source = this.words;
    this.#replace(new Float64Array(this.numbers.length));
    for (const [target, row] of order.entries()) {
      for (let word = 0; word < words; word += 1) {
        this.words[target * words + word] = source[row * words + word] as number;
      }
    }
  }

  #replace(numbers: Float64Array<ArrayBuffer>): void {
    this.numbers = numbers;
    this.words = new Uint32Array(numbers.buffer, 0, numbers.byteLength / WORD_BYTES);
  }
}

/** A copy with room for `length` numbers. */
export function resized(column: Float64Array, length: number): Float64Array<ArrayBuffer> {
  const buffer = new ArrayBuffer(length * NUMBER_BYTES);
  const kept = new Uint8Array(column.buffer, 0, Math.min(buffer.byteLength, column.byteLength));
  new Uint8Array(buffer).set(kept);
  return new Float64Array(buffer);
}
