/**
 * The numbered generations of a manifest as one writer continues them: deltas on a full generation, and another full
 * one when they have become many. Objects that the new full one makes superfluous are deleted once it is durable.
 */

import { assert } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import {
  type DeletedTopic,
  EMPTY_CONTENT,
  encodeManifest,
  type ManifestContent,
  type ManifestHeader,
  manifestKeyOf,
} from "./manifest-format.ts";
import type { FullPiece } from "./manifest-full.ts";
import type { Persistent } from "./manifest-put.ts";
import type { ManifestReading } from "./manifest-reading.ts";
import type { ObjectStore } from "./object-store.ts";

/** Deltas on one full generation, at most: so many, and as many again for each of these bytes that it has. */
const DELTAS = 32;
const DELTAS_PER_BYTES = 1024 * 1024;
const DELTAS_MAX = 512;
/** The deltas' bytes are at most as many as the full one's and these. */
const DELTA_BYTES_MIN = 64 * 1024;

export interface ManifestSeriesOptions {
  readonly store: ObjectStore;
  readonly persistent: Persistent;
  readonly clusterId: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How far in the WAL a generation reaches. */
export type ManifestEnds = Pick<ManifestHeader, "coveredEnd" | "sealedEnd">;

/** One generation is written at a time. After a failure the store has to be read again. */
export class ManifestSeries {
  readonly #options: ManifestSeriesOptions;
  #generation = -1;
  #nextGeneration = 0;
  #full: { readonly sizeBytes: number; deltaCount: number; deltaBytes: number } | undefined;
  /** Objects of the manifest that the next full generation makes superfluous. */
  #keys: string[] = [];

  constructor(options: ManifestSeriesOptions) {
    this.#options = options;
  }

  /** The newest that is durable; -1 before the first. */
  get generation(): number {
    return this.#generation;
  }

  get isFullDue(): boolean {
    if (this.#full === undefined) return true;
    const { sizeBytes, deltaCount, deltaBytes } = this.#full;
    const deltasMax = Math.min(DELTAS_MAX, DELTAS * (1 + sizeBytes / DELTAS_PER_BYTES));
    return deltaCount >= deltasMax || deltaBytes > sizeBytes + DELTA_BYTES_MIN;
  }

  /** Goes on from what is in the store. */
  continue({ manifest, keys, lastGeneration }: ManifestReading): void {
    this.#keys = [...keys];
    this.#nextGeneration = lastGeneration + 1;
    this.#generation = manifest?.header.generation ?? -1;
    this.#full = manifest && {
      sizeBytes: manifest.fullBytes,
      deltaCount: manifest.deltaCount,
      deltaBytes: manifest.deltaBytes,
    };
  }

  /** @throws StoppedError, ObjectExistsError */
  async writeDelta(ends: ManifestEnds, content: ManifestContent): Promise<void> {
    assert(this.#full !== undefined, "a delta builds on a full generation");
    const header = this.#headerOf(ends);
    const delta = { ...header, kind: "delta", link: this.#generation } as const;
    const bytes = encodeManifest(delta, content);
    await this.#put(delta, bytes);
    this.#full.deltaCount += 1;
    this.#full.deltaBytes += bytes.length;
  }

  /** @throws StoppedError, ObjectExistsError */
  async writeFull(
    ends: ManifestEnds,
    pieces: AsyncIterable<FullPiece>,
    deletedTopics: readonly DeletedTopic[],
  ): Promise<void> {
    const header = this.#headerOf(ends);
    const superfluous = this.#keys;
    this.#keys = [];
    let sizeBytes = 0;
    let partCount = 0;
    let last: FullPiece | undefined;
    for await (const piece of pieces) {
      if (last !== undefined) {
        sizeBytes += await this.#putPart({ ...header, kind: "part", link: partCount }, last);
        partCount += 1;
      }
      last = piece;
    }
    const full = { ...header, kind: "full", link: partCount } as const;
    const content = { ...EMPTY_CONTENT, ...last?.content, deletedTopics };
    const bytes = encodeManifest(full, content, last?.encoded);
    await this.#put(full, bytes);
    this.#full = { sizeBytes: sizeBytes + bytes.length, deltaCount: 0, deltaBytes: 0 };
    await this.#deleteKeys(superfluous);
  }

  #headerOf(ends: ManifestEnds): Omit<ManifestHeader, "kind" | "link"> {
    const { clusterId, clock } = this.#options;
    const generation = this.#nextGeneration;
    this.#nextGeneration += 1;
    return { generation, clusterId, createdMs: clock.nowMs(), ...ends };
  }

  async #putPart(header: ManifestHeader, { content, encoded }: FullPiece): Promise<number> {
    const key = manifestKeyOf(header.generation, header.link);
    const bytes = encodeManifest(header, { ...EMPTY_CONTENT, ...content }, encoded);
    this.#keys.push(key);
    await this.#options.persistent.put(key, bytes);
    return bytes.length;
  }

  /** Puts a generation, which then is the newest. */
  async #put({ generation }: ManifestHeader, bytes: Uint8Array): Promise<void> {
    const key = manifestKeyOf(generation);
    this.#keys.push(key);
    await this.#options.persistent.put(key, bytes);
    this.#generation = generation;
  }

  /** What can't be deleted now is with the next full generation. */
  async #deleteKeys(keys: readonly string[]): Promise<void> {
    const { store, logger } = this.#options;
    try {
      await store.delete(keys);
    } catch (thrown) {
      this.#keys.push(...keys);
      logger.warn("manifest_failed", { store: store.name, what: "delete", reason: String(thrown) });
    }
  }
}
