/**
 * Gives registered segments their search indexes, seal by seal in the order of the WAL: made from the frozen
 * generations that cover the seal, or from the segment's batches where the WAL was gone too early. When all segments
 * of a seal have theirs, the chain's floor rises over it: at once the records are found in the segments and no
 * longer in the generations.
 *
 * A segment without a record of an indexed topic needs no index, and is not waited for. When one of its topics is
 * indexed later, it gets one from its batches.
 *
 * A segment is searched if it has an index and ends at or before the floor, so each record is in one searched
 * index, also while segments are merged. One whose index turns out to be damaged gets another from its batches;
 * searches say until then that they lack it.
 */

import { eachAtATime } from "../core/lanes.ts";
import type { SegmentFacts, TimeRange } from "../segment/segment-facts.ts";
import { goneIdsOf, type SegmentsChange } from "../segment/segments-change.ts";
import type { WalAddress } from "../wal/wal-address.ts";
import { DamagedIndexes, type IndexDamage } from "./damaged-indexes.ts";
import type { AddressRange } from "./indexer-messages.ts";
import type { SearchedGeneration } from "./search-plan.ts";
import type { SegmentIndexingOptions } from "./segment-indexing-options.ts";

/** A seal whose segments can get their indexes now. */
interface ReadySeal {
  readonly endAddress: WalAddress;
  /** Whether the generations have all of it. */
  readonly isCovered: boolean;
}

interface IndexedSegment {
  readonly lengthBytes: number;
  readonly endAddress: WalAddress;
  readonly times: TimeRange | null;
  /** Of which it has batches, by topic id; found out when first asked for. */
  partitions: ReadonlyMap<string, readonly number[]> | undefined;
}

/** A search index that is in its segment's archive and not registered yet. */
interface MadeIndex {
  readonly facts: SegmentFacts;
  readonly elapsedMs: number;
  /** Made from the segment's batches. */
  readonly isRead: boolean;
}

/** After a failure, which the disk may have caused. */
const RETRY_MS = 10_000;

/** Owns which segments lack an index, and the chain's floor. */
export class SegmentIndexing {
  readonly #options: SegmentIndexingOptions;
  /** Where seals end, ascending, behind the floor. */
  #sealEnds: WalAddress[] = [];
  /** Segments without an index that are to get one. */
  readonly #pending = new Map<string, AddressRange>();
  /** Segments without an index, of whose topics none is indexed. */
  readonly #unwanted = new Set<string>();
  /** The pending ones, and those that are as they were sealed; behind the floor. */
  readonly #unmerged = new Map<string, AddressRange>();
  readonly #indexed = new Map<string, IndexedSegment>();
  readonly #damaged = new DamagedIndexes();
  /** Segments whose index can't be made from generations. */
  readonly #unfrozen = new Set<string>();
  #isWorking = false;
  #isDue = false;
  #isStopped = false;

  constructor(options: SegmentIndexingOptions) {
    this.#options = options;
    const ends = new Set<WalAddress>();
    for (const facts of options.segments.index.segments()) {
      this.#take(facts);
      ends.add(facts.endAddress);
    }
    this.#sealEnds = [...ends].sort((one, other) => one - other);
  }

