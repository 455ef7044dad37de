/**
 * Frozen generations of the search index, on disk. A generation covers a range of the WAL; its directory is
 *
 *   <dataDir>/search/<start address>-<end address>/      16 decimal digits each
 *     index/            Tantivy's files, written and renamed by the shim; missing if there is no record
 *     generation.txt    line 1: "chronik-search-generation <version> <crc32c of the rest, 8 hex digits>"
 *                       line 2: JSON, see `Manifest`
 *
 * The manifest is written last: without a valid one there is no generation. All of it can be rebuilt from the
 * WAL, so what is damaged or of another version is removed.
 */

import {
  type Disk,
  DiskError,
  type DiskFile,
  readWholeFile,
  removeTree,
  replaceFile,
  systemDisk,
} from "../core/disk.ts";
import { closeIndex, crc32c, FrozenIndex, freezeIndexes } from "../core/native.ts";
import { fileSequenceOf } from "../wal/wal-address.ts";
import { decodeFileHeader, FILE_HEADER_BYTES, walFileName } from "../wal/wal-format.ts";
import type { AddressRange, GenerationFacts, LoadedGeneration } from "./indexer-messages.ts";

const MAGIC = "chronik-search-generation";
const VERSION = 2;
const MANIFEST_NAME = "generation.txt";
const INDEX_NAME = "index";
const ADDRESS_DIGITS = 16;

/** What the manifest says beside the range in the directory's name. */
interface Manifest extends GenerationFacts {
  /** Of the WAL file in which the range ends: tells another WAL with the same addresses, while there is that file. */
  readonly walSalt: readonly number[] | null;
}

export interface StorePlace {
  /** `<dataDir>/search`. */
  readonly directory: string;
  readonly walDirectory: string;
}

/** Generations that were opened, and why others were removed. */
export interface LoadResult {
  readonly generations: readonly LoadedGeneration[];
  readonly dropped: readonly string[];
}

/** The name of a generation's directory. */
function generationName({ startAddress, endAddress }: AddressRange): string {
  const digits = (address: number) => String(address).padStart(ADDRESS_DIGITS, "0");
  return `${digits(startAddress)}-${digits(endAddress)}`;
}

/** What is known of the log before its generations are opened. */
export interface LoadLimits {
  /** What lies before it is found in segments. */
  readonly floorAddress: number;
  /** The log can be read from here on. */
  readonly oldestAddress: number;
  /** What claims to cover more is of another log. */
  readonly durableAddress: number;
}

/**
 * Opens the generations from the floor on that follow each other, and removes the others. A gap ends the chain
 * only where the log can still fill it.
 */
export async function loadGenerations(place: StorePlace, limits: LoadLimits): Promise<LoadResult> {
  const generations: LoadedGeneration[] = [];
  const dropped: string[] = [];
  let isChained = true;
  for (const name of await systemDisk.list(place.directory)) {
    const lastEnd = generations.at(-1)?.endAddress;
    const loaded = isChained ? await loadGeneration(place, name) : "it follows a missing one";
    const fault = typeof loaded === "string" ? loaded : faultOfRange(loaded, limits, lastEnd);
    if (typeof loaded !== "string" && fault === undefined) {
      generations.push(loaded);
      continue;
    }
    // A range that ends before the floor leaves no gap behind it.
    const range = generationRangeOf(name);
    if (typeof loaded !== "string" && loaded.indexNumber !== undefined) {
      closeIndex(loaded.indexNumber);
    }
    if (range !== undefined && canBeReadAgain(range, limits)) isChained = false;
    dropped.push(`${name}: ${fault}`);
    await removeTree(`${place.directory}/${name}`);
  }
  return { generations, dropped };
}

/** Writes a live index as a generation and opens it. @throws NativeError, DiskError */
export async function freezeGeneration(
  place: StorePlace,
  indexNumber: number,
  facts: GenerationFacts,
  excludedTopicIds: readonly string[],
): Promise<LoadedGeneration> {
  await systemDisk.createDirectory(place.directory);
  const directory = `${place.directory}/${generationName(facts)}`;
  // An attempt that was cut short may have left something.
  await removeTree(directory);
  await systemDisk.createDirectory(directory);
  const topicIds = facts.topicIds.filter((topicId) => !excludedTopicIds.includes(topicId));
  let frozen = { documentCount: 0, sizeBytes: 0 };
  if (topicIds.length > 0) {
    const filter = topicIds.length < facts.topicIds.length ? { excludedTopicIds } : undefined;
    frozen = freezeIndexes([indexNumber], `${directory}/${INDEX_NAME}`, filter);
  }
  const kept = { ...facts, ...frozen, topicIds };
  const manifest: Manifest = { ...kept, walSalt: await walSaltOf(place, facts) };
  await replaceFile(systemDisk, `${directory}/${MANIFEST_NAME}`, encodeManifest(manifest));
  await systemDisk.syncDirectory(place.directory);
  return { ...kept, indexNumber: openIndex(directory, kept) };
}

