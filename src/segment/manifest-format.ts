/**
 * The bytes of a manifest's objects. A manifest says which segments of a store are registered, so that the store's
 * objects alone tell which of them are alive. It is one series of generations for all topics, each a number higher:
 *
 *   full    everything; what came before it is no longer needed
 *   delta   what has changed since the generation `previous`
 *   part    what did not fit into a full generation's own object; it comes before that
 *
 * Keys: `manifests/` and the generation in 16 digits; a part has a hyphen and its number in 6 digits behind that. A key
 * is never written twice with other bytes, so two writers of one store notice each other. An object (big-endian):
 *
 *    0 magic "CHRNMANI"    8 version u32   12 kind u8 (0 part, 1 full, 2 delta)   13 generation i64
 *   21 link i64: a part's number, how many parts a full one has, the previous generation of a delta
 *   29 cluster id uuid    45 createdMs i64   53 coveredEnd i64   61 sealedEnd i64   69 contentBytes u32
 *   73 CRC-32C u32 of bytes 0 to 72
 *   77 content, then CRC-32C u32 of the content
 *
 * Magic, version and the header's CRC stay where they are in all versions.
 *
 * Content, each list with its count u32 before it:
 *
 *   topics that there are: uuid, name (u16 length, UTF-8)
 *   where logs start: topic uuid, partition i32, offset i64
 *   deleted topics: uuid, address i64 before which their last records lie in the WAL
 *   segments that are no longer registered: uuid
 *   registered segments: length u32, facts (`encodeSegmentFacts`)
 */

import { crc32c } from "../core/native.ts";
import { readUint32At } from "../protocol/big-endian.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { Reader } from "../protocol/reader.ts";
import { Writer } from "../protocol/writer.ts";
import { encodeSegmentFacts, type SegmentFacts } from "./segment-facts.ts";

export const MANIFEST_PREFIX = "manifests/";
export const MANIFEST_HEADER_BYTES = 77;
const MAGIC = new TextEncoder().encode("CHRNMANI");
const VERSION = 1;
const VERSION_POSITION = MAGIC.length;
const KIND_POSITION = 12;
const HEADER_CRC_POSITION = MANIFEST_HEADER_BYTES - 4;
const CRC_BYTES = 4;
const KINDS = ["part", "full", "delta"] as const;
const GENERATION_DIGITS = 16;
const PART_DIGITS = 6;
const KEY = /^manifests\/(\d{16})(?:-(\d{6}))?$/;

/** What an object of a manifest is. */
export interface ManifestHeader {
  readonly kind: (typeof KINDS)[number];
  readonly generation: number;
  readonly link: number;
  readonly clusterId: string;
  readonly createdMs: number;
  /** Registrations of entries below this WAL address are in the generation, no others. */
  readonly coveredEnd: number;
  /** No segment that was registered until then reaches beyond this WAL address. */
  readonly sealedEnd: number;
}

/** What it says. */
export interface ManifestContent {
  readonly topics: readonly NamedTopic[];
  readonly logStarts: readonly LogStart[];
  /** All that a segment which nobody has named yet may have records of. */
  readonly deletedTopics: readonly DeletedTopic[];
  readonly removedIds: readonly string[];
  readonly added: readonly SegmentFacts[];
}

export interface NamedTopic {
  readonly topicId: string;
  readonly name: string;
}

/** Records before `offset` are deleted. */
export interface LogStart {
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
}

export interface DeletedTopic {
  readonly topicId: string;
  /** Its records lie before this WAL address. */
  readonly endAddress: number;
}

/** A later version of this program wrote it: nothing may be concluded, and nothing be written behind it. */
export class ManifestVersionError extends KafkaError {
  constructor(version: number) {
    super(
      ErrorCode.kafkaStorageError,
      `A manifest has format ${version}, of a newer version of this program. Use that version.`,
    );
  }
}

/** Segments as they lie in a content, so that many can be encoded in slices. */
export interface EncodedSegments {
  readonly count: number;
  readonly bytes: Uint8Array;
}

export const EMPTY_CONTENT: ManifestContent = {
  topics: [],
  logStarts: [],
  deletedTopics: [],
  removedIds: [],
  added: [],
};

/** The key of a generation; of one of its parts if `part` is given. */
export function manifestKeyOf(generation: number, part?: number): string {
  const key = `${MANIFEST_PREFIX}${String(generation).padStart(GENERATION_DIGITS, "0")}`;
  return part === undefined ? key : `${key}-${String(part).padStart(PART_DIGITS, "0")}`;
}

/** What a key stands for; undefined if it is not a manifest's. */
export function parseManifestKey(
  key: string,
): { readonly generation: number; readonly part: number | undefined } | undefined {
  const [, generation, part] = KEY.exec(key) ?? [];
  if (generation === undefined) return undefined;
  return { generation: Number(generation), part: part === undefined ? undefined : Number(part) };
}

export function encodeSegments(segments: readonly SegmentFacts[]): EncodedSegments {
  const writer = new Writer(4096);
  for (const facts of segments) {
    const bytes = encodeSegmentFacts(facts);
    writer.writeInt32(bytes.length);
    writer.writeRaw(bytes);
  }
  return { count: segments.length, bytes: writer.bytesWritten().slice() };
}

