/**
 * What becomes of segments after sealing: they are merged, written again without what was deleted, and objects that
 * nobody knows are swept.
 */

import type { Config } from "./config.ts";
import type { ClientTraffic } from "./core/client-traffic.ts";
import { type CancelTimer, type Clock, nextTurn } from "./core/clock.ts";
import type { Disk } from "./core/disk.ts";
import type { Logger } from "./core/logger.ts";
import type { CreateWorker } from "./core/supervised-worker.ts";
import type { LogManager } from "./log/log-manager.ts";
import type { PartitionPlace } from "./log/sealed-log.ts";
import type { MetaStore } from "./meta/meta-store.ts";
import type { SearchedTopics } from "./meta/searched-topics.ts";
import type { TopicConfigs } from "./meta/topic-configs.ts";
import { Compaction } from "./segment/compaction.ts";
import { Merging } from "./segment/merging.ts";
import { MergingRunner } from "./segment/merging-runner.ts";
import { ObjectSweep } from "./segment/object-sweep.ts";
import { planPurge } from "./segment/purge-policy.ts";
import { PurgeTracker } from "./segment/purge-tracker.ts";
import { registerSegments } from "./segment/registration.ts";
import type { SegmentFacts } from "./segment/segment-facts.ts";
import type { SegmentStore } from "./segment/segment-store.ts";

/** So long a merge waits for the search index of what was sealed: merged without, its records would not be found. */
const INDEX_WAIT_MS = 7 * 24 * 3_600_000;

/**
 * Retention takes a little from the same segment again and again: it is written again without that once much of it
 * is dead, or after this time. What is dead as a whole goes at once.
 */
const EXPIRED_DELAY_MS = 24 * 3_600_000;

export interface SegmentWorkOptions {
  readonly storage: {
    readonly meta: MetaStore;
    readonly logs: LogManager;
    readonly segments: SegmentStore;
  };
  readonly configs: TopicConfigs;
  readonly config: Pick<
    Config,
    | "enableWalIndexing"
    | "fileDeleteDelayMs"
    | "logCleanerBackoffMs"
    | "logCleanerDedupeBufferBytes"
  >;
  readonly searched: Pick<SearchedTopics, "isIndexed">;
  /** Merges wait for clients. */
  readonly traffic: ClientTraffic;
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  /** While it is unread, the store's manifest may name segments that are not registered. */
  readonly manifests: { readonly isUnread: boolean };
  /** Whether records are deleted because they have passed their retention. */
  readonly isExpiring?: (place: PartitionPlace, offset: number) => boolean;
  /** For tests that want to kill the Worker. */
  readonly createWorker?: CreateWorker;
}

/** Starts it. @returns ends it, waiting for what is under way */
export function startSegmentWork(options: SegmentWorkOptions): () => Promise<void> {
  const { storage, config, traffic, disk, clock, logger } = options;
  const { meta, segments } = storage;
  const { index, directory } = segments;
  const tracker = new PurgeTracker({
    index,
    logStartOffset: (topicId, partition) => meta.logStartOffset(topicId, partition),
  });
  let cancelPurge: CancelTimer = () => {};
  const segmentsToPurge = (): readonly string[] => {
    const { deletedIds, rewrittenIds, nextMs } = planPurge(tracker.candidates(), clock.nowMs());
    cancelPurge();
    if (nextMs !== undefined) {
      cancelPurge = clock.after(Math.max(0, nextMs - clock.nowMs()), () => merging.wake());
    }
    return [...deletedIds, ...rewrittenIds];
  };
  const workers = options.createWorker ? { createWorker: options.createWorker } : {};
  const runner = new MergingRunner({ traffic, clock, logger, ...workers });
  const compaction = new Compaction({
    ...{ storage, index, clock, configs: options.configs },
    isAwaited: (segmentId) =>
      config.enableWalIndexing &&
      index.summary(segmentId)?.searchIndex === null &&
      isIndexAwaited(index.segment(segmentId), options.searched),
    backoffMs: config.logCleanerBackoffMs,
    keyMapBytesMax: config.logCleanerDedupeBufferBytes,
    onDue: () => merging.wake(),
  });
  const merging = new Merging({
    ...{ compaction, index, store: segments, directory, disk, clock, logger, segmentsToPurge },
    run: (command) => runner.run(command),
    register: ({ added, removedIds }) => registerSegments(meta, added, removedIds),
    indexWaitMs: config.enableWalIndexing ? INDEX_WAIT_MS : 0,
    isIndexed: (topicId) => options.searched.isIndexed(topicId),
  });
  const sweep = new ObjectSweep({
    ...{ disk, directory, clock, logger },
    isRegistered: (segmentId) => index.segment(segmentId) !== undefined,
    hasRegistrations: () => index.stats().segmentCount > 0,
    isInUse: (segmentId) =>
      options.manifests.isUnread || merging.isWriting(segmentId) || segments.isHeld(segmentId),
  });
  tracker.start(startedPlaces(meta));
  const removeListeners = listen(options, { tracker, merging });
  let isStopped = false;
  const starting = (async () => {
    for (const { segmentId } of [...index.segments()]) {
      if (isStopped) return;
      const facts = index.segment(segmentId);
      // Registrations that came meanwhile are known: applying one again changes nothing.
      if (facts !== undefined) merging.apply({ added: [facts], removedIds: [] });
      await nextTurn();
    }
    merging.start();
    sweep.start();
    compaction.start();
  })();
  return async () => {
    isStopped = true;
    removeListeners();
    cancelPurge();
    runner.stop();
    await starting;
    await compaction.stop();
    await merging.stop();
    await sweep.stop();
  };
}

/** Tells of deletions before the index knows, and of registrations after. */
function listen(
  { storage, config, clock, isExpiring }: SegmentWorkOptions,
  { tracker, merging }: { readonly tracker: PurgeTracker; readonly merging: Merging },
): () => void {
  const { meta, segments } = storage;
  const removeDeletions = segments.onDeletion({
    topicDeleted: (topicId) => {
      const delayMs = config.fileDeleteDelayMs;
      tracker.topicDeleted(topicId, { nowMs: clock.nowMs(), delayMs });
      merging.wake();
    },
    recordsDeleted: (place, offset) => {
      const own = meta.topicById(place.topicId)?.configs["file.delete.delay.ms"];
      const askedMs = own === undefined ? config.fileDeleteDelayMs : Number(own);
      const isOld = isExpiring?.(place, offset) === true;
      const delayMs = isOld ? Math.max(askedMs, EXPIRED_DELAY_MS) : askedMs;
      tracker.recordsDeleted(place, offset, { nowMs: clock.nowMs(), delayMs });
      merging.wake();
    },
  });
  const removeChanges = segments.onChanged((change) => {
    tracker.segmentsChanged(change);
    merging.apply(change);
  });
  return () => {
    removeDeletions();
    removeChanges();
  };
}

/** Of segments without an index, those that hold a topic that is searched get one. */
function isIndexAwaited(
  facts: SegmentFacts | undefined,
  searched: Pick<SearchedTopics, "isIndexed">,
): boolean {
  return facts?.ranges.some(({ topicId }) => searched.isIndexed(topicId)) === true;
}

function* startedPlaces(meta: MetaStore) {
  for (const { topicId } of meta.topics()) {
    for (const { partition } of meta.logStartOffsets(topicId)) yield { topicId, partition };
  }
}
