/**
 * Copies every registered segment into the object store, and deletes there what is merged away or purged. The local
 * copies stay: this never reads or removes them on its own account.
 *
 * A segment goes up when its search index is appended; one whose index is late goes up without it, and again when it
 * has come. Its key holds the length, as an archive only grows: one key never stands for two contents. So nothing has
 * to be remembered over a restart: what lies in the store is asked of the store.
 *
 * What fails is tried again, later each time, for as long as it takes. Nothing waits for it but memory of what is due.
 */

import type { CancelTimer, Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import type { SegmentFacts } from "./segment-facts.ts";
import { goneIdsOf, type SegmentsChange } from "./segments-change.ts";
import type { UploadResult, UploadWork } from "./uploading-messages.ts";

export interface UploadingOptions {
  /** What the store is called. */
  readonly storeName: string;
  readonly run: (work: UploadWork) => Promise<UploadResult>;
  /** Keeps the segment's file until the result is called. */
  readonly pin: (segmentId: string) => () => void;
  readonly pathOf: (segmentId: string) => string;
  /** Whether a search index is to be appended yet. */
  readonly isIndexAwaited: (facts: SegmentFacts) => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

export interface UploadStats {
  readonly uploadedCount: number;
  readonly pendingCount: number;
  readonly failureCount: number;
}

interface Pending {
  readonly facts: SegmentFacts;
  readonly readyMs: number;
}

const DIRECTORY = "segments/";
const INDEX_WAIT_MS = 10 * 60_000;
const BACKOFF_MS_MIN = 1_000;
const BACKOFF_MS_MAX = 5 * 60_000;
const DELETED_AT_ONCE = 1_000;

/** The key of a segment as it is now. */
function segmentObjectKey({
  segmentId,
  lengthBytes,
}: Pick<SegmentFacts, "segmentId" | "lengthBytes">): string {
  // A random id may begin with a hyphen or underscore, never with a dot.
  return `${DIRECTORY}${segmentId}.${lengthBytes}.tar.gz`;
}

/** Owns what is known to lie in the store. */
export class Uploading {
  readonly #options: UploadingOptions;
  /** By segment, the longest known first. */
  readonly #pending = new Map<string, Pending>();
  /** Keys by segment. */
  readonly #uploaded = new Map<string, string>();
  /** Keys to be deleted. */
  readonly #doomed = new Set<string>();
  #isStopped = false;
  #isKnown = false;
  #failureCount = 0;
  #failuresInRow = 0;
  #wake: () => void = () => {};
  #cancelTimer: CancelTimer = () => {};
  #running: Promise<void> = Promise.resolve();

  constructor(options: UploadingOptions) {
    this.#options = options;
  }

  stats(): UploadStats {
    const [uploadedCount, pendingCount] = [this.#uploaded.size, this.#pending.size];
    return { uploadedCount, pendingCount, failureCount: this.#failureCount };
  }

  /** Takes in a registration; applying one again changes nothing. */
  apply(change: SegmentsChange): void {
    for (const segmentId of goneIdsOf(change)) this.#forget(segmentId);
    for (const facts of change.added) {
      if (this.#uploaded.get(facts.segmentId) === segmentObjectKey(facts)) continue;
      const isAwaited = this.#options.isIndexAwaited(facts);
      const readyMs = isAwaited ? facts.createdMs + INDEX_WAIT_MS : 0;
      this.#pending.set(facts.segmentId, { facts, readyMs });
    }
    this.#wake();
  }

  start(): void {
    this.#running = this.#run();
  }

  /** The owner of `run` has to end what is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#wake();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) {
      try {
        await this.#step();
        this.#failuresInRow = 0;
      } catch (thrown) {
        if (this.#isStopped) return;
        await this.#pauseAfter(thrown);
      }
    }
  }

  /** One request, or the wait for something to do. */
  async #step(): Promise<void> {
    if (!this.#isKnown) return await this.#learn();
    if (this.#doomed.size > 0) return await this.#deleteDoomed();
    const nowMs = this.#options.clock.nowMs();
    let nextMs = Number.POSITIVE_INFINITY;
    for (const pending of this.#pending.values()) {
      if (pending.readyMs <= nowMs) return await this.#upload(pending);
      nextMs = Math.min(nextMs, pending.readyMs);
    }
    await this.#sleep(nextMs - nowMs);
  }

  /** What the store can do, and what lies there of earlier lives. */
  async #learn(): Promise<void> {
    const { run, logger, storeName } = this.#options;
    const { findings } = await run({ kind: "probe" });
    if (findings?.refusesOverwrites === false) {
      logger.warn("object_store_overwrites", {
        store: storeName,
        meaning: "it ignores If-None-Match; nothing but random keys keeps objects from being lost",
      });
    }
    const { keys = [] } = await run({ kind: "list", prefix: DIRECTORY });
    const found = new Set(keys);
    for (const [segmentId, { facts }] of this.#pending) {
      const key = segmentObjectKey(facts);
      if (!found.delete(key)) continue;
      this.#uploaded.set(segmentId, key);
      this.#pending.delete(segmentId);
    }
    this.#isKnown = true;
    // They may be another broker's, or of registrations that were lost: never deleted.
    const foundCount = keys.length;
    logger.info("object_store_ready", { store: storeName, foundCount, unknownCount: found.size });
  }

  async #deleteDoomed(): Promise<void> {
    const keys = [...this.#doomed].slice(0, DELETED_AT_ONCE);
    await this.#options.run({ kind: "delete", keys });
    for (const key of keys) this.#doomed.delete(key);
  }

  async #upload({ facts }: Pending): Promise<void> {
    const { run, pin, pathOf } = this.#options;
    const { segmentId, lengthBytes: sizeBytes } = facts;
    const key = segmentObjectKey(facts);
    const unpin = pin(segmentId);
    try {
      await run({ kind: "put", key, path: pathOf(segmentId), sizeBytes });
    } finally {
      unpin();
    }
    const now = this.#pending.get(segmentId);
    // It was merged away meanwhile.
    if (now === undefined) {
      this.#doomed.add(key);
      return;
    }
    const shorter = this.#uploaded.get(segmentId);
    if (shorter !== undefined) this.#doomed.add(shorter);
    this.#uploaded.set(segmentId, key);
    if (now.facts.lengthBytes === sizeBytes) this.#pending.delete(segmentId);
  }

  #forget(segmentId: string): void {
    this.#pending.delete(segmentId);
    const key = this.#uploaded.get(segmentId);
    if (key !== undefined) this.#doomed.add(key);
    this.#uploaded.delete(segmentId);
  }

  async #pauseAfter(thrown: unknown): Promise<void> {
    const { clock, logger, storeName } = this.#options;
    this.#failureCount += 1;
    const pauseMs = Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** this.#failuresInRow);
    this.#failuresInRow = Math.min(this.#failuresInRow + 1, 16);
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    const pendingCount = this.#pending.size;
    logger.warn("upload_failed", { store: storeName, reason, pendingCount, retryInMs: pauseMs });
    // The one that failed goes behind the others, as it may be the only one that can't go up.
    const [first] = this.#pending;
    if (first !== undefined && this.#isKnown && this.#pending.delete(first[0])) {
      this.#pending.set(...first);
    }
    const endMs = clock.monotonicMs() + pauseMs;
    while (!this.#isStopped && clock.monotonicMs() < endMs) {
      await this.#sleep(endMs - clock.monotonicMs());
    }
  }

  /** Until something changes, or for `delayMs`. */
  async #sleep(delayMs: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    if (this.#isStopped) return;
    this.#cancelTimer();
    if (Number.isFinite(delayMs)) this.#cancelTimer = this.#options.clock.after(delayMs, resolve);
    await promise;
    this.#cancelTimer();
  }
}
