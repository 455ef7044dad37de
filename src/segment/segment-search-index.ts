/**
 * Adds a search index to a segment's archive: the files of its directory as `index/…`. One that replaces an index
 * lies behind it, as `index-2/…` and so on; readers take the last.
 */

import type { Disk } from "../core/disk.ts";
import { ArchiveReader } from "./archive-reader.ts";
import { LocalFileSource } from "./archive-source.ts";
import type { ArchiveEntry } from "./archive-toc.ts";
import { ArchiveWriter } from "./archive-writer.ts";

/** What a search reads at least. */
const CHUNK_BYTES = 64 * 1024;
const META_NAME = "meta.json";
const META_PATTERN = /^(index(?:-\d+)?\/)meta\.json$/;

export interface SegmentObject {
  readonly path: string;
  /** As registered. */
  readonly lengthBytes: number;
}

/** The files of the index that readers take: what it has replaced counts no more, and may be damaged. */
export function searchIndexFiles(entries: readonly ArchiveEntry[]): readonly ArchiveEntry[] {
  const meta = entries.findLast(({ name }) => META_PATTERN.test(name));
  const directory = META_PATTERN.exec(meta?.name ?? "")?.[1];
  if (directory === undefined) return [];
  return entries.filter(({ name }) => name.startsWith(directory));
}

/**
 * Appends the index in `indexDirectory`. What is registered stays readable meanwhile.
 * @returns the archive's new length, once it is on disk
 * @throws DiskError, KafkaError KAFKA_STORAGE_ERROR; then the archive is as it was
 */
export async function appendSearchIndex(
  disk: Disk,
  segment: SegmentObject,
  indexDirectory: string,
): Promise<number> {
  const directory = await freeIndexName(disk, segment);
  const names = (await disk.list(indexDirectory)).filter((name) => !name.startsWith("."));
  const writer = await ArchiveWriter.append(disk, segment.path, segment.lengthBytes);
  try {
    // Tantivy's list of the files comes last: where it is, the others are.
    for (const name of [...names.filter((one) => one !== META_NAME), META_NAME]) {
      await addFile(writer, {
        disk,
        path: `${indexDirectory}/${name}`,
        name: `${directory}/${name}`,
      });
    }
    return (await writer.finish()).lengthBytes;
  } catch (thrown) {
    await writer.abort();
    throw thrown;
  }
}

async function freeIndexName(disk: Disk, segment: SegmentObject): Promise<string> {
  const source = await LocalFileSource.open(disk, segment.path);
  try {
    const archive = await ArchiveReader.open(source, segment.lengthBytes);
    const isTaken = (name: string) =>
      archive.entries().some((entry) => entry.name === `${name}/${META_NAME}`);
    let name = "index";
    for (let number = 2; isTaken(name); number += 1) name = `index-${number}`;
    return name;
  } finally {
    await source.close();
  }
}

async function addFile(
  writer: ArchiveWriter,
  { disk, path, name }: { readonly disk: Disk; readonly path: string; readonly name: string },
): Promise<void> {
  const file = await disk.open(path, "read");
  try {
    const sizeBytes = await file.sizeBytes();
    await writer.beginFile({ name, sizeBytes, chunkBytes: CHUNK_BYTES, compression: "stored" });
    const buffer = new Uint8Array(Math.min(sizeBytes, 16 * CHUNK_BYTES));
    for (let position = 0; position < sizeBytes; ) {
      const count = await file.read(buffer.subarray(0, sizeBytes - position), position);
      await writer.write(buffer.subarray(0, count));
      position += count;
    }
    await writer.endFile();
  } finally {
    await file.close();
  }
}
