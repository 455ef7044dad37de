/**
 * Reads what a store's manifest says: the newest generation that is whole, from the full one that it builds on, delta
 * by delta. What a writer left half-written is passed over; what is damaged is told.
 */

import { nextTurn } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import {
  type DecodedManifest,
  decodeManifest,
  decodeManifestHeader,
  type LogStart,
  MANIFEST_HEADER_BYTES,
  MANIFEST_PREFIX,
  type ManifestHeader,
  ManifestVersionError,
  manifestKeyOf,
  parseManifestKey,
} from "./manifest-format.ts";
import type { ObjectStore } from "./object-store.ts";
import { decodeSegmentFacts, type SegmentFacts } from "./segment-facts.ts";
import { SegmentIndex } from "./segment-index.ts";

/** Decoded between two turns of the event loop. */
const SEGMENTS_PER_SLICE = 16;

/** What the newest generation says. */
export interface StoredManifest {
  readonly header: ManifestHeader;
  /** The segments that are registered, those of deleted topics and records included. */
  readonly index: SegmentIndex;
  /** Names of the topics that there are, by id. */
  readonly topics: ReadonlyMap<string, string>;
  /** By topic id and partition, where a log does not start at 0. */
  readonly logStarts: ReadonlyMap<string, LogStart>;
  /** By topic id: the WAL address before which the last records lie. */
  readonly deletedTopics: ReadonlyMap<string, number>;
  /** The full generation that it builds on. */
  readonly fullGeneration: number;
  /** Deltas behind the full generation, and their bytes. */
  readonly deltaCount: number;
  readonly deltaBytes: number;
  readonly fullBytes: number;
}

/** Something that is not as it was written. */
export interface ManifestFault {
  readonly key: string;
  readonly reason: string;
}

export interface ManifestReading {
  /** Undefined if there is none, or none that is whole. */
  readonly manifest: StoredManifest | undefined;
  readonly faults: readonly ManifestFault[];
  /** Every key of a manifest in the store, ascending. */
  readonly keys: readonly string[];
  /** The highest generation of which there is anything; -1 if there is nothing. */
  readonly lastGeneration: number;
}

/** The place of a log start in `StoredManifest.logStarts`. */
export function logStartKeyOf({ topicId, partition }: Omit<LogStart, "offset">): string {
  return `${topicId}/${partition}`;
}

/** @throws ObjectStoreError if the store can't be read, ManifestVersionError */
export async function readManifests(store: ObjectStore): Promise<ManifestReading> {
  const keys: string[] = [];
  const generations: number[] = [];
  let lastGeneration = -1;
  for await (const { key } of store.list(MANIFEST_PREFIX)) {
    const place = parseManifestKey(key);
    if (place === undefined) continue;
    keys.push(key);
    lastGeneration = Math.max(lastGeneration, place.generation);
    if (place.part === undefined) generations.push(place.generation);
  }
  const faults: ManifestFault[] = [];
  for (const newest of generations.toReversed()) {
    const state = await attempt(newest, faults, () => readChain(store, newest));
    if (state !== undefined) return { manifest: state, faults, keys, lastGeneration };
  }
  return { manifest: undefined, faults, keys, lastGeneration };
}

/** Notes what is damaged or missing; what the store can't do is the caller's. */
async function attempt<Result>(
  generation: number,
  faults: ManifestFault[],
  read: () => Promise<Result>,
): Promise<Result | undefined> {
  try {
    return await read();
  } catch (thrown) {
    if (!(thrown instanceof ChainFault)) throw thrown;
    const isKnown = faults.some(({ key }) => key === thrown.key);
    if (!isKnown) faults.push({ key: thrown.key, reason: thrown.message });
    if (thrown.key !== manifestKeyOf(generation) && !isKnown) {
      const reason = `it can't be used without ${thrown.key}`;
      faults.push({ key: manifestKeyOf(generation), reason });
    }
    return undefined;
  }
}

class ChainFault extends Error {
  readonly key: string;

  constructor(key: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.key = key;
  }
}

async function readChain(store: ObjectStore, newest: number): Promise<StoredManifest> {
  const chain = [newest];
  for (;;) {
    const generation = chain.at(-1) ?? newest;
    const { kind, link } = await readHeader(store, generation);
    if (kind === "full") break;
    if (link < 0 || link >= generation) {
      throw new ChainFault(manifestKeyOf(generation), `it names ${link} as the one before it`);
    }
    chain.push(link);
  }
  const state = new ChainState();
  for (const generation of chain.toReversed()) await state.read(store, generation);
  return state.result();
}

