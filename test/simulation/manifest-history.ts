/**
 * One seeded history of a store's manifest: lives that seal, merge, append search indexes, delete records and topics
 * while generations are written, each ended by the death of the process or a power cut at any operation on the disk.
 * What registers is real, but for the WAL, whose entries here never get lost. After each life the index is rebuilt from
 * the store alone: it has all that was registered and lives, nothing twice, nothing that its manifest calls deleted.
 *
 * Archives deflate on a thread, so the order of events can differ when a seed is repeated.
 */

import { nextTurn, type Random, seededRandom } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import { decodeMetaCommand } from "../../src/meta/meta-command.ts";
import { ArchiveWriter } from "../../src/segment/archive-writer.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import { ManifestWriter } from "../../src/segment/manifest-writer.ts";
import { ObjectSweep } from "../../src/segment/object-sweep.ts";
import { registerSegments } from "../../src/segment/registration.ts";
import type { PartitionRange, SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentStore } from "../../src/segment/segment-store.ts";
import { writeSegment } from "../../src/segment/segment-writer.ts";
import { uuidFrom } from "../segment/segment-model.ts";
import { type CrashEnding, CrashPoint } from "./crash-point.ts";
import { judgeManifest, type ManifestModel } from "./manifest-judge.ts";
import { applyTo, hasForeign, joined, placed, rangeOf } from "./manifest-segments.ts";
import { MemoryLog } from "./memory-log.ts";
import { SimulatedClock } from "./simulated-clock.ts";
import { SimulatedDisk } from "./simulated-disk.ts";

const DIRECTORY = "/simulated/segments";
const PARTITIONS = 2;
const ROUND_MS = 1000;
const HOUR_MS = 3_600_000;
const OPERATIONS_MAX = 500;
const FIXED_STEPS = 30;
const TURNS_LIMIT = 200_000;

export interface ManifestHistoryOptions {
  readonly seed: number;
  /** Ends the second life at this operation. */
  readonly crashOf?: { readonly operation: number; readonly ending: CrashEnding };
}

export interface ManifestCounts {
  lives: number;
  crashes: number;
  seals: number;
  merges: number;
  indexes: number;
  deletions: number;
  generations: number;
  newer: number;
  ignored: number;
}

/** @returns counts; `isOver`: the given crash was later than the end of its life. @throws ViolationError */
export async function runManifestHistory(options: ManifestHistoryOptions): Promise<{
  readonly counts: ManifestCounts;
  readonly isOver: boolean;
}> {
  const history = new History(options);
  await history.live();
  return history;
}

/** All that registers, in one process. */
interface Life {
  readonly crash: CrashPoint;
  readonly clock: SimulatedClock;
  readonly meta: LocalMetaStore;
  readonly store: SegmentStore;
  readonly writer: ManifestWriter;
  readonly sweep: ObjectSweep;
}

class History {
  readonly counts: ManifestCounts = {
    ...{ lives: 0, crashes: 0, seals: 0, merges: 0, indexes: 0, deletions: 0 },
    ...{ generations: 0, newer: 0, ignored: 0 },
  };
  isOver = false;
  readonly #options: ManifestHistoryOptions;
  readonly #random: Random;
  readonly #disk: SimulatedDisk;
  readonly #log = new MemoryLog();
  readonly #clusterId: string;
  /** By topic id and partition: the end of what is registered. */
  readonly #ends = new Map<string, number>();
  #nowMs = 0;
  #sealedAddress = 0;