  /** How many segments wait for their index. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  /** Up to here every segment has its index. */
  get indexedEnd(): WalAddress {
    const firstEnd = Math.min(...[...this.#pending.values()].map(({ endAddress }) => endAddress));
    return this.#sealEnds.findLast((end) => end < firstEnd) ?? 0;
  }

  /** Where the seal ends that `address` lies in the middle of; `address` itself if it is between seals. */
  sealEndFrom(address: WalAddress): WalAddress {
    let found = address;
    for (const { startAddress, endAddress } of this.#unmerged.values()) {
      if (startAddress < address && endAddress > found) found = endAddress;
    }
    return found;
  }

  /** Ends of seals behind `address`. */
  sealEndsAfter(address: WalAddress): readonly WalAddress[] {
    return this.#sealEnds.filter((end) => end > address);
  }

  /** Segments were registered, or went. */
  changed(change: SegmentsChange): void {
    for (const segmentId of goneIdsOf(change)) {
      this.#forget(segmentId);
      this.#unmerged.delete(segmentId);
      this.#unfrozen.delete(segmentId);
      this.#damaged.delete(segmentId);
    }
    for (const facts of change.added) {
      // A change that came too late was not applied.
      if (this.#options.segments.index.segment(facts.segmentId) === undefined) continue;
      this.#take(facts);
      this.#addSealEnd(facts.endAddress);
    }
    this.advance();
  }

  /** The topic's records are to be found from now on, or no longer. Nothing is done about it before `advance`. */
  topicSwitched(topicId: string): void {
    const { segments, topics } = this.#options;
    for (const segmentId of [...this.#pending.keys(), ...this.#unwanted]) {
      const facts = segments.index.segment(segmentId);
      if (!facts?.ranges.some((range) => range.topicId === topicId)) continue;
      this.#take(facts);
      // Generations lack what came while it was not indexed.
      if (topics.has(topicId)) this.#unfrozen.add(segmentId);
    }
  }

  /** A search could not read an index: it is made anew. */
  indexDamaged(damage: IndexDamage): void {
    const { segmentId, lengthBytes, reason } = damage;
    const { clock, logger } = this.#options;
    // It is gone, or has another one by now.
    if (this.#indexed.get(segmentId)?.lengthBytes !== lengthBytes) return;
    if (!this.#damaged.add(damage, clock.monotonicMs())) return;
    logger.error("segment_index_damaged", { segmentId, reason });
    this.advance();
  }

  /** Does what can be done now; call it when there is another frozen generation. */
  advance(): void {
    this.#isDue = true;
    if (this.#isWorking || this.#isStopped) return;
    this.#isWorking = true;
    // It never rejects.
    void this.#work();
  }

  stop(): void {
    this.#isStopped = true;
  }

  /** The segments that a search looks into. */
  *searched(): Generator<SearchedGeneration> {
    const { segments, chain } = this.#options;
    for (const [segmentId, indexed] of this.#indexed) {
      const { endAddress, lengthBytes, times } = indexed;
      if (endAddress > chain.floorAddress || segments.index.liveBytes(segmentId) === 0) continue;
      indexed.partitions ??= partitionsOf(segments.index.segment(segmentId));
      const { partitions } = indexed;
      const segment = { segmentId, path: segments.pathOf(segmentId), lengthBytes };
      const damage = this.#damaged.reasonOf(segmentId);
      yield {
        indexNumber: undefined,
        segment,
        topicIds: partitions.keys(),
        partitions,
        times,
        damage,
      };
    }
  }

  #take({
    segmentId,
    level,
    startAddress,
    endAddress,
    lengthBytes,
    searchIndex,
  }: Omit<SegmentFacts, "ranges">): void {
    if (this.#indexed.get(segmentId)?.lengthBytes !== lengthBytes) this.#damaged.delete(segmentId);
    this.#forget(segmentId);
    const isPending = searchIndex === null && this.#hasIndexedTopic(segmentId);
    if (isPending || level === 0) this.#unmerged.set(segmentId, { startAddress, endAddress });
    if (isPending) this.#pending.set(segmentId, { startAddress, endAddress });
    else if (searchIndex === null) this.#unwanted.add(segmentId);
    else if (searchIndex.documentCount > 0) {
      const { times } = searchIndex;
      this.#indexed.set(segmentId, { lengthBytes, endAddress, times, partitions: undefined });
    }
  }

  #forget(segmentId: string): void {
    this.#pending.delete(segmentId);
    this.#unwanted.delete(segmentId);
    this.#indexed.delete(segmentId);
  }

  #hasIndexedTopic(segmentId: string): boolean {
    const { segments, topics } = this.#options;
    const facts = segments.index.segment(segmentId);
    return facts?.ranges.some(({ topicId }) => topics.has(topicId)) ?? false;
  }

  #addSealEnd(end: WalAddress): void {
    if (end <= this.#options.chain.floorAddress || this.#sealEnds.includes(end)) return;
    this.#sealEnds.push(end);
    this.#sealEnds.sort((one, other) => one - other);
  }

  async #work(): Promise<void> {
    const { clock, logger } = this.#options;
    try {
      while (this.#isDue && !this.#isStopped) {
        this.#isDue = false;
        while (!this.#isStopped && (await this.#step()));
      }
      this.#isWorking = false;
    } catch (thrown) {
      logger.error("segment_not_indexed", { reason: String(thrown), retryInMs: RETRY_MS });
      clock.after(RETRY_MS, () => {
        this.#isWorking = false;
        this.advance();
      });
    }
  }

  /** @returns whether something was done */
  async #step(): Promise<boolean> {
    const { chain, drop } = this.#options;
    const { floorAddress } = chain;
    if (this.#pendingUpTo(floorAddress).length > 0) {
      return await this.#indexUpTo(floorAddress, undefined);
    }
    const seal = this.#readySeal();
    if (seal === undefined) return await this.#repairOne();
    const { endAddress, isCovered } = seal;
    const numbers = chain.frozen
      .filter((generation) => generation.endAddress <= endAddress)
      .flatMap(({ indexNumber }) => indexNumber ?? []);
    // All of a seal at once: what is merged then lies before the floor.
    if (!(await this.#indexUpTo(endAddress, isCovered ? numbers : undefined))) return false;
    // More of it came meanwhile.
    if (this.#pendingUpTo(endAddress).length > 0) return true;
    drop(chain.raiseFloor(endAddress));
    this.#sealEnds = this.#sealEnds.filter((end) => end > endAddress);
    for (const [segmentId, range] of this.#unmerged) {
      if (range.endAddress <= endAddress) this.#unmerged.delete(segmentId);
    }
    return true;
  }

  /** @returns whether there was a damaged index to be made anew */
  async #repairOne(): Promise<boolean> {
    const { clock, logger, segments } = this.#options;
    const segmentId = this.#damaged.due(clock.monotonicMs());
    if (segmentId === undefined) return false;
    const unpin = segments.pin(segmentId);
    try {
      const made = await this.#indexSegment(segmentId, undefined);
      if (this.#isStopped) return false;
      await this.#register(made);
      // Also where nothing was to be registered: the segment is gone.
      this.#damaged.delete(segmentId);
    } catch (thrown) {
      const retryInMs = this.#damaged.putOff(segmentId, clock.monotonicMs());
      logger.error("segment_index_not_repaired", { segmentId, reason: String(thrown), retryInMs });
      clock.after(retryInMs, () => this.advance());
    } finally {
      unpin();
    }
    return true;
  }

  #pendingUpTo(address: WalAddress): string[] {
    return [...this.#pending].flatMap(([segmentId, { endAddress }]) =>
      endAddress <= address ? [segmentId] : [],
    );
  }

  /** @returns whether all is registered; else the broker stops */
  async #indexUpTo(
    address: WalAddress,
    indexNumbers: readonly number[] | undefined,
  ): Promise<boolean> {
    const { chain, keepers, segments } = this.#options;
    const indexed: MadeIndex[] = [];
    const unpins: (() => void)[] = [];
    try {
      const isStopped = () => this.#isStopped;
      const lanes = { laneCount: keepers.size, isStopped };
      await eachAtATime(this.#pendingUpTo(address), lanes, async (segmentId) => {
        const isInChain = (this.#pending.get(segmentId)?.startAddress ?? 0) >= chain.floorAddress;
        const isUsable = isInChain && !this.#unfrozen.has(segmentId);
        unpins.push(segments.pin(segmentId));
        indexed.push(...(await this.#indexSegment(segmentId, isUsable ? indexNumbers : undefined)));
      });
      if (this.#isStopped) return false;
      await this.#register(indexed);
      return true;
    } finally {
      for (const unpin of unpins) unpin();
    }
  }

  async #register(indexed: readonly MadeIndex[]): Promise<void> {
    const { segments, logger } = this.#options;
    if (indexed.length > 0) await segments.registerIndexes(indexed.map(({ facts }) => facts));
    for (const { facts, ...made } of indexed) {
      const { segmentId, searchIndex } = facts;
      const { documentCount = 0, sizeBytes = 0 } = searchIndex ?? {};
      logger.info("segment_indexed", { segmentId, documentCount, sizeBytes, ...made });
    }
  }

  #readySeal(): ReadySeal | undefined {
    const { chain, liveStartAddress } = this.#options;
    for (const endAddress of this.#sealEnds) {
      if (endAddress <= chain.floorAddress || this.#isReachedOver(endAddress)) continue;
      const covered = chain.coveredEnd(endAddress);
      // A generation reaches over it: the next seal's end may be its end, too.
      if (covered === undefined) continue;
      if (covered >= endAddress) return { endAddress, isCovered: true };
      const isLost = !chain.isSealing && liveStartAddress() >= endAddress;
      return isLost ? { endAddress, isCovered: false } : undefined;
    }
    return undefined;
  }

  /** Whether a segment that was merged before it had an index reaches over `address`. */
  #isReachedOver(address: WalAddress): boolean {
    for (const { startAddress, endAddress } of this.#pending.values()) {
      if (startAddress < address && endAddress > address) return true;
    }
    return false;
  }

  /** @returns its new facts; none if it is gone. Rejects if its index can't be made */
  async #indexSegment(
    segmentId: string,
    indexNumbers: readonly number[] | undefined,
  ): Promise<readonly MadeIndex[]> {
    const { segments, keepers, directory, topics, memoryBytesMax, traffic } = this.#options;
    await traffic.whenQuiet();
    const segment = segments.index.segment(segmentId);
    if (segment === undefined) {
      this.#pending.delete(segmentId);
      return [];
    }
    const report = await keepers.run({
      kind: "indexSegment",
      directory,
      segmentPath: segments.pathOf(segmentId),
      segment,
      indexNumbers,
      topics: [...new Set(segment.ranges.map(({ topicId }) => topicId))].flatMap(
        (topicId) => topics.get(topicId) ?? [],
      ),
      memoryBytesMax: Math.floor(memoryBytesMax / keepers.size),
    });
    if (report.kind !== "segmentIndexed") {
      this.#unfrozen.add(segmentId);
      throw new Error(report.kind === "segmentNotIndexed" ? report.reason : report.kind);
    }
    this.#unfrozen.delete(segmentId);
    return [
      {
        facts: report.segment,
        elapsedMs: Math.round(report.elapsedMs),
        isRead: indexNumbers === undefined,
      },
    ];
  }
}

function partitionsOf(facts: SegmentFacts | undefined): ReadonlyMap<string, readonly number[]> {
  const partitions = new Map<string, number[]>();
  for (const { topicId, partition } of facts?.ranges ?? []) {
    const known = partitions.get(topicId);
    if (known === undefined) partitions.set(topicId, [partition]);
    else known.push(partition);
  }
  return partitions;
}
