/**
 * A broker's segments, without the broker: registrations that are durable at once, an index, objects that are
 * pinned and deleted, and merges carried out in this thread.
 */

import { nextTurn } from "../../src/core/clock.ts";
import type { Disk } from "../../src/core/disk.ts";
import { type Logger, silentLogger } from "../../src/core/logger.ts";
import type { MergeLimits } from "../../src/segment/merge-policy.ts";
import { MERGE_LIMITS } from "../../src/segment/merge-policy.ts";
import { Merging } from "../../src/segment/merging.ts";
import { mergeSegments } from "../../src/segment/merging-job.ts";
import type { MergeCommand, MergeReport } from "../../src/segment/merging-messages.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { SegmentStore } from "../../src/segment/segment-store.ts";
import { segmentFileName } from "../../src/segment/segment-writer.ts";
import type { SegmentsChange } from "../../src/segment/segments-change.ts";
import { ManualClock } from "../manual-clock.ts";
import { expectAllSealed, expectSound, type SealedWorld } from "./merging-fixture.ts";

/** Small enough that a few seals bring every kind of merge. */
export const SMALL_LIMITS: MergeLimits = {
  ...MERGE_LIMITS,
  fanIn: 3,
  ownBytesMin: 10_000,
  segmentBytes: 100_000,
};

export interface MergingWorldOptions {
  readonly disk: Disk;
  readonly directory: string;
  /** What was registered before, in order. */
  readonly registered?: readonly SegmentsChange[];
  /** Comes before a registration takes effect, and after it. */
  readonly step?: () => Promise<void>;
  readonly run?: (command: MergeCommand) => Promise<MergeReport>;
}

/** One life of the process. */
export class MergingWorld {
  readonly clock = new ManualClock();
  readonly index = new SegmentIndex();
  readonly events: string[] = [];
  readonly merging: Merging;
  /** What a restart finds. */
  readonly registered: SegmentsChange[];
  readonly purgeIds: string[] = [];
  readonly #options: MergingWorldOptions;
  readonly #deletedTopicIds = new Set<string>();
  readonly #logStartOffsets = new Map<string, number>();
  readonly #store: SegmentStore;

  constructor(options: MergingWorldOptions) {
    this.#options = options;
    const note = (event: string) => this.events.push(event);
    const logger: Logger = { ...silentLogger, info: note, error: note };
    const { disk, directory } = options;
    this.#store = new SegmentStore({ disk, directory, logger }, this.index);
    this.registered = [...(options.registered ?? [])];
    this.merging = new Merging({
      index: this.index,
      store: this.#store,
      directory,
      disk,
      run: options.run ?? ((command) => runHere(disk, command)),
      register: (change) => this.register(change),
      segmentsToPurge: () => this.purgeIds.filter((id) => this.index.segment(id) !== undefined),
      indexWaitMs: 0,
      isIndexed: () => true,
      clock: this.clock,
      logger,
      limits: SMALL_LIMITS,
    });
    for (const change of this.registered) this.#apply(change);
  }

  async register(change: SegmentsChange): Promise<void> {
    await this.#options.step?.();
    this.registered.push(change);
    await this.#options.step?.();
    this.#apply(change);
  }

  async seal(sealed: SealedWorld): Promise<void> {
    const added = await sealed.seal(this.#options.disk, this.#options.directory);
    await this.register({ added, removedIds: [] });
  }

  /** Lets everything be merged that is to be, and deleted that may be. */
  async mergeAll(): Promise<void> {
    this.merging.start();
    await this.merging.whenIdle();
    // It waits for what is being deleted.
    await this.#store.close();
  }

  segments(): SegmentFacts[] {
    const ids = [...this.index.segments()].map(({ segmentId }) => segmentId);
    return ids.flatMap((segmentId) => this.index.segment(segmentId) ?? []);
  }

  deleteTopic(topicId: string): void {
    this.#deletedTopicIds.add(topicId);
    this.index.deleteTopic(topicId);
  }

  deleteRecords(topicId: string, partition: number, offset: number): void {
    this.#logStartOffsets.set(`${topicId} ${partition}`, offset);
    this.index.setLogStartOffset(topicId, partition, offset);
  }

  pin(segmentId: string): () => void {
    return this.#store.pin(segmentId);
  }

  /** Names of the objects that are registered, sorted. */
  fileNames(): string[] {
    return this.segments()
      .map(({ segmentId }) => segmentFileName(segmentId))
      .sort();
  }

  /** Every registered segment is whole, and together they hold all that was sealed. */
  async check(sealed: SealedWorld): Promise<void> {
    const { disk, directory } = this.#options;
    for (const facts of this.segments()) await expectSound(disk, directory, facts);
    await expectAllSealed(sealed, this.segments(), {
      disk,
      directory,
      startOffset: (topicId, partition) =>
        this.#logStartOffsets.get(`${topicId} ${partition}`) ?? 0,
      isDeleted: (topicId) => this.#deletedTopicIds.has(topicId),
    });
  }

  #apply(change: SegmentsChange): void {
    this.index.apply(change);
    this.merging.apply(change);
  }
}

async function runHere(disk: Disk, command: MergeCommand): Promise<MergeReport> {
  await nextTurn();
  try {
    return { kind: "merged", ...(await mergeSegments(disk, command)) };
  } catch (thrown) {
    return { kind: "failed", reason: String(thrown) };
  }
}
