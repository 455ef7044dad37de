/**
 * One seeded life of a WAL on a disk that fails: runs that append, wait, free and read, each ended by a clean
 * close, the death of the process, a power cut (also in the middle of recovery) or a failing disk.
 *
 * Checked after each start, against a list of everything that was ever appended:
 *   - what is found is that list from the oldest kept entry on, without a gap, to at least what was promised:
 *     what was durable, and after a mere process death what was written;
 *   - no offset that anybody could see ever shows another value;
 *   - a flipped bit in a durable group is reported, never silently cut.
 */

import { type Random, seededRandom } from "../../src/core/clock.ts";
import { type Logger, silentLogger } from "../../src/core/logger.ts";
import { readInt64At } from "../../src/protocol/big-endian.ts";
import { PRODUCER_ID_OFFSET } from "../../src/protocol/record-batch.ts";
import type { Wal } from "../../src/wal/wal.ts";
import type { WalOptions } from "../../src/wal/wal-options.ts";
import type { WalReader, WalReaderOptions } from "../../src/wal/wal-reader.ts";
import { type DiskFaults, SimulatedDisk } from "./simulated-disk.ts";
import { type Outcome, outcomeOf, Run } from "./simulated-run.ts";
import {
  type Appended,
  batchWith,
  type HistoryCounts,
  metadataWith,
  modelOf,
  modelsFrom,
  noCounts,
  TEMPLATES,
  wholeOf,
} from "./wal-model.ts";

const DIRECTORY = "wal";
const SLAB_BYTES = 16 * 1024;
const PARTITION_COUNT = 3;
const UNIFORM_SIZE = 3;
const TURNS_LIMIT = 20_000;
const TOPIC_ID = new Uint8Array(16).fill(7);
/** The real WAL, or one with a planted fault. */
export interface WalSources {
  readonly Wal: { open(options: WalOptions): Promise<Wal> };
  readonly WalReader: new (options: WalReaderOptions) => WalReader;
}

type Ending = "close" | "kill" | "cut";

/** A property that did not hold. */
export class ViolationError extends Error {
  override readonly name = "ViolationError";
}

/** Lives through one history. @throws ViolationError */
export async function runHistory(sources: WalSources, seed: number): Promise<HistoryCounts> {
  const history = new History(sources, seed);
  await history.live();
  return history.counts;
}

