/**
 * Segments of compacted topics and of one that is not, without the broker: sealed at random, compacted and merged in
 * this thread, and compared with all that was ever written.
 */

import { expect } from "bun:test";
import { nextTurn, type Random } from "../../src/core/clock.ts";
import type { Disk } from "../../src/core/disk.ts";
import { type Logger, silentLogger } from "../../src/core/logger.ts";
import { LogManager } from "../../src/log/log-manager.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import type { Topic } from "../../src/meta/meta-store.ts";
import { TopicConfigs } from "../../src/meta/topic-configs.ts";
import {
  batchOf,
  type CanonicalRecord,
  type CanonicalRecordBatch,
  decodeBatch,
  encodeBatch,
} from "../../src/protocol/canonical-record.ts";
import { batchesIn, readBatchHeader } from "../../src/protocol/record-batch.ts";
import { uuidOf } from "../../src/protocol/uuid.ts";
import { Compaction } from "../../src/segment/compaction.ts";
import { MERGE_LIMITS } from "../../src/segment/merge-policy.ts";
import { Merging } from "../../src/segment/merging.ts";
import { mergeSegments } from "../../src/segment/merging-job.ts";
import type { MergeCommand, MergeReport } from "../../src/segment/merging-messages.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { SegmentLayoutBuilder } from "../../src/segment/segment-layout.ts";
import { SegmentStore } from "../../src/segment/segment-store.ts";
import { segmentFileName, writeSegment } from "../../src/segment/segment-writer.ts";
import type { SegmentsChange } from "../../src/segment/segments-change.ts";
import { ManualClock } from "../manual-clock.ts";
import { expectSound, nextSegmentId } from "../segment/merging-fixture.ts";

const DIRECTORY = "segments";
const PARTITION_COUNT = 2;
export const DELETE_RETENTION_MS = 10_000;
const CODECS = ["none", "none", "gzip", "snappy", "lz4", "zstd"] as const;
const KEY_COUNT = 30;

const COMPACTED = {
  "cleanup.policy": "compact",
  "min.cleanable.dirty.ratio": "0",
  "delete.retention.ms": String(DELETE_RETENTION_MS),
};

function topicOf(byte: number, configs: Topic["configs"]): Topic {
  const topicId = uuidOf(new Uint8Array(16).fill(byte), 0);
  return { topicId, name: `t${byte}`, partitionCount: PARTITION_COUNT, configs, createdMs: 0 };
}

const TOPICS = [topicOf(1, COMPACTED), topicOf(2, {}), topicOf(3, COMPACTED)];

/** A record as it was written, and as it must come back. */
interface Written {
  readonly record: CanonicalRecord;
  readonly key: string;
}

/** What was written to a partition. */
interface Log {
  readonly records: Written[];
  readonly batches: Uint8Array[];
  endOffset: number;
}