  constructor(options: ManifestHistoryOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#clusterId = uuidFrom(this.#random);
    this.#disk = new SimulatedDisk(this.#random, {
      syncFailure: 0,
      capacityBytes: Number.POSITIVE_INFINITY,
      sectorSurvival: [0, 0.5, 0.97][this.#below(3)] ?? 0,
    });
  }

  async live(): Promise<void> {
    const { crashOf } = this.#options;
    const lifeCount = crashOf === undefined ? 3 + this.#below(4) : 2;
    for (let number = 0; number < lifeCount; number += 1) {
      this.counts.lives += 1;
      const isGiven = crashOf !== undefined && number === 1;
      const chance = this.#random() ** 2;
      const operation = 1 + Math.floor(OPERATIONS_MAX * chance);
      const ending = this.#random() < 0.6 ? "cut" : "kill";
      const none = { operation: Number.POSITIVE_INFINITY, ending } as const;
      const isFree = crashOf === undefined && this.#random() < 0.8;
      const end = isGiven ? crashOf : isFree ? { operation, ending } : none;
      const life = await this.#liveOnce(end as { operation: number; ending: CrashEnding });
      if (isGiven && !life.crash.hasHappened) this.isOver = true;
      if (life.crash.hasHappened) this.counts.crashes += 1;
      else life.crash.crash(crashOf === undefined ? ending : "kill");
      for (let turn = 0; turn < 3; turn += 1) await nextTurn();
      const found = await judgeManifest(this.#disk.process(), DIRECTORY, this.#model());
      this.counts.newer += found.newerIds.length;
      this.counts.ignored += found.ignored.length;
      this.counts.generations += (found.manifest?.header.generation ?? -1) + 1;
    }
  }

  #model(): ManifestModel {
    const commands = this.#log.entries.map(({ address, payload }) => ({
      address,
      command: decodeMetaCommand(payload),
    }));
    return { commands };
  }

  async #liveOnce(end: { operation: number; ending: CrashEnding }): Promise<Life> {
    const crash = new CrashPoint({ ...end, disk: this.#disk, slowness: this.#random });
    const life = this.#open(crash);
    const stepCount = this.#options.crashOf === undefined ? 10 + this.#below(30) : FIXED_STEPS;
    for (let left = stepCount; left > 0 && !crash.hasHappened; left -= 1) {
      await this.#whileAlive(life, this.#step(life));
    }
    if (!crash.hasHappened && this.#random() < 0.5) {
      await this.#whileAlive(
        life,
        (async () => {
          await life.sweep.stop();
          await life.writer.stop();
          await life.store.close();
        })(),
      );
    }
    return life;
  }

  #open(crash: CrashPoint): Life {
    const clock = new SimulatedClock();
    const logger = silentLogger;
    this.#advanceClock(clock, Math.max(0, this.#nowMs - clock.nowMs()));
    const { disk } = crash;
    const store = new SegmentStore({ disk, directory: DIRECTORY, logger });
    const meta = new LocalMetaStore();
    meta.onApplied((command) => applyTo(store, command));
    for (const { address, payload } of this.#log.entries) meta.recover(address, payload);
    meta.attach(this.#log);
    const writer = new ManifestWriter({
      store: new FileObjectStore({ disk, directory: DIRECTORY, clock }),
      segments: store,
      ...{ meta, clock, logger, clusterId: this.#clusterId, roundMs: ROUND_MS },
      appendedAddress: () => this.#log.appendedAddress,
    });
    const sweep = new ObjectSweep({
      ...{ disk, directory: DIRECTORY, clock, logger },
      isRegistered: (segmentId) => store.index.segment(segmentId) !== undefined,
      hasRegistrations: () => store.index.stats().segmentCount > 0,
      isInUse: (segmentId) => writer.isUnread || store.isHeld(segmentId),
    });
    writer.start();
    sweep.start();
    return { crash, clock, meta, store, writer, sweep };
  }

  async #step(life: Life): Promise<void> {
    const choice = this.#random();
    const topics = [...life.meta.topics()];
    if (topics.length === 0 || choice < 0.06) await this.#createTopic(life, topics.length);
    else if (choice < 0.36) await this.#seal(life);
    else if (choice < 0.56) await this.#merge(life);
    else if (choice < 0.64) await this.#appendIndex(life);
    else if (choice < 0.7) await this.#deleteRecords(life);
    else if (choice < 0.74) await this.#deleteTopic(life);
    else if (choice < 0.92) this.#advance(life, this.#random() < 0.1 ? 2 * HOUR_MS : ROUND_MS);
    else for (let left = this.#below(40); left > 0; left -= 1) await nextTurn();
  }

  async #createTopic({ meta }: Life, count: number): Promise<void> {
    if (count >= 4) return;
    const topicId = uuidFrom(this.#random);
    const topic = { topicId, name: `t-${topicId}`, partitionCount: PARTITIONS };
    await meta.commit({
      kind: "topicCreated",
      topic: { ...topic, configs: {}, createdMs: 0 },
    });
  }

  async #deleteTopic({ meta }: Life): Promise<void> {
    const topic = this.#pick([...meta.topics()]);
    if (topic === undefined) return;
    this.counts.deletions += 1;
    const { topicId, name } = topic;
    await meta.commit({ kind: "topicDeleted", topicId, name });
  }

  async #deleteRecords({ meta }: Life): Promise<void> {
    const topicId = this.#pick([...meta.topics()])?.topicId ?? "";
    const partition = this.#below(PARTITIONS);
    const offset = this.#below(1 + (this.#ends.get(`${topicId}/${partition}`) ?? 0));
    if (offset <= meta.logStartOffset(topicId, partition)) return;
    this.counts.deletions += 1;
    await meta.commit({ kind: "logStartOffsetsSet", topicId, offsets: [{ partition, offset }] });
  }

  /** A round, which a crash may cut off: then the next one takes the same records, and more. */
  async #seal(life: Life): Promise<void> {
    const ranges: PartitionRange[] = [];
    for (const { topicId } of life.meta.topics()) {
      for (let partition = 0; partition < PARTITIONS; partition += 1) {
        if (this.#random() < 0.3) continue;
        const startOffset = this.#ends.get(`${topicId}/${partition}`) ?? 0;
        const count = 1 + this.#below(5);
        ranges.push(rangeOf(topicId, partition, startOffset, startOffset + count));
      }
    }
    if (ranges.length === 0) return;
    const startAddress = this.#sealedAddress;
    const endAddress = this.#log.appendedAddress;
    const facts = await this.#write(life, ranges, { level: 0, startAddress, endAddress });
    await registerSegments(life.meta, [facts]);
    this.counts.seals += 1;
    this.#sealedAddress = endAddress;
    for (const { topicId, partition, endOffset } of ranges) {
      this.#ends.set(`${topicId}/${partition}`, endOffset);
    }
    // What comes next lies behind it in the log.
    this.#log.appendedAddress += 10;
  }

  /** Some segments become one, or one of each topic; what is dead is left out. */
  async #merge(life: Life): Promise<void> {
    const { store, meta } = life;
    const all = [...store.index.segments()].map(({ segmentId }) => segmentId);
    const inputs = all
      .slice(this.#below(all.length + 1))
      .slice(0, 1 + this.#below(4))
      .flatMap((segmentId) => store.index.segment(segmentId) ?? []);
    if (inputs.length === 0) return;
    const kept = joined(inputs).filter(
      ({ topicId, partition, endOffset }) =>
        meta.topicById(topicId) !== undefined &&
        endOffset > meta.logStartOffset(topicId, partition),
    );
    if (hasForeign(store.index, kept, inputs)) return;
    const topicIds = [...new Set(kept.map(({ topicId }) => topicId))];
    const parts =
      this.#random() < 0.5
        ? topicIds.map((topicId) => kept.filter((range) => range.topicId === topicId))
        : [kept].filter(({ length }) => length > 0);
    const level = 1 + Math.max(...inputs.map((input) => input.level));
    const startAddress = Math.min(...inputs.map((input) => input.startAddress));
    const endAddress = Math.max(...inputs.map((input) => input.endAddress));
    const added: SegmentFacts[] = [];
    for (const ranges of parts) {
      added.push(await this.#write(life, ranges, { level, startAddress, endAddress }));
    }
    const removedIds = inputs.map(({ segmentId }) => segmentId);
    await registerSegments(meta, added, removedIds);
    this.counts.merges += 1;
    for (const segmentId of removedIds) store.remove(segmentId);
  }

  /** Something is appended to an object, as its search index is. */
  async #appendIndex({ store, meta, crash }: Life): Promise<void> {
    const segmentId = this.#pick([...store.index.segments()])?.segmentId;
    const facts = segmentId === undefined ? undefined : store.index.segment(segmentId);
    if (segmentId === undefined || facts === undefined) return;
    const path = store.pathOf(segmentId);
    const writer = await ArchiveWriter.append(crash.disk, path, facts.lengthBytes);
    const content = new Uint8Array(700);
    const name = `index-${facts.lengthBytes}/meta.json`;
    await writer.beginFile({
      ...{ name, sizeBytes: content.length, chunkBytes: 64 * 1024, compression: "stored" },
    });
    await writer.write(content);
    await writer.endFile();
    const { lengthBytes } = await writer.finish();
    const searchIndex = { ...facts.searchIndex, documentCount: 1, sizeBytes: 700, times: null };
    await registerSegments(meta, [{ ...facts, lengthBytes, searchIndex }], [segmentId]);
    this.counts.indexes += 1;
  }

  async #write(
    { crash, clock, meta }: Life,
    ranges: readonly PartitionRange[],
    place: Pick<SegmentFacts, "level" | "startAddress" | "endAddress">,
  ): Promise<SegmentFacts> {
    const segmentId = uuidFrom(this.#random);
    const laidOut = placed(ranges);
    const sizeBytes = laidOut.reduce((sum, range) => sum + range.sizeBytes, 0);
    const topicIds = [...new Set(laidOut.map(({ topicId }) => topicId))];
    const topics = topicIds.map((topicId) => ({
      topicId,
      name: meta.topicById(topicId)?.name ?? "",
    }));
    return await writeSegment({
      disk: crash.disk,
      directory: DIRECTORY,
      head: { segmentId, ...place, createdMs: clock.nowMs(), topics },
      layout: { ranges: laidOut, rows: new Uint8Array(0), sizeBytes },
      compression: "stored",
      batches: (async function* () {
        yield new Uint8Array(sizeBytes);
      })(),
    });
  }

  #advance({ clock }: Life, durationMs: number): void {
    this.#advanceClock(clock, durationMs);
  }

  #advanceClock(clock: SimulatedClock, durationMs: number): void {
    this.#nowMs = clock.nowMs() + durationMs;
    this.#disk.nowMs = this.#nowMs;
    clock.advance(durationMs);
  }

  /** Waits for `work`; if the process dies, no longer. */
  async #whileAlive({ crash }: Life, work: Promise<void>): Promise<void> {
    let isOver = false;
    let failure: unknown;
    void work.then(
      () => {
        isOver = true;
      },
      (thrown: unknown) => {
        isOver = true;
        failure = thrown;
      },
    );
    for (let turn = 0; !isOver && !crash.hasHappened; turn += 1) {
      if (turn > TURNS_LIMIT) throw new Error("a step never ends");
      await nextTurn();
    }
    if (failure !== undefined && !crash.hasHappened) throw failure;
  }

  #pick<Value>(values: readonly Value[]): Value | undefined {
    return values[this.#below(values.length)];
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}
