/**
 * The parts of the search index in the order of the WAL: each covers a range that begins where the one before
 * ends. Frozen ones are on disk; at most one full one in memory is being frozen; the live one is being filled.
 *
 * When the live one's Worker dies, its index stands in for what comes behind the full one, until the next Worker
 * has made that anew. So each record is in exactly one of `generations()` at any time, and none that was
 * found is lost.
 *
 * What lies before the floor is found in segments, what lies behind it in the chain. There may be gaps: what the WAL
 * no longer had when its turn came; it is in no index until its segments have theirs.
 */

import type { WalAddress } from "../wal/wal-address.ts";
import type { AddressRange, GenerationFacts, LoadedGeneration } from "./indexer-messages.ts";
import type { SearchedGeneration } from "./search-plan.ts";

/** A part of the index that is still in memory. */
export interface MemoryGeneration extends SearchedGeneration {
  readonly indexNumber: number;
  readonly startAddress: WalAddress;
  /** Of what is committed. */
  endAddress: WalAddress;
  documentCount: number;
  sizeBytes: number;
  readonly topicIds: Set<string>;
}

/** What is given up: ranges whose files are to be removed, indexes that are to be closed. */
export interface RemovedGenerations {
  readonly ranges: readonly AddressRange[];
  readonly indexNumbers: readonly number[];
}

/** State without effects: the indexer acts on what it answers. */
export class GenerationChain {
  #floorAddress: WalAddress = 0;
  #frozen: LoadedGeneration[] = [];
  #sealing: MemoryGeneration | undefined;
  #live: MemoryGeneration | undefined;
  #standIn: MemoryGeneration | undefined;

  /** Whether a full generation is being frozen. */
  get isSealing(): boolean {
    return this.#sealing !== undefined;
  }

  get frozen(): readonly LoadedGeneration[] {
    return this.#frozen;
  }

  /** Exclusive end of what is found in segments. */
  get floorAddress(): WalAddress {
    return this.#floorAddress;
  }

  /** Where the live generation begins, or would. */
  get liveStartAddress(): WalAddress {
    const last = this.#sealing ?? this.#frozen.at(-1);
    return this.#live?.startAddress ?? Math.max(last?.endAddress ?? 0, this.#floorAddress);
  }

  /** The WAL is read again from here on if the Worker, or the process, dies. */
  get neededAddress(): WalAddress {
    return this.#sealing?.startAddress ?? this.liveStartAddress;
  }

  /** Exclusive end of what the chain, without a stand-in, has made searchable. */
  get endAddress(): WalAddress {
    return this.#live?.endAddress ?? this.liveStartAddress;
  }

