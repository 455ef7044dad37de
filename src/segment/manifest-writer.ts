/**
 * Keeps the manifest of a store up with what is registered, beside everything else: no registration waits for it.
 * Changes are collected, and become a generation at most once per round; while the store is away they go on being
 * collected. Objects that wait to be deleted make a generation come earlier.
 *
 * What a generation names stays in the store until one without it is durable: objects that are no longer registered
 * are pinned until then. So a store's objects and its newest generation always fit together.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { MetaCommand, MetaStore } from "../meta/meta-store.ts";
import { ManifestChanges, type ManifestSubject } from "./manifest-changes.ts";
import { compareWithManifest } from "./manifest-compare.ts";
import { fullPieces } from "./manifest-full.ts";
import { Persistent, StoppedError } from "./manifest-put.ts";
import { type ManifestReading, readManifests, type StoredManifest } from "./manifest-reading.ts";
import { ManifestSeries } from "./manifest-series.ts";
import { ObjectExistsError, type ObjectStore } from "./object-store.ts";
import type { SegmentStore } from "./segment-store.ts";
import { goneIdsOf, type SegmentsChange } from "./segments-change.ts";

/** While objects wait to be deleted, a generation comes so long after the one before it. */
const URGENT_MS = 10_000;
/** More changed segments than this make a full generation, which is written in slices. */
const DELTA_SEGMENTS_MAX = 512;
/** Where nothing is sealed, so many deleted topics are remembered. */
const DELETED_TOPICS_MAX = 10_000;
/** So long a stop waits for the last generation. */
const STOP_MS = 5000;

export interface ManifestWriterOptions {
  readonly store: ObjectStore;
  readonly segments: Pick<SegmentStore, "index" | "pin" | "onChanged">;
  readonly meta: ManifestMeta;
  /** Exclusive end of what was appended to the WAL. */
  readonly appendedAddress: () => number;
  readonly clusterId: string;
  readonly roundMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is read of the metadata. */
export type ManifestMeta = Pick<
  MetaStore,
  "topics" | "topicById" | "logStartOffset" | "logStartOffsets" | "onApplied"
> & { readonly appliedEnd: number };

export interface ManifestStats {
  /** The newest that is durable; -1 before the first. */
  readonly generation: number;
  /** How long the oldest change has waited to be in a generation; 0 if none does. */
  readonly lagMs: number;
  readonly failureCount: number;
}

/** The single writer of a store's manifest. */
export class ManifestWriter {
  readonly #options: ManifestWriterOptions;
  readonly #subject: ManifestSubject;
  readonly #persistent: Persistent;
  readonly #series: ManifestSeries;
  readonly #changes = new ManifestChanges();
  readonly #removeListeners: (() => void)[] = [];
  /** `foreign`: the store's manifest is not of this broker's history, and is left alone. */
  #state: "unread" | "ready" | "foreign" = "unread";
  /** Since when something waits; undefined if nothing does. */
  #dirtyMs: number | undefined;
  /** The same of what is being written. */
  #writingMs: number | undefined;
  #writtenMs = Number.NEGATIVE_INFINITY;
  /** Objects that the store's manifest may name though they are no longer registered. */
  #held: (() => void)[] = [];
  /** By topic id, the WAL address before which the last records lie. */
  readonly #deletedTopics = new Map<string, number>();
  #sealedEnd = 0;
  #failureCount = 0;
  #running: Promise<void> | undefined;
  #cancelTimer: CancelTimer = () => {};
  #isStopping = false;

  constructor(options: ManifestWriterOptions) {
    const { segments, meta, store, clock, logger } = options;
    this.#options = options;
    this.#subject = {
      segment: (segmentId) => segments.index.segment(segmentId),
      topicName: (topicId) => meta.topicById(topicId)?.name,
      logStartOffset: (topicId, partition) => meta.logStartOffset(topicId, partition),
    };
    const onFailure = () => {
      this.#failureCount += 1;
    };
    this.#persistent = new Persistent({ store, clock, logger, onFailure });
    this.#series = new ManifestSeries({ ...options, persistent: this.#persistent });
  }

