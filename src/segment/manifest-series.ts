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
import type { Persistent } from "./manifest-put.ts";
import type { ManifestReading } from "./manifest-reading.ts";
import type { ObjectStore } from "./object-store.ts";

/** Deltas on one full generation; also, their bytes are at most as many as the full one's and these. */
const DELTAS_MAX = 32;
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
    return deltaCount >= DELTAS_MAX || deltaBytes > sizeBytes + DELTA_BYTES_MIN;
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
    contents: AsyncIterable<ManifestContent>,
    deletedTopics: readonly DeletedTopic[],
  ): Promise<void> {
    const header = this.#headerOf(ends);
    const superfluous = this.#keys;
    this.#keys = [];
    let sizeBytes = 0;
    let partCount = 0;
    let last: ManifestContent | undefined;
    for await (const content of contents) {
      if (last !== undefined) {
        sizeBytes += await this.#putPart({ ...header, kind: "part", link: partCount }, last);
        partCount += 1;
      }
      last = content;
    }
    const full = { ...header, kind: "full", link: partCount } as const;
    const bytes = encodeManifest(full, { ...EMPTY_CONTENT, ...last, deletedTopics });
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

  async #putPart(header: ManifestHeader, content: ManifestContent): Promise<number> {
    const key = manifestKeyOf(header.generation, header.link);
    const bytes = encodeManifest(header, content);
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