/** What is wrong with a generation's files; undefined if every checksum fits. */
export function faultOfGeneration(directory: string, range: AddressRange): string | undefined {
  try {
    const path = `${directory}/${generationName(range)}/${INDEX_NAME}`;
    new FrozenIndex(path, { isVerified: true }).close();
    return undefined;
  } catch (thrown) {
    return String(thrown);
  }
}

/** Removes a generation's files; indexes that are open on them stay readable until they are closed. */
export async function removeGeneration(directory: string, range: AddressRange): Promise<void> {
  await removeTree(`${directory}/${generationName(range)}`);
}

function generationRangeOf(name: string): AddressRange | undefined {
  const [, start, end] = /^(\d{16})-(\d{16})$/.exec(name) ?? [];
  if (start === undefined || end === undefined) return undefined;
  return { startAddress: Number(start), endAddress: Number(end) };
}

/** Whether the log still has what a generation covers. */
function canBeReadAgain({ startAddress, endAddress }: AddressRange, limits: LoadLimits): boolean {
  return (
    endAddress > limits.floorAddress &&
    Math.max(startAddress, limits.floorAddress) >= limits.oldestAddress
  );
}

function faultOfRange(
  range: AddressRange,
  { floorAddress, oldestAddress, durableAddress }: LoadLimits,
  lastEnd: number | undefined,
): string | undefined {
  if (range.endAddress > durableAddress) return "it ends behind the log";
  if (range.endAddress <= floorAddress) return "segments have its records";
  const expected = lastEnd ?? floorAddress;
  if (lastEnd !== undefined && range.startAddress < lastEnd) return "it overlaps another";
  // What the log can't bring back is left to the segments.
  const isGap = range.startAddress > expected && oldestAddress < range.startAddress;
  return isGap ? "it follows a missing one" : undefined;
}

/** The generation in a directory, opened; or why it is none. */
async function loadGeneration(place: StorePlace, name: string): Promise<LoadedGeneration | string> {
  const range = generationRangeOf(name);
  if (range === undefined) return "its name is unknown";
  const directory = `${place.directory}/${name}`;
  try {
    const bytes = await readWholeFile(systemDisk, `${directory}/${MANIFEST_NAME}`);
    if (bytes === undefined) return "it is unfinished";
    const manifest = decodeManifest(bytes);
    if (typeof manifest === "string") return manifest;
    const { walSalt, ...facts } = manifest;
    if (generationName(facts) !== name) return "its manifest is another's";
    const saltNow = await walSaltOf(place, facts);
    // A file of the log goes once its records are in segments.
    const isKnown = walSalt !== null && saltNow !== null;
    if (isKnown && walSalt.join() !== saltNow.join()) return "it was made from another log";
    return { ...facts, indexNumber: openIndex(directory, facts) };
  } catch (thrown) {
    return String(thrown);
  }
}

function openIndex(directory: string, facts: GenerationFacts): number | undefined {
  if (facts.documentCount === 0) return undefined;
  const index = new FrozenIndex(`${directory}/${INDEX_NAME}`);
  const { documentCount } = index.stats();
  if (documentCount === facts.documentCount) return index.number;
  index.close();
  throw new Error(`it has ${documentCount} records, not ${facts.documentCount}`);
}

function encodeManifest(manifest: Manifest): Uint8Array {
  const json = new TextEncoder().encode(`${JSON.stringify(manifest)}\n`);
  const crc = crc32c(json).toString(16).padStart(8, "0");
  const head = new TextEncoder().encode(`${MAGIC} ${VERSION} ${crc}\n`);
  const bytes = new Uint8Array(head.length + json.length);
  bytes.set(head);
  bytes.set(json, head.length);
  return bytes;
}

function decodeManifest(bytes: Uint8Array): Manifest | string {
  const lineEnd = bytes.indexOf(10);
  const [magic, version, crc] = new TextDecoder().decode(bytes.subarray(0, lineEnd)).split(" ");
  if (magic !== MAGIC) return "its manifest is damaged";
  if (version !== String(VERSION)) return `its format is of version ${version}`;
  const json = bytes.subarray(lineEnd + 1);
  if (crc !== crc32c(json).toString(16).padStart(8, "0")) return "its manifest is damaged";
  const manifest: Manifest = JSON.parse(new TextDecoder().decode(json));
  return manifest;
}

/** The salt of the WAL file in which the range ends; null if the file is gone. */
async function walSaltOf(
  place: StorePlace,
  range: AddressRange,
  disk: Disk = systemDisk,
): Promise<readonly number[] | null> {
  const path = `${place.walDirectory}/${walFileName(fileSequenceOf(range.endAddress))}`;
  let file: DiskFile;
  try {
    file = await disk.open(path, "read");
  } catch (thrown) {
    if (thrown instanceof DiskError && thrown.kind === "missing") return null;
    throw thrown;
  }
  try {
    const bytes = new Uint8Array(FILE_HEADER_BYTES);
    await file.read(bytes, 0);
    return [...decodeFileHeader(bytes, path).salt];
  } finally {
    await file.close();
  }
}