class History {
  readonly counts = noCounts();
  readonly #sources: WalSources;
  readonly #random: Random;
  readonly #disk: SimulatedDisk;
  readonly #fileBytes: number;
  readonly #walBytesMax: number;
  readonly #hasFlips: boolean;
  /** One size of batches and few syncs: groups of different lives then start at the same places. */
  readonly #isUniform: boolean;
  /** Everything that may still be in the WAL, in its order. */
  #log: Appended[] = [];
  /** Lengths of the log that a power cut, and a process death, must leave. */
  #durableCount = 0;
  #writtenCount = 0;
  /** Entries below it may be gone: their files were released. */
  #releasedAddress = 0;
  /** The last two durable addresses: a group that lies on disk says that the older one was durable. */
  #durableAddresses: [number, number] = [0, 0];
  #flippedAddress: number | undefined;
  /** By partition and offset: the id that consumers saw. */
  readonly #visible = new Map<string, number>();
  #nextId = 1;
  /** Whether a cut has been told since the bit was turned; it may have been in a run that did not come far. */
  #isCutTold = false;
  readonly #logger: Logger = {
    ...silentLogger,
    warn: (event) => {
      if (event === "wal_tail_cut") this.#isCutTold = true;
    },
  };

  constructor(sources: WalSources, seed: number) {
    this.#sources = sources;
    this.#random = seededRandom(seed);
    const chance = (share: number) => this.#random() < share;
    const faults: DiskFaults = {
      syncFailure: chance(0.15) ? 0.05 : 0,
      capacityBytes: chance(0.1) ? 200_000 + this.#below(200_000) : Number.POSITIVE_INFINITY,
      sectorSurvival: [0, 0.3, 0.7, 0.97][this.#below(4)] ?? 0,
    };
    this.#disk = new SimulatedDisk(this.#random, faults);
    this.#fileBytes = SLAB_BYTES * ([1, 2, 4][this.#below(3)] ?? 1);
    this.#walBytesMax = this.#fileBytes * (2 + this.#below(6));
    this.#hasFlips = chance(0.3);
    this.#isUniform = chance(0.3);
  }

  async live(): Promise<void> {
    const runCount = 2 + this.#below(4);
    for (let run = 0; run < runCount; run += 1) {
      this.counts.runs += 1;
      const isOver = await this.#liveRun(run === runCount - 1);
      if (isOver) return;
    }
  }

  /** One run of the process. @returns whether the history ends here */
  async #liveRun(isLast: boolean): Promise<boolean> {
    const run = new Run(this.#random);
    const found: Appended[] = [];
    const opening = this.#open(run, found);
    // Sometimes the end comes before recovery is through.
    const turnsMax = !isLast && this.#random() < 0.15 ? this.#below(150) : TURNS_LIMIT;
    await run.turnsUntil(turnsMax, () => opening.state !== "pending");
    if (opening.state === "failed") return this.#judgeRefusal(opening.reason);
    if (opening.state === "pending") {
      if (turnsMax === TURNS_LIMIT) throw new ViolationError("opening never ends");
      this.#end(run, this.#random() < 0.5 ? "kill" : "cut");
      return false;
    }
    const wal = opening.value;
    if (!this.#judgeFound(found, wal)) return true;
    if (this.#random() < 0.1) await this.#readBeside(run, wal, found);
    await this.#use(run, wal);
    const ending = (["close", "kill", "cut", "cut"] as const)[this.#below(4)] ?? "cut";
    if (ending === "close" && !run.hasFailed) await this.#close(run, wal);
    this.#end(run, ending === "close" ? "kill" : ending);
    return false;
  }

  #open(run: Run, found: Appended[]): Outcome<Wal> {
    return outcomeOf(
      this.#sources.Wal.open({
        disk: this.#disk.process(),
        directory: DIRECTORY,
        clock: run.clock,
        logger: this.#logger,
        slabBytes: SLAB_BYTES,
        fileBytes: this.#fileBytes,
        walBytesMax: this.#walBytesMax,
        syncDelayMsMax: 10,
        diskFreeBytesMin: 1,
        random: this.#random,
        defer: run.defer,
        onEntry: (entry) => found.push(modelOf(entry)),
        onFailure: () => {
          run.hasFailed = true;
          this.counts.failures += 1;
        },
      }),
    );
  }

  /** The start was refused: right only for a fault that the disk was given. */
  #judgeRefusal(reason: unknown): boolean {
    const text = String(reason);
    this.counts.refusals += 1;
    if (/corrupt/.test(text)) {
      if (this.#flippedAddress === undefined) throw new ViolationError(`false alarm: ${text}`);
      this.counts.corruptions += 1;
      return true;
    }
    if (!/simulated|full/.test(text)) throw new ViolationError(`no start: ${text}`);
    this.#disk.kill();
    return false;
  }

  /** @returns false if a flipped bit cost the last group, which was reported: the history ends here */
  #judgeFound(found: readonly Appended[], wal: Wal): boolean {
    this.counts.recovered += found.length;
    const first = found[0];
    const start = first === undefined ? 0 : this.#log.findIndex((entry) => entry.id === first.id);
    if (start < 0) throw new ViolationError(`entry ${first?.id} came back from the dead`);
    const lost = this.#log.slice(0, start).find((entry) => entry.address >= this.#releasedAddress);
    if (lost !== undefined) throw new ViolationError(`entry ${lost.id} is missing at the start`);
    for (const [index, entry] of found.entries()) {
      const expected = this.#log[start + index];
      if (JSON.stringify(entry) !== JSON.stringify(expected)) {
        throw new ViolationError(
          `found ${JSON.stringify(entry)} instead of ${JSON.stringify(expected)}`,
        );
      }
    }
    if (!this.#judgeEnd(found.length === 0 ? 0 : start + found.length)) return false;
    this.#log = [...found];
    this.#durableCount = found.length;
    this.#writtenCount = found.length;
    for (const entry of found) this.#see(entry);
    this.#noteDurable(wal.durableAddress);
    if (wal.recovery.cutBytes > 0) this.counts.cuts += 1;
    return true;
  }

  /** `foundEnd`: how far the log was found. */
  #judgeEnd(foundEnd: number): boolean {
    const missing = this.#log
      .slice(foundEnd, Math.max(this.#durableCount, this.#writtenCount))
      .find((entry) => entry.address >= this.#releasedAddress);
    if (missing === undefined) return true;
    const flipped = this.#flippedAddress;
    // A flipped bit in the very last group can't be told from a torn write: then a report must do.
    const isLastGroup = flipped !== undefined && flipped >= this.#durableAddresses[0];
    if (isLastGroup && this.#isCutTold) return false;
    throw new ViolationError(`promised entry ${missing.id} is lost`);
  }

  async #use(run: Run, wal: Wal): Promise<void> {
    wal.onDurable((address) => {
      if (!run.isAlive) return;
      this.#noteDurable(address);
      for (const entry of this.#log) if (entry.address < address) this.#see(entry);
    });
    for (let left = this.#below(60); left > 0 && !run.hasFailed; left -= 1) {
      const choice = this.#random();
      if (choice < 0.5) this.#append(run, wal);
      else if (choice < 0.59) run.clock.advance(this.#below(15));
      else if (choice < 0.6) run.clock.advance(1100);
      else if (choice < 0.63) this.#release(run, wal);
      else if (choice < 0.7) await this.#read(run, wal);
      else await run.turns(this.#below(20));
    }
  }

  #append(run: Run, wal: Wal): void {
    const isMetadata = !this.#isUniform && this.#random() < 0.15;
    const size = this.#isUniform ? UNIFORM_SIZE : this.#below(TEMPLATES.length);
    const template = TEMPLATES[size] ?? new Uint8Array(0);
    if (!isMetadata && !wal.hasRoom(template.length)) {
      // Only that it ends in some way matters here; refusals are expected.
      run.expectEnd(wal.whenRoom(template.length), () => {});
      return;
    }
    const id = this.#nextId;
    this.#nextId += 1;
    const partition = isMetadata ? -1 : this.#below(PARTITION_COUNT);
    const offset = isMetadata
      ? -1
      : this.#log.filter((entry) => entry.partition === partition).length +
        this.#offsetBase(partition);
    try {
      const address = isMetadata
        ? wal.appendMetadata(metadataWith(id))
        : wal.appendBatch({
            topicIdBytes: TOPIC_ID,
            partition,
            baseOffset: offset,
            leaderEpoch: wal.runNumber,
            ...wholeOf(batchWith(template, id)),
          });
      this.#log.push({ id, partition, offset, address });
      this.counts.appended += 1;
    } catch (thrown) {
      if (!/bound|full|room|written/.test(String(thrown))) throw thrown;
      return;
    }
    this.#waitFor(run, wal, this.#log.length);
  }

  /** The offset of the partition's first entry in the log. */
  #offsetBase(partition: number): number {
    return (
      this.#log.find((entry) => entry.partition === partition)?.offset ?? this.#lastSeen(partition)
    );
  }

  #lastSeen(partition: number): number {
    let next = 0;
    while (this.#visible.has(`${partition}:${next}`)) next += 1;
    return next;
  }

  #waitFor(run: Run, wal: Wal, count: number): void {
    const address = this.#random() < 0.5 ? wal.appendedAddress : (this.#log.at(-1)?.address ?? 0);
    const choice = this.#random();
    if (choice < (this.#isUniform ? 0.05 : 0.4)) {
      run.expectEnd(wal.whenDurable(address), () => {
        this.#durableCount = Math.max(this.#durableCount, count);
      });
    } else if (choice < 0.8) {
      run.expectEnd(wal.whenWritten(address), () => {
        this.#writtenCount = Math.max(this.#writtenCount, count);
      });
    }
  }

  #release(run: Run, wal: Wal): void {
    const durable = this.#log.filter((entry) => entry.address < wal.durableAddress);
    const entry = durable[this.#below(durable.length)];
    if (entry === undefined) return;
    this.#releasedAddress = Math.max(this.#releasedAddress, entry.address);
    run.expectEnd(wal.release(entry.address), () => {});
  }

  /** Reads a durable entry from memory or file and compares it. */
  async #read(run: Run, wal: Wal): Promise<void> {
    const kept = this.#log.filter(
      (entry) =>
        entry.partition >= 0 &&
        entry.address >= this.#releasedAddress &&
        entry.address < wal.durableAddress,
    );
    const entry = kept[this.#below(kept.length)];
    if (entry === undefined) return;
    const view = wal.viewOf(entry.address, 61);
    const bytes = view?.slice() ?? new Uint8Array(61);
    if (view === undefined) {
      const reading = outcomeOf(wal.read(entry.address, bytes, 0, 61));
      await run.turnsUntil(TURNS_LIMIT, () => reading.state !== "pending");
      if (reading.state !== "done") throw new ViolationError(`reading ${entry.id} failed`);
    }
    if (readInt64At(bytes, PRODUCER_ID_OFFSET) !== entry.id) {
      const from = view === undefined ? "file" : "slab";
      throw new ViolationError(`entry ${entry.id} reads differently from the ${from}`);
    }
  }

  /** What a Worker reads beside the broker is what recovery found. */
  async #readBeside(run: Run, wal: Wal, found: readonly Appended[]): Promise<void> {
    const reader = new this.#sources.WalReader({
      directory: DIRECTORY,
      disk: this.#disk.process(),
    });
    const reading = outcomeOf(modelsFrom(reader, wal));
    await run.turnsUntil(TURNS_LIMIT, () => reading.state !== "pending");
    if (reading.state !== "done" || JSON.stringify(reading.value) !== JSON.stringify(found)) {
      throw new ViolationError("a reader beside the WAL finds something else");
    }
  }

  async #close(run: Run, wal: Wal): Promise<void> {
    const closing = outcomeOf(wal.close());
    await run.turnsUntil(TURNS_LIMIT, () => closing.state !== "pending");
    if (closing.state === "pending") throw new ViolationError("closing never ends");
    if (closing.state === "failed") return;
    run.clock.advance(3000);
    await run.turns(30);
    if (run.hasFailed) throw new ViolationError("the WAL goes on after its close");
    if (run.waitingCount > 0) throw new ViolationError("somebody waits after the close");
    this.#durableCount = this.#log.length;
    // A clean end says of everything before it that it was durable.
    this.#durableAddresses = [this.#log.at(-1)?.address ?? 0, Number.POSITIVE_INFINITY];
  }

  #end(run: Run, ending: Ending): void {
    run.isAlive = false;
    if (ending === "cut") {
      this.#disk.cut();
      this.#writtenCount = this.#durableCount;
    } else {
      this.#disk.kill();
    }
    if (this.#hasFlips && this.#random() < 0.5) this.#flip();
  }

  /** Turns a bit somewhere below the durable end. */
  #flip(): void {
    const walPaths = this.#disk.paths().filter((path) => path.endsWith(".wal"));
    const path = walPaths[this.#below(walPaths.length)];
    const end = Math.min(...this.#durableAddresses.filter(Number.isFinite).slice(-1));
    if (path === undefined || this.#flippedAddress !== undefined) return;
    const sequence = Number(/(\d+)\.wal$/.exec(path)?.[1]);
    const room = Math.min(this.#fileBytes, end - sequence * 2 ** 32);
    if (room <= 0) return;
    const position = this.#below(room);
    this.#isCutTold = false;
    this.#disk.flipBit(path, position, this.#below(8));
    this.#flippedAddress = sequence * 2 ** 32 + position;
  }

  #noteDurable(address: number): void {
    const count = this.#log.filter((entry) => entry.address < address).length;
    this.#durableCount = Math.max(this.#durableCount, count);
    this.#durableAddresses = [this.#durableAddresses[1], address];
  }

  #see(entry: Appended): void {
    if (entry.partition < 0) return;
    const key = `${entry.partition}:${entry.offset}`;
    const seen = this.#visible.get(key);
    if (seen !== undefined && seen !== entry.id) {
      throw new ViolationError(`offset ${key} showed ${seen}, then ${entry.id}`);
    }
    this.#visible.set(key, entry.id);
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }
}