async function readHeader(store: ObjectStore, generation: number): Promise<ManifestHeader> {
  const key = manifestKeyOf(generation);
  const bytes = await readWhole(store, key, MANIFEST_HEADER_BYTES);
  return checked(key, () => {
    const header = decodeManifestHeader(bytes);
    if (header.generation !== generation || header.kind === "part") {
      throw new KafkaError(ErrorCode.kafkaStorageError, "It is another's.");
    }
    return header;
  });
}

/** What a chain's generations up to one say together. */
class ChainState {
  readonly #index = new SegmentIndex();
  readonly #topics = new Map<string, string>();
  readonly #logStarts = new Map<string, LogStart>();
  readonly #deletedTopics = new Map<string, number>();
  #header: ManifestHeader | undefined;
  #fullGeneration = 0;
  #deltaCount = 0;
  #deltaBytes = 0;
  #fullBytes = 0;

  async read(store: ObjectStore, generation: number): Promise<void> {
    const key = manifestKeyOf(generation);
    const bytes = await readWhole(store, key);
    const decoded = checked(key, () => decodeManifest(bytes));
    const { header } = decoded;
    if (header.kind === "full") {
      await this.#readFull(store, decoded);
      this.#fullGeneration = generation;
      this.#fullBytes += bytes.length;
    } else {
      const added: SegmentFacts[] = [];
      await eachSegment(key, decoded, (facts) => added.push(facts));
      const { removedIds } = decoded.content;
      // An AssertionError, if it does not fit what is there.
      checked(key, () => this.#index.apply({ added, removedIds }));
      this.#take(decoded);
      this.#deltaCount += 1;
      this.#deltaBytes += bytes.length;
    }
    this.#header = header;
  }

  result(): StoredManifest {
    const header = this.#header;
    if (header === undefined) throw new Error("a chain has at least one generation");
    return {
      header,
      index: this.#index,
      topics: this.#topics,
      logStarts: this.#logStarts,
      deletedTopics: this.#deletedTopics,
      fullGeneration: this.#fullGeneration,
      deltaCount: this.#deltaCount,
      deltaBytes: this.#deltaBytes,
      fullBytes: this.#fullBytes,
    };
  }

  /** Its segments come in any order, before anything is looked up. */
  async #readFull(store: ObjectStore, full: DecodedManifest): Promise<void> {
    const { header } = full;
    const restore = (facts: SegmentFacts): void => this.#index.restore(facts);
    for (let part = 0; part < header.link; part += 1) {
      const key = manifestKeyOf(header.generation, part);
      const bytes = await readWhole(store, key);
      const decoded = checked(key, () => {
        const manifest = decodeManifest(bytes);
        const { kind, generation, link } = manifest.header;
        if (kind !== "part" || generation !== header.generation || link !== part) {
          throw new KafkaError(ErrorCode.kafkaStorageError, "It is another's.");
        }
        return manifest;
      });
      await eachSegment(key, decoded, restore);
      this.#take(decoded);
      this.#fullBytes += bytes.length;
    }
    const key = manifestKeyOf(header.generation);
    await eachSegment(key, full, restore);
    this.#take(full);
    checked(key, () => {
      const fault = this.#index.finishRestore();
      if (fault !== undefined) throw new KafkaError(ErrorCode.kafkaStorageError, `${fault}.`);
    });
  }

  #take({ content: { topics, logStarts, deletedTopics } }: DecodedManifest): void {
    for (const { topicId, name } of topics) this.#topics.set(topicId, name);
    for (const start of logStarts) this.#logStarts.set(logStartKeyOf(start), start);
    // Each names all that still matter.
    this.#deletedTopics.clear();
    for (const { topicId, endAddress } of deletedTopics) {
      this.#deletedTopics.set(topicId, endAddress);
      this.#topics.delete(topicId);
    }
  }
}

/** Decodes the segments in slices. @throws ChainFault */
async function eachSegment(
  key: string,
  { segments }: DecodedManifest,
  take: (facts: SegmentFacts) => void,
): Promise<void> {
  for (let start = 0; start < segments.length; start += SEGMENTS_PER_SLICE) {
    for (const bytes of segments.slice(start, start + SEGMENTS_PER_SLICE)) {
      checked(key, () => take(decodeSegmentFacts(bytes)));
    }
    await nextTurn();
  }
}

/** The object, or its beginning. @throws ChainFault if there is none, ObjectStoreError */
async function readWhole(
  store: ObjectStore,
  key: string,
  lengthBytes?: number,
): Promise<Uint8Array> {
  const found = await store.stat(key);
  if (found === undefined) throw new ChainFault(key, new Error("it is missing"));
  return await store.readRange(key, 0, Math.min(found.sizeBytes, lengthBytes ?? found.sizeBytes));
}

function checked<Result>(key: string, read: () => Result): Result {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof ManifestVersionError) throw thrown;
    throw new ChainFault(key, thrown);
  }
}
