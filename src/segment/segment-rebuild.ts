/**
 * Makes the index of segments anew from the objects of a store alone: what the newest generation of its manifest names,
 * and objects that are newer than that.
 *
 * An object that no generation names counts only if it was sealed from beyond `sealedEnd`, where all that the
 * generation knows ends, and overlaps nothing: others were merged away, or were never registered. Of objects that
 * overlap, the lowest level counts: what a merge takes stays until a generation without it is in the store, whereas
 * what it makes may be there in part. Of two sealed ones the longer counts: the other is an attempt that was cut off.
 *
 * Without any generation there is only what the objects say of themselves. Then the one with more records counts.
 */

import { nextTurn } from "../core/clock.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { archiveEndsOf } from "./archive-end.ts";
import { ArchiveReader } from "./archive-reader.ts";
import type { RangeSource } from "./archive-source.ts";
import type { NamedTopic } from "./manifest-format.ts";
import { type ManifestReading, readManifests, type StoredManifest } from "./manifest-reading.ts";
import { type ObjectStat, type ObjectStore, ObjectStoreError } from "./object-store.ts";
import { decodeRanges, type SegmentFacts } from "./segment-facts.ts";
import { SegmentIndex } from "./segment-index.ts";
import { RANGES_NAME, SEGMENT_FORMAT_VERSION, SEGMENT_JSON } from "./segment-writer.ts";

/** Where a store keeps what. */
export interface StoredObjects {
  /** Of the manifest. */
  readonly manifests: ObjectStore;
  /** Of the segments: may be the same. */
  readonly segments: ObjectStore;
  /** The segment under a key; undefined if it is none's. */
  segmentIdOf(key: string): string | undefined;
}

export interface RebuiltIndex {
  readonly index: SegmentIndex;
  /** Registrations of entries below this WAL address are in the index. */
  readonly coveredEnd: number;
  /** Names of topics, by id, as far as they are known. */
  readonly topics: ReadonlyMap<string, string>;
  /** From which it was made; undefined if there was none. */
  readonly manifest: StoredManifest | undefined;
  readonly faults: ManifestReading["faults"];
  /** Segments that a generation named and whose objects are there. */
  readonly namedCount: number;
  /** Segments that no generation named. Who wrote them may have died before they were synced. */
  readonly newerIds: readonly string[];
  /** Named, but their objects are not there, or cut short: they are left out. */
  readonly missingIds: readonly string[];
  /** Objects that do not count. */
  readonly ignored: readonly { readonly segmentId: string; readonly reason: string }[];
}

/** @throws ObjectStoreError if the store can't be read, ManifestVersionError */
export async function rebuildSegmentIndex(objects: StoredObjects): Promise<RebuiltIndex> {
  const reading = await readManifests(objects.manifests);
  return await new Rebuild(objects, reading).run();
}

interface UnnamedSegment {
  readonly facts: SegmentFacts;
  readonly topics: readonly NamedTopic[];
}

class Rebuild {
  readonly #objects: StoredObjects;
  readonly #reading: ManifestReading;
  readonly #index: SegmentIndex;
  readonly #topics: Map<string, string>;
  readonly #ignored: { segmentId: string; reason: string }[] = [];

  constructor(objects: StoredObjects, reading: ManifestReading) {
    this.#objects = objects;
    this.#reading = reading;
    this.#index = reading.manifest?.index ?? new SegmentIndex();
    this.#topics = new Map(reading.manifest?.topics);
  }

  async run(): Promise<RebuiltIndex> {
    const { manifest, faults } = this.#reading;
    const missing = new Map<string, number>();
    for (const { segmentId, lengthBytes } of this.#index.segments()) {
      missing.set(segmentId, lengthBytes);
    }
    const namedCount = missing.size;
    const unnamed: UnnamedSegment[] = [];
    for await (const found of this.#objects.segments.list("")) {
      const segmentId = this.#objects.segmentIdOf(found.key);
      if (segmentId === undefined) continue;
      const namedBytes = missing.get(segmentId);
      if (namedBytes === undefined) {
        const segment = await this.#describe(segmentId, found);
        if (segment !== undefined) unnamed.push(segment);
      } else if (found.sizeBytes >= namedBytes) missing.delete(segmentId);
    }
    const missingIds = [...missing.keys()];
    this.#index.apply({ added: [], removedIds: missingIds });
    this.#hideDeleted();
    const newerIds = await this.#addNewer(unnamed);
    return {
      index: this.#index,
      coveredEnd: manifest?.header.coveredEnd ?? 0,
      topics: this.#topics,
      manifest,
      faults,
      namedCount: namedCount - missingIds.length,
      newerIds,
      missingIds,
      ignored: this.#ignored,
    };
  }