/** @param encoded segments that come before those of the content */
export function encodeManifest(
  header: ManifestHeader,
  content: ManifestContent,
  encoded: readonly EncodedSegments[] = [],
): Uint8Array {
  const writer = new Writer(4096);
  writer.writeRaw(MAGIC);
  writer.writeUint32(VERSION);
  writer.writeInt8(KINDS.indexOf(header.kind));
  writer.writeInt64(header.generation);
  writer.writeInt64(header.link);
  writer.writeUuid(header.clusterId);
  writer.writeInt64(header.createdMs);
  writer.writeInt64(header.coveredEnd);
  writer.writeInt64(header.sealedEnd);
  const lengthPosition = writer.position;
  writer.writeInt32(0);
  writer.writeInt32(0);
  writeContent(writer, content, [...encoded, encodeSegments(content.added)]);
  writer.setInt32At(lengthPosition, writer.position - MANIFEST_HEADER_BYTES);
  writer.setInt32At(HEADER_CRC_POSITION, crc32c(writer.bytesWritten(), 0, HEADER_CRC_POSITION) | 0);
  writer.writeInt32(crc32c(writer.bytesWritten(), MANIFEST_HEADER_BYTES) | 0);
  return writer.bytesWritten().slice();
}

/** @throws KafkaError KAFKA_STORAGE_ERROR if `bytes` do not begin with a whole header; ManifestVersionError */
export function decodeManifestHeader(bytes: Uint8Array): ManifestHeader {
  if (bytes.length < MANIFEST_HEADER_BYTES || !MAGIC.every((byte, at) => bytes[at] === byte)) {
    refuse("is none");
  }
  if (readUint32At(bytes, HEADER_CRC_POSITION) !== crc32c(bytes, 0, HEADER_CRC_POSITION)) {
    refuse("is damaged in its header");
  }
  const version = readUint32At(bytes, VERSION_POSITION);
  if (version > VERSION) throw new ManifestVersionError(version);
  const kind = KINDS[bytes[KIND_POSITION] ?? KINDS.length];
  if (kind === undefined) refuse("is of no known kind");
  const reader = new Reader(bytes, KIND_POSITION + 1, HEADER_CRC_POSITION);
  return {
    kind,
    generation: reader.readInt64(),
    link: reader.readInt64(),
    clusterId: reader.readUuid(),
    createdMs: reader.readInt64(),
    coveredEnd: reader.readInt64(),
    sealedEnd: reader.readInt64(),
  };
}

/** A manifest's object with its segments not decoded yet: that takes a while, and is the caller's to slice. */
export interface DecodedManifest {
  readonly header: ManifestHeader;
  readonly content: Omit<ManifestContent, "added">;
  /** For `decodeSegmentFacts`. Views of what was decoded. */
  readonly segments: readonly Uint8Array[];
}

/** @throws KafkaError KAFKA_STORAGE_ERROR if `bytes` are not what was written; ManifestVersionError */
export function decodeManifest(bytes: Uint8Array): DecodedManifest {
  const header = decodeManifestHeader(bytes);
  const end = MANIFEST_HEADER_BYTES + readUint32At(bytes, HEADER_CRC_POSITION - 4);
  if (bytes.length !== end + CRC_BYTES) refuse("is cut short, or has something behind it");
  const crc = crc32c(bytes, MANIFEST_HEADER_BYTES, end);
  if (readUint32At(bytes, end) !== crc) refuse("is damaged");
  try {
    return { header, ...readContent(new Reader(bytes, MANIFEST_HEADER_BYTES, end)) };
  } catch (cause) {
    refuse(`has a valid checksum, but cannot be read: ${String(cause)}`, cause);
  }
}

function writeContent(
  writer: Writer,
  content: ManifestContent,
  added: readonly EncodedSegments[],
): void {
  writeList(writer, content.topics, ({ topicId, name }) => {
    writer.writeUuid(topicId);
    writer.writeString(name);
  });
  writeList(writer, content.logStarts, ({ topicId, partition, offset }) => {
    writer.writeUuid(topicId);
    writer.writeInt32(partition);
    writer.writeInt64(offset);
  });
  writeList(writer, content.deletedTopics, ({ topicId, endAddress }) => {
    writer.writeUuid(topicId);
    writer.writeInt64(endAddress);
  });
  writeList(writer, content.removedIds, (segmentId) => writer.writeUuid(segmentId));
  writer.writeInt32(added.reduce((sum, { count }) => sum + count, 0));
  for (const { bytes } of added) writer.writeRaw(bytes);
}

function readContent(reader: Reader): Omit<DecodedManifest, "header"> {
  const content = {
    topics: readList(reader, 18, () => ({
      topicId: reader.readUuid(),
      name: reader.readString(),
    })),
    logStarts: readList(reader, 28, () => ({
      topicId: reader.readUuid(),
      partition: reader.readInt32(),
      offset: reader.readInt64(),
    })),
    deletedTopics: readList(reader, 24, () => ({
      topicId: reader.readUuid(),
      endAddress: reader.readInt64(),
    })),
    removedIds: readList(reader, 16, () => reader.readUuid()),
  };
  const segments = readList(reader, 4, () => reader.readView(reader.readInt32()));
  if (reader.remaining > 0) refuse("has something behind its lists");
  return { content, segments };
}

function writeList<Value>(
  writer: Writer,
  values: readonly Value[],
  write: (value: Value) => void,
): void {
  writer.writeInt32(values.length);
  for (const value of values) write(value);
}

/** No more is allocated than the bytes at hand can hold. */
function readList<Value>(reader: Reader, bytesMin: number, read: () => Value): Value[] {
  const count = reader.readInt32();
  if (count < 0 || count * bytesMin > reader.remaining) refuse(`announces ${count} elements`);
  return Array.from({ length: count }, read);
}

function refuse(reason: string, cause?: unknown): never {
  throw new KafkaError(ErrorCode.kafkaStorageError, `A manifest ${reason}.`, { cause });
}
