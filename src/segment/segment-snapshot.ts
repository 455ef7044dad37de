/**
 * A walk over all segments that takes as long as it likes while segments come and go: it gives exactly those that
 * there were when it began, as they were. What is about to change is taken aside first.
 */

import type { SegmentFacts } from "./segment-facts.ts";

/** What is walked over. A slot has a segment or none. */
export interface SegmentSlots {
  readonly segmentCount: number;
  /** Exclusive. */
  readonly slotEnd: number;
  factsAt(slot: number): SegmentFacts | undefined;
}

/** Must be closed: until then each change costs a little more. */
export class SegmentSnapshot {
  /** Of all that it will have given. */
  readonly segmentCount: number;
  readonly #slots: SegmentSlots;
  readonly #onClose: () => void;
  readonly #slotEnd: number;
  #nextSlot = 0;
  /** Slots from `#nextSlot` on that are no longer as they were. */
  readonly #changedSlots = new Set<number>();
  #aside: SegmentFacts[] = [];

  constructor(slots: SegmentSlots, onClose: () => void) {
    this.#slots = slots;
    this.#onClose = onClose;
    this.#slotEnd = slots.slotEnd;
    this.segmentCount = slots.segmentCount;
  }

  /** The next segments, about as many as have `rangeCount` ranges together; none at the end. */
  take(rangeCount: number): readonly SegmentFacts[] {
    const taken = this.#aside;
    this.#aside = [];
    let count = taken.length;
    for (; count < rangeCount && this.#nextSlot < this.#slotEnd; this.#nextSlot += 1) {
      if (this.#changedSlots.delete(this.#nextSlot)) continue;
      const facts = this.#slots.factsAt(this.#nextSlot);
      if (facts === undefined) continue;
      taken.push(facts);
      count += Math.max(1, facts.ranges.length);
    }
    return taken;
  }

  /** To be called when a free slot has got a segment. */
  skip(slot: number): void {
    if (slot >= this.#nextSlot && slot < this.#slotEnd) this.#changedSlots.add(slot);
  }

  /** To be called before a segment changes or leaves its slot. */
  beforeChange(slot: number): void {
    if (slot < this.#nextSlot || slot >= this.#slotEnd || this.#changedSlots.has(slot)) return;
    this.skip(slot);
    const facts = this.#slots.factsAt(slot);
    if (facts !== undefined) this.#aside.push(facts);
  }

  close(): void {
    this.#onClose();
  }
}
