/** Producer ids. They are taken from the store in blocks, so that none is given twice, restarts included. */

import type { MetaStore } from "../meta/meta-store.ts";

/** Ids per block; those that are left of one at a restart are never used. */
export const PRODUCER_ID_BLOCK_SIZE = 1_000;

export class ProducerIds {
  readonly #store: MetaStore;
  #next = 0;
  #end = 0;
  #allocating: Promise<void> | undefined;

  constructor(store: MetaStore) {
    this.#store = store;
  }

  /** An id that nobody has. @throws KafkaError KAFKA_STORAGE_ERROR */
  async next(): Promise<number> {
    while (this.#next === this.#end) {
      this.#allocating ??= this.#allocate();
      await this.#allocating;
    }
    const producerId = this.#next;
    this.#next += 1;
    return producerId;
  }

  async #allocate(): Promise<void> {
    try {
      const first = this.#store.nextProducerId;
      const nextProducerId = first + PRODUCER_ID_BLOCK_SIZE;
      await this.#store.commit({ kind: "producerIdsAllocated", nextProducerId });
      this.#next = first;
      this.#end = nextProducerId;
    } finally {
      this.#allocating = undefined;
    }
  }
}
