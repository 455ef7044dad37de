/**
 * Gives merged segments their search index: made from those of the inputs, without reading a record again. It is
 * written to a directory beside the segments first, `<segment id>.index`, and from there appended to the archive.
 */

import type { Disk, DiskFile } from "../core/disk.ts";
import { removeTree } from "../core/disk.ts";
import type { OpenedIndex } from "../core/native.ts";
import { type KeptRange, mergeIndexes, openArchivedIndex } from "../core/native-segments.ts";
import { ArchiveWriter } from "./archive-writer.ts";
import type { MergeInput } from "./merging-messages.ts";
import type { SegmentFacts } from "./segment-facts.ts";
import { segmentFileName } from "./segment-writer.ts";

const DIRECTORY_SUFFIX = ".index";
/** In the archive, of an index's first files. */
const FILE_PREFIX = "index/";
const CHUNK_BYTES = 64 * 1024;
const COPY_BYTES = 512 * 1024;

/** The segment whose index was being made in a directory of this name; undefined if it is none. */
export function segmentIdOfIndexDirectory(name: string): string | undefined {
  return name.endsWith(DIRECTORY_SUFFIX) ? name.slice(0, -DIRECTORY_SUFFIX.length) : undefined;
}

/** The inputs' indexes, open. */
export class MergingSearchIndexes {
  readonly #disk: Disk;
  /** Of the segments. */
  readonly #directory: string;
  readonly #indexes: OpenedIndex[] = [];

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
  }

  /** @throws NativeError if the index is damaged or of another schema */
  open({ segmentId, lengthBytes, documentCount }: MergeInput): void {
    // Without a record there are no files.
    if (documentCount === 0) return;
    const path = `${this.#directory}/${segmentFileName(segmentId)}`;
    this.#indexes.push(openArchivedIndex({ path, lengthBytes }));
  }

  /**
   * Appends to a segment's archive the index of its records, or of those that are named.
   * @returns the facts with it
   * @throws NativeError, DiskError, KafkaError; the archive is as it was then
   */
  async addTo(
    facts: SegmentFacts,
    kept: readonly KeptRange[] = facts.ranges,
  ): Promise<SegmentFacts> {
    if (this.#indexes.length === 0) {
      return { ...facts, searchIndex: { documentCount: 0, sizeBytes: 0, times: null } };
    }
    const indexDirectory = `${this.#directory}/${facts.segmentId}${DIRECTORY_SUFFIX}`;
    // A Worker that died may have left something.
    await removeTree(indexDirectory);
    try {
      const ranges = kept.map(({ topicId, partition, startOffset, endOffset }) => {
        return { topicId, partition, startOffset, endOffset };
      });
      const { documentCount, sizeBytes, times } = mergeIndexes({
        sources: this.#indexes.map(({ number }) => number),
        directory: indexDirectory,
        keep: { kind: "ranges", ranges },
      });
      const searchIndex = { documentCount, sizeBytes, times };
      if (documentCount === 0) return { ...facts, searchIndex };
      return { ...facts, searchIndex, lengthBytes: await this.#append(facts, indexDirectory) };
    } finally {
      await removeTree(indexDirectory);
    }
  }

  close(): void {
    for (const index of this.#indexes) index.close();
  }

  /** @returns the archive's new length */
  async #append({ segmentId, lengthBytes }: SegmentFacts, indexDirectory: string): Promise<number> {
    const path = `${this.#directory}/${segmentFileName(segmentId)}`;
    const writer = await ArchiveWriter.append(this.#disk, path, lengthBytes);
    try {
      for (const name of await this.#disk.list(indexDirectory)) {
        // Tantivy's locks and its list of files to be deleted.
        if (name.startsWith(".")) continue;
        const file = await this.#disk.open(`${indexDirectory}/${name}`, "read");
        try {
          await copyFile(writer, `${FILE_PREFIX}${name}`, file);
        } finally {
          await file.close();
        }
      }
      return (await writer.finish()).lengthBytes;
    } catch (thrown) {
      await writer.abort();
      throw thrown;
    }
  }
}

async function copyFile(writer: ArchiveWriter, name: string, file: DiskFile): Promise<void> {
  const sizeBytes = await file.sizeBytes();
  await writer.beginFile({ name, sizeBytes, chunkBytes: CHUNK_BYTES, compression: "stored" });
  const buffer = new Uint8Array(Math.min(COPY_BYTES, sizeBytes));
  for (let position = 0; position < sizeBytes; ) {
    const readBytes = await file.read(buffer, position);
    await writer.write(buffer.subarray(0, readBytes));
    position += readBytes;
    if (readBytes === 0) break;
  }
  await writer.endFile();
}
