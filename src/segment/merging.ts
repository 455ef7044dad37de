/**
 * Merges segments, one job at a time, and rewrites those of which much is dead. In this order: the new segments are
 * written and on disk; one registration adds them and removes the old ones; then the old objects go, each when
 * nobody reads it any more. A crash before the registration leaves new objects that nobody knows, one after it old
 * ones: both are swept later, and neither loses nor doubles a record.
 */

import { type CancelTimer, type Clock, nextTurn } from "../core/clock.ts";
import type { Disk } from "../core/disk.ts";
import type { Logger } from "../core/logger.ts";
import { randomUuid } from "../protocol/uuid.ts";
import type { Compaction, CompactionJob } from "./compaction.ts";
import { MERGE_LIMITS, type MergeLimits } from "./merge-policy.ts";
import { MergingLineages } from "./merging-lineages.ts";
import {
  type CompactedPartition,
  commandOf,
  type MergeCommand,
  type MergeReport,
} from "./merging-messages.ts";
import { type LiveRanges, type MergePlan, type PlanOptions, planMerge } from "./merging-plan.ts";
import type { SegmentFacts } from "./segment-facts.ts";
import type { SegmentsChange } from "./segments-change.ts";

export interface MergingOptions {
  /** All that is registered; it knows a change before `apply` is called. */
  readonly index: LiveRanges & { segment(segmentId: string): SegmentFacts | undefined };
  /** Keeps objects while they are read, and deletes what is no longer registered. */
  readonly store: { pin(segmentId: string): () => void; remove(segmentId: string): void };
  /** Where the segments lie. */
  readonly directory: string;
  readonly disk: Pick<Disk, "freeBytes">;
  /** Carries out one merge; never rejects. */
  readonly run: (command: MergeCommand) => Promise<MergeReport>;
  /** Makes a change known; resolves when that is durable and the index has it. */
  readonly register: (change: SegmentsChange) => Promise<void>;
  /** Registered segments to be rewritten without what is dead in them, the most urgent first. */
  readonly segmentsToPurge: () => readonly string[];
  /** Finds what is to be compacted; without it nothing is. */
  readonly compaction?: Pick<Compaction, "nextJob" | "done">;
  /** So long a merge waits for a sealed segment's search index; 0 where there will be none. */
  readonly indexWaitMs: number;
  /** Whether the topic's records are to be found by search. */
  readonly isIndexed: (topicId: string) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly limits?: MergeLimits;
}

export interface MergingStats {
  readonly mergeCount: number;
  readonly failureCount: number;
  /** Of batches, since the start. */
  readonly rewrittenBytes: number;
}

/** Segments to be merged or compacted, or one to be rewritten without what is dead in it. */
interface Job {
  readonly kind: PlanOptions["kind"];
  readonly segmentIds: readonly string[];
  readonly compaction?: CompactionJob;
}

/** Between looks at what time alone has changed. */
const RECHECK_MS = 60_000;
/** So long segments are left alone whose merge has failed. */
const SET_ASIDE_MS = 10 * 60_000;
/** Of the free disk, what a merge takes until its inputs are deleted. A purge gives room back, so it may take more. */
const MERGE_SHARE_MAX = 1 / 4;
const PURGE_SHARE_MAX = 1 / 2;

/** Owns the schedule. Nothing happens before `start`. */
export class Merging {
  readonly #options: MergingOptions;
  readonly #limits: MergeLimits;
  readonly #lineages: MergingLineages;
  /** When segments whose merge failed may be tried again. */
  readonly #asideUntilMs = new Map<string, number>();
  #writtenIds: ReadonlySet<string> = new Set();
  #cancelRecheck: CancelTimer = () => {};
  #isStarted = false;
  #isStopped = false;
  /** There may be work that `#work` has not looked for. */
  #isDue = false;
  #isWorking = false;
  #working: Promise<void> = Promise.resolve();
  #mergeCount = 0;
  #failureCount = 0;
  #rewrittenBytes = 0;

