/**
 * Finds the first of many numbers that is large enough, from any place on, without looking at each: the maxima of
 * every 16 numbers, of every 16 of those, and so on. The numbers themselves stay with their owner.
 */

import { assert } from "../core/assert.ts";

const FANOUT = 16;

/** Maxima over `values[0, count)`, which the caller hands in each time and reports every change of. */
export class MaximumTree {
  /** Level i has one maximum for each `FANOUT ** (i + 1)` values. */
  #levels: Float64Array[] = [];
  #counts: number[] = [];

  get sizeBytes(): number {
    return this.#levels.reduce((sum, level) => sum + level.byteLength, 0);
  }

  /** To be called when `values[from, …)` or `count` changed; what is before `from` did not. */
  update(values: Float64Array, count: number, from: number): void {
    let children = values;
    let childCount = count;
    let first = from;
    let depth = 0;
    for (; childCount > FANOUT; depth += 1) {
      // A level that was not in use knows nothing.
      first = depth < this.#counts.length ? Math.floor(first / FANOUT) : 0;
      const parentCount = Math.ceil(childCount / FANOUT);
      const parents = this.#level(depth, parentCount);
      for (let parent = first; parent < parentCount; parent += 1) {
        const end = Math.min(childCount, (parent + 1) * FANOUT);
        let maximum = Number.NEGATIVE_INFINITY;
        for (let child = parent * FANOUT; child < end; child += 1) {
          maximum = Math.max(maximum, children[child] as number);
        }
        parents[parent] = maximum;
      }
      this.#counts[depth] = parentCount;
      children = parents;
      childCount = parentCount;
    }
    this.#levels.length = depth;
    this.#counts.length = depth;
  }

  /** The lowest index from `from` on whose value is at least `minimum`; -1 if there is none. */
  firstAtLeast(values: Float64Array, count: number, from: number, minimum: number): number {
    const top = this.#levels.length - 1;
    let index = from;
    let depth = -1;
    for (;;) {
      // At the start of a block its maximum says more than its first number.
      for (; depth < top && index % FANOUT === 0; depth += 1) index /= FANOUT;
      const numbers = depth < 0 ? values : (this.#levels[depth] as Float64Array);
      const numberCount = depth < 0 ? count : (this.#counts[depth] as number);
      const end = depth === top ? numberCount : Math.min(numberCount, blockEndOf(index));
      while (index < end && (numbers[index] as number) < minimum) index += 1;
      if (index < end) return this.#descend(values, index, depth, minimum);
      if (index >= numberCount) return -1;
    }
  }

  /** The largest value from `from` on; -Infinity if there is none. */
  maximum(values: Float64Array, count: number, from: number): number {
    const top = this.#levels.length - 1;
    let maximum = Number.NEGATIVE_INFINITY;
    let index = from;
    let depth = -1;
    for (;;) {
      for (; depth < top && index % FANOUT === 0; depth += 1) index /= FANOUT;
      const numbers = depth < 0 ? values : (this.#levels[depth] as Float64Array);
      const numberCount = depth < 0 ? count : (this.#counts[depth] as number);
      const end = depth === top ? numberCount : Math.min(numberCount, blockEndOf(index));
      for (; index < end; index += 1) maximum = Math.max(maximum, numbers[index] as number);
      if (index >= numberCount) return maximum;
    }
  }

  /** From a maximum that is large enough down to the first value that is. */
  #descend(values: Float64Array, at: number, fromDepth: number, minimum: number): number {
    let index = at;
    for (let depth = fromDepth; depth >= 0; depth -= 1) {
      const children = depth === 0 ? values : (this.#levels[depth - 1] as Float64Array);
      const end = (index + 1) * FANOUT;
      index *= FANOUT;
      while (index < end && (children[index] as number) < minimum) index += 1;
      assert(index < end, "a maximum is stale");
    }
    return index;
  }

  /** The maxima of a level, with room for `count`. */
  #level(depth: number, count: number): Float64Array {
    const level = this.#levels[depth];
    if (level !== undefined && level.length >= count) return level;
    const grown = new Float64Array(Math.ceil(count * 1.5));
    if (level !== undefined) grown.set(level);
    this.#levels[depth] = grown;
    return grown;
  }
}

/** Where the block of `index` ends. */
function blockEndOf(index: number): number {
  return (Math.floor(index / FANOUT) + 1) * FANOUT;
}