/** All that was ever written: it outlives the process. */
export class History {
  readonly logs = new Map<string, Log>();
  readonly #random: Random;
  #sequence = 0;
  #sealCount = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** Writes a segment of most partitions, as sealing does. */
  async seal(disk: Disk, nowMs: number): Promise<SegmentsChange> {
    const layout = new SegmentLayoutBuilder();
    const pieces: Uint8Array[] = [];
    for (const { topicId } of TOPICS) {
      for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
        for (let left = this.#below(4); left > 0; left -= 1) {
          const bytes = this.#nextBatch(this.logOf(topicId, partition), nowMs);
          layout.add(topicId, partition, readBatchHeader(bytes, 0));
          pieces.push(bytes);
        }
      }
    }
    const laidOut = layout.finish();
    if (laidOut.ranges.length === 0) return { added: [], removedIds: [] };
    const startAddress = this.#sealCount * 1000;
    this.#sealCount += 1;
    const facts = await writeSegment({
      disk,
      directory: DIRECTORY,
      head: {
        ...{ segmentId: nextSegmentId(), level: 0, createdMs: nowMs },
        ...{ startAddress, endAddress: startAddress + 1000 },
        topics: TOPICS.map(({ topicId, name }) => ({ topicId, name })),
      },
      layout: laidOut,
      compression: "stored",
      batches: (async function* () {
        yield* pieces;
      })(),
    });
    return { added: [facts], removedIds: [] };
  }

  logOf(topicId: string, partition: number): Log {
    const key = `${topicId} ${partition}`;
    const log = this.logs.get(key) ?? { records: [], batches: [], endOffset: 0 };
    this.logs.set(key, log);
    return log;
  }

  #nextBatch(log: Log, nowMs: number): Uint8Array {
    const count = 1 + this.#below(5);
    const records = Array.from({ length: count }, (_, index): CanonicalRecord => {
      const key = `k${this.#below(KEY_COUNT)}`;
      const isTombstone = this.#random() < 0.2;
      const offset = log.endOffset + index;
      const value = isTombstone ? null : new TextEncoder().encode(`${key}=${offset}`);
      const record = {
        ...{ offset, timestampMs: nowMs - this.#below(100), value, headers: [], attributes: 0 },
        key: new TextEncoder().encode(key),
      };
      log.records.push({ record, key });
      return record;
    });
    const compression = CODECS[this.#below(CODECS.length)] ?? "none";
    const isIdempotent = this.#random() < 0.5;
    this.#sequence += count;
    const producer = { producerId: 7, producerEpoch: 0, baseSequence: this.#sequence };
    const fields = { compression, ...(isIdempotent ? producer : {}) };
    const bytes = encodeBatch(batchOf(records, fields));
    log.batches.push(bytes);
    log.endOffset += count;
    return bytes;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}

export interface CompactionWorldOptions {
  readonly disk: Disk;
  readonly history: History;
  /** What was registered before, in order. */
  readonly registered?: readonly SegmentsChange[];
  /** Comes before a registration takes effect, and after it. */
  readonly step?: () => Promise<void>;
  readonly keyMapBytesMax?: number;
  readonly clock?: ManualClock;
}

/** One life of the process. */
export class CompactionWorld {
  readonly clock: ManualClock;
  readonly index = new SegmentIndex();
  readonly events: string[] = [];
  readonly registered: SegmentsChange[];
  readonly merging: Merging;
  readonly compaction: Compaction;
  readonly #options: CompactionWorldOptions;
  readonly #store: SegmentStore;
  readonly #logs: LogManager;

  constructor(options: CompactionWorldOptions) {
    this.#options = options;
    const { disk } = options;
    this.clock = options.clock ?? new ManualClock();
    this.registered = [...(options.registered ?? [])];
    const note = (event: string) => this.events.push(event);
    const logger: Logger = { ...silentLogger, info: note, error: note };
    this.#store = new SegmentStore({ disk, directory: DIRECTORY, logger }, this.index);
    const meta = new LocalMetaStore();
    this.#logs = new LogManager({
      ...{ clock: this.clock, leaderEpoch: 0, batchIndexBytesMax: 1000, sealed: this.#store },
    });
    for (const topic of TOPICS) {
      meta.restore({ kind: "topicCreated", topic }, 0);
      this.#logs.ensureTopic(topic);
    }
    this.compaction = new Compaction({
      ...{ storage: { meta, logs: this.#logs }, index: this.index, clock: this.clock },
      ...{ configs: new TopicConfigs(), isAwaited: () => false, backoffMs: 1000 },
      keyMapBytesMax: options.keyMapBytesMax ?? 1024 * 1024,
      onDue: () => this.merging.wake(),
    });
    this.merging = new Merging({
      ...{ index: this.index, store: this.#store, directory: DIRECTORY, disk, logger },
      run: (command) => runHere(disk, command),
      register: (change) => this.register(change),
      segmentsToPurge: () => [],
      ...{ indexWaitMs: 0, isIndexed: () => false, clock: this.clock, compaction: this.compaction },
      limits: { ...MERGE_LIMITS, fanIn: 3, ownBytesMin: 10_000, segmentBytes: 100_000 },
    });
    for (const change of this.registered) this.#apply(change);
  }

  async seal(): Promise<void> {
    const { disk, history } = this.#options;
    await this.register(await history.seal(disk, this.clock.nowMs()));
  }

  async register(change: SegmentsChange): Promise<void> {
    await this.#options.step?.();
    this.registered.push(change);
    await this.#options.step?.();
    this.#apply(change);
  }

  /** Merges and compacts until nothing is left to be done. */
  async workAll(): Promise<void> {
    this.merging.start();
    for (let jobCount = -1; jobCount !== this.merging.stats().mergeCount; ) {
      jobCount = this.merging.stats().mergeCount;
      await this.compaction.look();
      this.merging.wake();
      await this.merging.whenIdle();
    }
    // It waits for what is being deleted.
    await this.#store.close();
  }

  /** Names of the objects that are registered, sorted. */
  paths(): string[] {
    return [...this.index.segments()]
      .map(({ segmentId }) => `${DIRECTORY}/${segmentFileName(segmentId)}`)
      .sort();
  }

  /** The batches of a partition as consumers read them, from `offset` on. */
  async batches(topicId: string, partition: number, offset = 0): Promise<Uint8Array[]> {
    const place = { topicId, partition };
    const batches: Uint8Array[] = [];
    let range = this.#store.rangeAt(place, offset);
    while (range !== undefined) {
      const bytes = await this.#store.read(range, Math.max(offset, range.startOffset), 2 ** 30);
      for (const [start, end] of batchesIn(bytes)) batches.push(bytes.slice(start, end));
      range = this.#store.rangeAt(place, range.endOffset);
    }
    return batches;
  }

  /** Every segment is whole, what was not compacted is as it was, and of the rest nothing is lost or wrong. */
  async check(kind: "compacted" | "anyhow"): Promise<void> {
    const { disk, history } = this.#options;
    // What was sealed since may be being merged.
    await this.merging.whenIdle();
    for (const { segmentId } of [...this.index.segments()]) {
      const facts = this.index.segment(segmentId);
      if (facts !== undefined) await expectSound(disk, DIRECTORY, facts);
    }
    for (const { topicId, configs } of TOPICS) {
      for (let partition = 0; partition < PARTITION_COUNT; partition += 1) {
        const log = history.logOf(topicId, partition);
        if (log.endOffset === 0) continue;
        expect(this.index.endOffset(topicId, partition)).toBe(log.endOffset);
        const batches = await this.batches(topicId, partition);
        if (configs["cleanup.policy"] === undefined) {
          expect(Buffer.compare(Buffer.concat(batches), Buffer.concat(log.batches))).toBe(0);
        } else this.#checkCompacted(log, batches, kind);
      }
    }
    await this.#store.close();
  }

  #checkCompacted(log: Log, batches: readonly Uint8Array[], kind: "compacted" | "anyhow"): void {
    const decoded = batches.map((bytes) => decodeBatch(bytes));
    let end = 0;
    const left = new Map<number, CanonicalRecordBatch>();
    for (const batch of decoded) {
      expect(batch.baseOffset).toBeGreaterThanOrEqual(end);
      end = batch.baseOffset + batch.lastOffsetDelta + 1;
      for (const record of batch.records) {
        expect(record).toEqual(log.records[record.offset]?.record as CanonicalRecord);
        left.set(record.offset, batch);
      }
    }
    expect(end).toBe(log.endOffset);
    const latest = new Map(log.records.map(({ key, record }) => [key, record]));
    for (const { record, key } of log.records) {
      const batch = left.get(record.offset);
      const isLatest = latest.get(key) === record;
      if (batch === undefined) {
        // A tombstone may be gone once its time was up, and no sooner than that.
        const isOld = this.clock.nowMs() - record.timestampMs >= DELETE_RETENTION_MS;
        expect(isLatest && !(record.value === null && isOld)).toBe(false);
      } else if (kind === "compacted") {
        expect(isLatest).toBe(true);
        expect(record.value === null && !batch.hasDeleteHorizon).toBe(false);
      }
    }
  }

  #apply(change: SegmentsChange): void {
    this.index.apply(change);
    for (const { topicId, partition, endOffset } of change.added.flatMap(({ ranges }) => ranges)) {
      this.#logs.partition(topicId, partition)?.reach(endOffset);
    }
    this.merging.apply(change);
  }
}

async function runHere(disk: Disk, command: MergeCommand): Promise<MergeReport> {
  await nextTurn();
  try {
    return { kind: "merged", ...(await mergeSegments(disk, structuredClone(command))) };
  } catch (thrown) {
    return { kind: "failed", reason: String(thrown) };
  }
}