  /** From now on every change is written. Call before anything is registered. */
  start(): void {
    const { segments, meta } = this.#options;
    this.#removeListeners.push(
      segments.onChanged((change) => this.#segmentsChanged(change)),
      meta.onApplied((command) => this.#metaChanged(command)),
    );
    this.#schedule();
  }

  /** Whether the store's manifest may name segments that are not registered: what it is has not been read yet. */
  get isUnread(): boolean {
    return this.#state !== "ready";
  }

  stats(): ManifestStats {
    const sinceMs = this.#writingMs ?? this.#dirtyMs;
    const lagMs = sinceMs === undefined ? 0 : this.#options.clock.nowMs() - sinceMs;
    return {
      generation: this.#series.generation,
      lagMs: Math.max(0, lagMs),
      failureCount: this.#failureCount,
    };
  }

  /** Writes what is left, if the store takes it soon. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#persistent.stop();
    this.#cancelTimer();
    for (const remove of this.#removeListeners) remove();
    const finishing = (async () => {
      await this.#running;
      if (this.#state === "ready" && this.#dirtyMs !== undefined) await this.#attempt();
    })();
    await new Promise<void>((resolve) => {
      const cancel = this.#options.clock.after(STOP_MS, resolve);
      // It never rejects; a store that does not answer is left alone.
      void finishing.then(() => {
        cancel();
        resolve();
      });
    });
  }

  #segmentsChanged(change: SegmentsChange): void {
    for (const { segmentId, endAddress } of change.added) {
      this.#changes.segmentChanged(segmentId);
      this.#sealed(endAddress);
    }
    for (const segmentId of goneIdsOf(change)) {
      this.#changes.segmentChanged(segmentId);
      this.#hold(segmentId);
    }
    this.#soil();
  }

  #metaChanged(command: MetaCommand): void {
    switch (command.kind) {
      case "topicCreated":
        // Of no use before it has a segment.
        this.#changes.topicChanged(command.topic.topicId);
        return;
      case "topicDeleted":
        this.#topicDeleted(command.topicId);
        this.#soil();
        return;
      case "logStartOffsetsSet":
        for (const { partition } of command.offsets) {
          this.#changes.logStartChanged({ topicId: command.topicId, partition });
        }
        this.#soil();
        return;
      default:
        return;
    }
  }

  #topicDeleted(topicId: string): void {
    this.#changes.topicChanged(topicId);
    this.#deletedTopics.set(topicId, this.#options.appendedAddress());
    if (this.#deletedTopics.size <= DELETED_TOPICS_MAX) return;
    const [oldest] = this.#deletedTopics.keys();
    if (oldest !== undefined) this.#deletedTopics.delete(oldest);
  }

  #sealed(endAddress: number): void {
    this.#sealedEnd = Math.max(this.#sealedEnd, endAddress);
  }

  #hold(segmentId: string): void {
    // Of another history nothing will ever be written.
    if (this.#state !== "foreign") this.#held.push(this.#options.segments.pin(segmentId));
  }

  #soil(): void {
    this.#dirtyMs ??= this.#options.clock.nowMs();
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isStopping || this.#running !== undefined || this.#state === "foreign") return;
    if (this.#state === "ready" && this.#dirtyMs === undefined) return;
    const { clock, roundMs } = this.#options;
    const pauseMs = this.#held.length > 0 ? Math.min(URGENT_MS, roundMs) : roundMs;
    this.#cancelTimer();
    this.#cancelTimer = clock.after(
      Math.max(0, this.#writtenMs + pauseMs - clock.monotonicMs()),
      () => {
        this.#running = this.#attempt().finally(() => {
          this.#running = undefined;
          this.#schedule();
        });
      },
    );
  }

  /** Reads what the store has, if that is not known; writes what is due. Never rejects. */
  async #attempt(): Promise<void> {
    const { clock, logger, store } = this.#options;
    this.#writtenMs = clock.monotonicMs();
    try {
      if (this.#state === "unread") {
        const reading = await this.#persistent.run("read", () => readManifests(store));
        this.#read(reading);
        await this.#compare(reading.manifest);
      }
      if (this.#dirtyMs !== undefined && this.#state === "ready") await this.#write();
    } catch (thrown) {
      // What is in the store may not be what was thought: it is read again.
      if (this.#state === "ready") this.#state = "unread";
      if (thrown instanceof StoppedError) return;
      this.#failureCount += 1;
      const event = thrown instanceof ObjectExistsError ? "manifest_conflict" : "manifest_failed";
      logger.error(event, { store: store.name, reason: String(thrown) });
    }
  }

  #read(reading: ManifestReading): void {
    const { manifest, faults, keys } = reading;
    const { logger, store } = this.#options;
    for (const { key, reason } of faults) {
      logger.warn("manifest_damaged", { store: store.name, key, reason });
    }
    this.#series.continue(reading);
    if (manifest === undefined) {
      if (keys.length > 0) this.#dirtyMs ??= this.#options.clock.nowMs();
      return;
    }
    this.#sealed(manifest.header.sealedEnd);
    for (const [topicId, endAddress] of manifest.deletedTopics) {
      const known = this.#deletedTopics.get(topicId) ?? 0;
      this.#deletedTopics.set(topicId, Math.max(known, endAddress));
    }
  }

  /** Finds what has changed since the newest generation, other than what is heard of. */
  async #compare(manifest: StoredManifest | undefined): Promise<void> {
    const { segments, meta } = this.#options;
    if (manifest !== undefined && this.#isForeign(manifest)) return;
    const isDifferent = await compareWithManifest(manifest, {
      index: segments.index,
      meta,
      changes: this.#changes,
      onRegistered: ({ endAddress }) => this.#sealed(endAddress),
      onUnregistered: (segmentId) => this.#hold(segmentId),
      onTopicGone: (topicId) => this.#topicDeleted(topicId),
    });
    if (isDifferent) this.#dirtyMs ??= this.#options.clock.nowMs();
    this.#state = "ready";
  }

  /** Somebody else writes there, or this data directory is older than what was written from it. */
  #isForeign({ header }: StoredManifest): boolean {
    const { clusterId, appendedAddress, store, logger } = this.#options;
    const isForeign = header.clusterId !== clusterId || header.coveredEnd > appendedAddress();
    if (!isForeign) return false;
    this.#state = "foreign";
    for (const release of this.#held.splice(0)) release();
    logger.error("manifest_foreign", {
      store: store.name,
      generation: header.generation,
      clusterId: header.clusterId,
      reason: "It is not of this data directory, or of a later state of it. It is left alone.",
    });
    return true;
  }

  /** @throws StoppedError, ObjectExistsError; then what was to be released is still held */
  async #write(): Promise<void> {
    const held = this.#held;
    this.#writingMs = this.#dirtyMs;
    this.#dirtyMs = undefined;
    this.#held = [];
    try {
      const sealedEnd = this.#sealedEnd;
      await this.#writeNow();
      // An object with their records reaches no further, so it does not count any more.
      for (const [topicId, endAddress] of this.#deletedTopics) {
        if (endAddress <= sealedEnd) this.#deletedTopics.delete(topicId);
      }
    } catch (thrown) {
      this.#dirtyMs = this.#writingMs;
      this.#held = [...held, ...this.#held];
      throw thrown;
    } finally {
      this.#writingMs = undefined;
    }
    for (const release of held) release();
  }

  /** The state of this moment, up to the first wait. */
  #writeNow(): Promise<void> {
    const { segments, meta } = this.#options;
    const ends = { coveredEnd: meta.appliedEnd, sealedEnd: this.#sealedEnd };
    const deletedTopics = [...this.#deletedTopics].map(([topicId, endAddress]) => ({
      ...{ topicId, endAddress },
    }));
    if (this.#series.isFullDue || this.#changes.segmentCount > DELTA_SEGMENTS_MAX) {
      this.#changes.clear();
      const pieces = fullPieces({ index: segments.index, meta });
      return this.#series.writeFull(ends, pieces, deletedTopics);
    }
    const content = this.#changes.contentOf(this.#subject, deletedTopics);
    this.#changes.clear();
    return this.#series.writeDelta(ends, content);
  }
}