  async #describe(
    segmentId: string,
    { key, sizeBytes }: ObjectStat,
  ): Promise<UnnamedSegment | undefined> {
    const { segments } = this.#objects;
    const source: RangeSource = {
      name: key,
      readRange: (start, end) => segments.readRange(key, start, end),
    };
    let reason = "it is cut short";
    for await (const lengthBytes of archiveEndsOf(source, sizeBytes)) {
      try {
        const segment = await describeSegment(source, lengthBytes);
        if (segment.facts.segmentId === segmentId) return segment;
        reason = `it says that it is ${segment.facts.segmentId}`;
      } catch (thrown) {
        const isDamaged = thrown instanceof KafkaError || thrown instanceof SyntaxError;
        if (!isDamaged || thrown instanceof ObjectStoreError) throw thrown;
        reason = thrown.message;
      }
    }
    this.#ignored.push({ segmentId, reason });
    return undefined;
  }

  #hideDeleted(): void {
    const { manifest } = this.#reading;
    if (manifest === undefined) return;
    for (const topicId of [...this.#index.topicIds()]) {
      if (!manifest.topics.has(topicId)) this.#index.deleteTopic(topicId);
    }
    for (const topicId of manifest.deletedTopics.keys()) this.#index.deleteTopic(topicId);
    for (const { topicId, partition, offset } of manifest.logStarts.values()) {
      this.#index.setLogStartOffset(topicId, partition, offset);
    }
  }

  /** @returns those that count */
  async #addNewer(unnamed: readonly UnnamedSegment[]): Promise<string[]> {
    const { manifest } = this.#reading;
    const sealedEnd = manifest?.header.sealedEnd ?? 0;
    const newerIds: string[] = [];
    for (const { facts, topics } of unnamed.toSorted(manifest ? byLevel : byRecordCount)) {
      const { segmentId } = facts;
      const change = { added: [facts], removedIds: [] };
      const isOld = manifest !== undefined && facts.endAddress <= sealedEnd;
      const overlap = isOld ? undefined : this.#index.overlapOf(change);
      if (isOld || overlap !== undefined) {
        const reason = overlap ?? "it was replaced, or never registered";
        this.#ignored.push({ segmentId, reason });
        continue;
      }
      this.#index.apply(change);
      for (const { topicId, name } of topics) {
        const isDeleted = manifest?.deletedTopics.has(topicId) ?? false;
        if (!isDeleted && !this.#topics.has(topicId)) this.#topics.set(topicId, name);
      }
      newerIds.push(segmentId);
      if (newerIds.length % 64 === 0) await nextTurn();
    }
    return newerIds;
  }
}

/**
 * What an object says of itself. Its search index, if it has one, does not count: nobody knows whether it is whole.
 * @throws KafkaError if it is not a whole segment
 */
export async function describeSegment(
  source: RangeSource,
  lengthBytes: number,
): Promise<UnnamedSegment> {
  const archive = await ArchiveReader.open(source, lengthBytes);
  const json = parsedHead(await readFile(archive, SEGMENT_JSON));
  const ranges = decodeRanges(await readFile(archive, RANGES_NAME));
  const { segmentId, level, createdMs, startAddress, endAddress, topics } = json;
  const head = { segmentId, level, createdMs, startAddress, endAddress };
  return { facts: { ...head, lengthBytes, searchIndex: null, ranges }, topics };
}

async function readFile(archive: ArchiveReader, name: string): Promise<Uint8Array> {
  const entry = archive.entries().find((each) => each.name === name);
  if (entry === undefined) throw refusal(`It has no ${name}.`);
  return await archive.read(name, 0, entry.sizeBytes);
}

type Head = Omit<SegmentFacts, "lengthBytes" | "searchIndex" | "ranges"> & {
  readonly topics: readonly NamedTopic[];
};

function parsedHead(bytes: Uint8Array): Head {
  const value: unknown = JSON.parse(new TextDecoder().decode(bytes));
  if (typeof value !== "object" || value === null) throw refusal(`${SEGMENT_JSON} is no object.`);
  const head = value as Partial<Head> & { readonly formatVersion?: unknown };
  if (head.formatVersion !== SEGMENT_FORMAT_VERSION) {
    throw refusal(`${SEGMENT_JSON} has format ${String(head.formatVersion)}.`);
  }
  const numbers = [head.level, head.createdMs, head.startAddress, head.endAddress];
  const areNumbers = numbers.every((number) => Number.isSafeInteger(number));
  if (typeof head.segmentId !== "string" || !areNumbers || !Array.isArray(head.topics)) {
    throw refusal(`${SEGMENT_JSON} lacks something.`);
  }
  return head as Head;
}

function refusal(message: string): KafkaError {
  return new KafkaError(ErrorCode.kafkaStorageError, message);
}

/** What was there first, first; of the same round's attempts the last. */
function byLevel({ facts: one }: UnnamedSegment, { facts: other }: UnnamedSegment): number {
  return (
    one.level - other.level ||
    other.endAddress - one.endAddress ||
    other.createdMs - one.createdMs ||
    compareIds(one, other)
  );
}

function byRecordCount({ facts: one }: UnnamedSegment, { facts: other }: UnnamedSegment): number {
  return (
    recordCountOf(other) - recordCountOf(one) ||
    other.level - one.level ||
    other.endAddress - one.endAddress ||
    compareIds(one, other)
  );
}

function recordCountOf({ ranges }: SegmentFacts): number {
  return ranges.reduce((sum, { recordCount }) => sum + recordCount, 0);
}

function compareIds(one: SegmentFacts, other: SegmentFacts): number {
  return one.segmentId < other.segmentId ? -1 : 1;
}