  /** Bytes of the indexes in memory. */
  get memoryBytes(): number {
    return this.#inMemory().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  }

  /** What a search has to look into. */
  generations(): readonly SearchedGeneration[] {
    const memory = [this.#sealing, this.#live].filter((generation) => generation !== undefined);
    const chain = [...this.#frozen, ...memory];
    const standIn = this.#standIn;
    if (standIn === undefined) return chain;
    return [...chain.filter(({ endAddress }) => endAddress <= standIn.startAddress), standIn];
  }

  /** What was found on disk at start. A generation that reaches over the floor pulls it down. */
  load(frozen: readonly LoadedGeneration[], floorAddress: WalAddress): void {
    this.#frozen = [...frozen];
    this.#floorAddress = Math.min(floorAddress, frozen[0]?.startAddress ?? floorAddress);
  }

  /**
   * Exclusive end of what frozen generations cover from the floor on without a gap, at most `endAddress`;
   * undefined if one of them, or one in memory, reaches over `endAddress`.
   */
  coveredEnd(endAddress: WalAddress): WalAddress | undefined {
    const reachesOver = (range: AddressRange) =>
      range.startAddress < endAddress && range.endAddress > endAddress;
    const parts = [...this.#frozen, ...this.#inMemory()];
    if (parts.some(reachesOver)) return undefined;
    let end = this.#floorAddress;
    for (const range of this.#frozen) {
      if (range.startAddress <= end && range.endAddress <= endAddress) end = range.endAddress;
    }
    return Math.max(end, this.#floorAddress);
  }

  /** From now on segments have what lies before `address`. No generation reaches over it. */
  raiseFloor(address: WalAddress): RemovedGenerations {
    this.#floorAddress = Math.max(this.#floorAddress, address);
    const isDone = ({ endAddress }: AddressRange) => endAddress <= this.#floorAddress;
    const removed = this.#frozen.filter(isDone);
    this.#frozen = this.#frozen.filter((generation) => !isDone(generation));
    const indexNumbers = removed.flatMap(({ indexNumber }) => indexNumber ?? []);
    if (this.#standIn !== undefined && isDone(this.#standIn)) {
      indexNumbers.push(this.#standIn.indexNumber);
      this.#standIn = undefined;
    }
    return { ranges: removed.map(rangeOf), indexNumbers };
  }

  /** The live generation begins. */
  begin(indexNumber: number, startAddress: WalAddress): void {
    this.#live = {
      indexNumber,
      startAddress,
      endAddress: startAddress,
      documentCount: 0,
      sizeBytes: 0,
      topicIds: new Set(),
    };
  }

  /** The live generation is about to get records of these topics. */
  addTopics(topicIds: readonly string[]): void {
    for (const topicId of topicIds) this.#live?.topicIds.add(topicId);
  }

  /**
   * More of the live generation is searchable.
   * @returns how many records more; and the stand-in's index if it is not needed any more
   */
  commit(facts: Pick<GenerationFacts, "endAddress" | "documentCount" | "sizeBytes">): {
    readonly recordCount: number;
    readonly closed: number | undefined;
  } {
    const live = this.#live;
    if (live === undefined) return { recordCount: 0, closed: undefined };
    const recordCount = facts.documentCount - live.documentCount;
    live.endAddress = facts.endAddress;
    live.documentCount = facts.documentCount;
    live.sizeBytes = facts.sizeBytes;
    const standIn = this.#standIn;
    if (standIn === undefined || live.endAddress < standIn.endAddress) {
      return { recordCount, closed: undefined };
    }
    this.#standIn = undefined;
    return { recordCount, closed: standIn.indexNumber };
  }

  /** The live generation is full. @returns it, to be frozen */
  seal(): MemoryGeneration | undefined {
    this.#sealing = this.#live;
    this.#live = undefined;
    return this.#sealing;
  }

  /** `full` is on disk now. @returns false if the chain was cut before it meanwhile */
  freeze(full: MemoryGeneration, frozen: LoadedGeneration): boolean {
    if (this.#sealing !== full) return false;
    this.#frozen.push(frozen);
    this.#sealing = undefined;
    return true;
  }

  /** The live generation gets no more records. @returns its index if nothing is to be found in it */
  orphan(): number | undefined {
    const dead = this.#live;
    this.#live = undefined;
    if (dead === undefined) return undefined;
    if (this.#standIn !== undefined || dead.documentCount === 0) return dead.indexNumber;
    this.#standIn = dead;
    return undefined;
  }

  /** Gives up `generation` and everything behind it. */
  cutFrom(generation: LoadedGeneration): RemovedGenerations {
    const index = this.#frozen.indexOf(generation);
    if (index < 0) return { ranges: [], indexNumbers: [] };
    const removed = this.#frozen.splice(index);
    const indexNumbers = [...removed, ...this.#inMemory()].flatMap((one) => one.indexNumber ?? []);
    this.#sealing = undefined;
    this.#live = undefined;
    this.#standIn = undefined;
    return { ranges: removed.map(rangeOf), indexNumbers };
  }

  /** Every index that is open. */
  indexNumbers(): number[] {
    return [...this.#frozen, ...this.#inMemory()].flatMap(({ indexNumber }) => indexNumber ?? []);
  }

  #inMemory(): MemoryGeneration[] {
    return [this.#sealing, this.#live, this.#standIn].filter((one) => one !== undefined);
  }
}

/** The range alone. */
export function rangeOf({ startAddress, endAddress }: AddressRange): AddressRange {
  return { startAddress, endAddress };
}

/** What is known of a generation in memory. */
export function factsOf(generation: MemoryGeneration): GenerationFacts {
  const { startAddress, endAddress, documentCount, sizeBytes, topicIds } = generation;
  return { startAddress, endAddress, documentCount, sizeBytes, topicIds: [...topicIds] };
}