  constructor(options: MergingOptions) {
    this.#options = options;
    this.#limits = options.limits ?? MERGE_LIMITS;
    const { indexWaitMs, isIndexed } = options;
    this.#lineages = new MergingLineages({ ...this.#limits, indexWaitMs, isIndexed });
  }

  /** Takes in a registration, whoever made it; applying one again changes nothing. At first all that there is. */
  apply({ added, removedIds }: SegmentsChange): void {
    for (const segmentId of removedIds) this.#lineages.remove(segmentId);
    for (const facts of added) this.#lineages.add(facts);
    this.wake();
  }

  /** Begins to merge. */
  start(): void {
    if (!this.#isStarted) this.#recheckLater();
    this.#isStarted = true;
    this.wake();
  }

  /** Looks for work: `apply` does so too, but of segments to purge nobody tells. */
  wake(): void {
    this.#isDue = true;
    if (!this.#isStarted || this.#isStopped || this.#isWorking) return;
    this.#isWorking = true;
    this.#working = this.#work();
  }

  /** Resolves when there is nothing more to do for now. */
  whenIdle(): Promise<void> {
    return this.#working;
  }

  /** Resolves when nothing is under way; stopping the runner first makes that soon. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#cancelRecheck();
    await this.#working;
  }

  /** Whether the object belongs to a merge under way, and may be registered yet. */
  isWriting(segmentId: string): boolean {
    return this.#writtenIds.has(segmentId);
  }

  stats(): MergingStats {
    return {
      mergeCount: this.#mergeCount,
      failureCount: this.#failureCount,
      rewrittenBytes: this.#rewrittenBytes,
    };
  }

  #recheckLater(): void {
    this.#cancelRecheck = this.#options.clock.after(RECHECK_MS, () => {
      this.#recheckLater();
      this.#lineages.recheck();
      this.wake();
    });
  }

  /** Never rejects. */
  async #work(): Promise<void> {
    while (this.#isDue && !this.#isStopped) {
      this.#isDue = await this.#workOnce();
    }
    this.#isWorking = false;
  }

  /** @returns whether there may be more to do */
  async #workOnce(): Promise<boolean> {
    const { directory, disk, logger } = this.#options;
    this.#isDue = false;
    let job: Job | undefined;
    try {
      const freeBytes = await disk.freeBytes(directory);
      job = this.#nextJob(freeBytes);
      if (job !== undefined) await this.#carryOut(job, freeBytes);
    } catch (thrown) {
      if (this.#isStopped) return false;
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      this.#failureCount += 1;
      logger.error("merge_failed", { segmentId: job?.segmentIds[0], kind: job?.kind, reason });
      this.#setAside(job?.segmentIds ?? []);
    }
    return this.#isDue || job !== undefined;
  }

  #setAside(segmentIds: readonly string[]): void {
    const untilMs = this.#options.clock.nowMs() + SET_ASIDE_MS;
    for (const segmentId of segmentIds) this.#asideUntilMs.set(segmentId, untilMs);
    this.#lineages.setAside(segmentIds, untilMs);
  }

  #nextJob(freeBytes: number): Job | undefined {
    const nowMs = this.#options.clock.nowMs();
    for (const [segmentId, untilMs] of this.#asideUntilMs) {
      if (untilMs <= nowMs) this.#asideUntilMs.delete(segmentId);
    }
    for (const segmentId of this.#options.segmentsToPurge()) {
      if (!this.#asideUntilMs.has(segmentId)) return { kind: "purge", segmentIds: [segmentId] };
    }
    const compaction = this.#options.compaction?.nextJob((id) => this.#asideUntilMs.has(id));
    if (compaction !== undefined) {
      return { kind: "compact", segmentIds: compaction.segmentIds, compaction };
    }
    const jobBytesMax = Math.min(this.#limits.jobBytesMax, freeBytes * MERGE_SHARE_MAX);
    return this.#lineages.nextWindow({ ...this.#limits, jobBytesMax }, nowMs);
  }

  async #carryOut(job: Job, freeBytes: number): Promise<void> {
    const { store } = this.#options;
    const unpins = job.segmentIds.map((segmentId) => store.pin(segmentId));
    try {
      const plan = await this.#planOf(job);
      if (plan === undefined) return;
      const plannedBytes = sizeOfPlan(plan);
      if (plannedBytes > freeBytes * PURGE_SHARE_MAX) {
        throw new Error(
          `There is no room on the disk for ${plannedBytes} bytes beside the old ones.`,
        );
      }
      await this.#merge(job, plan);
      this.#mergeCount += 1;
      this.#rewrittenBytes += plannedBytes;
    } finally {
      for (const unpin of unpins) unpin();
      this.#writtenIds = new Set();
    }
  }

  /** Undefined if there is nothing to merge: what lies between the segments is now known. */
  async #planOf({ kind, segmentIds, compaction }: Job): Promise<MergePlan | undefined> {
    const { index } = this.#options;
    const inputs: SegmentFacts[] = [];
    for (const segmentId of segmentIds) {
      const facts = index.segment(segmentId);
      if (facts === undefined) {
        this.#setAside([segmentId]);
        return undefined;
      }
      inputs.push(facts);
      await nextTurn();
    }
    const { ownBytesMin, segmentBytesMax } = this.#limits;
    const options = { kind, ownBytesMin, segmentBytesMax, newSegmentId: randomUuid };
    const chosen = compaction === undefined ? {} : { topicIds: compaction.topicIds };
    const plan = await planMerge(inputs, index, { ...options, ...chosen });
    if (kind !== "own" || plan.separatedIndices.length === 0) return plan;
    for (const place of plan.separatedIndices) {
      this.#lineages.separate(segmentIds[place] ?? "", segmentIds[place - 1] ?? "");
    }
    return undefined;
  }

  async #merge({ kind, segmentIds, compaction }: Job, plan: MergePlan): Promise<void> {
    const { clock, directory, isIndexed, logger, register, run, store } = this.#options;
    const startMs = clock.monotonicMs();
    this.#writtenIds = new Set(plan.outputs.map(({ segmentId }) => segmentId));
    let added: readonly SegmentFacts[] = [];
    let compacted: readonly CompactedPartition[] = [];
    if (plan.outputs.length > 0) {
      const compactions = compaction?.compactions ?? [];
      const told = { directory, createdMs: clock.nowMs(), isIndexed, compactions };
      const report = await run(commandOf(plan, told));
      if (report.kind === "failed") throw new Error(report.reason);
      compacted = report.compacted;
      added = report.segments;
      const { indexFault } = report;
      if (indexFault !== undefined) logger.warn("search_index_not_merged", { reason: indexFault });
    }
    const change = { added, removedIds: segmentIds };
    // What was registered in part or not at all, only a restart knows: objects are not touched if it fails.
    await register(change);
    this.apply(change);
    this.#options.compaction?.done(compacted);
    for (const segmentId of segmentIds) store.remove(segmentId);
    logger.info("segments_merged", {
      kind,
      inputCount: segmentIds.length,
      outputCount: added.length,
      sizeBytes: added.reduce((sum, { lengthBytes }) => sum + lengthBytes, 0),
      elapsedMs: Math.round(clock.monotonicMs() - startMs),
    });
  }
}

/** Of the batches to be copied, if none in them is dead. */
function sizeOfPlan({ inputs, outputs }: MergePlan): number {
  let sizeBytes = 0;
  for (const { pieces } of outputs) {
    for (const { inputIndex, rangeIndex } of pieces) {
      sizeBytes += inputs[inputIndex]?.ranges[rangeIndex]?.sizeBytes ?? 0;
    }
  }
  return sizeBytes;
}
