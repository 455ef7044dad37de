/** For tests of damage: flips bits where a file of a segment's archive lies. */

import { expect } from "bun:test";
import { systemDisk } from "../../src/core/disk.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import { LocalFileSource } from "../../src/segment/archive-source.ts";
import { type ArchiveEntry, chunkPlace } from "../../src/segment/archive-toc.ts";
import { searchIndexFiles } from "../../src/segment/segment-search-index.ts";

/** Flips a bit in every chunk of the files that `choose` takes of those in the archive at `path`. */
export async function damageFiles(
  path: string,
  choose: (entries: readonly ArchiveEntry[]) => readonly ArchiveEntry[],
): Promise<void> {
  const bytes = await Bun.file(path).bytes();
  const source = await LocalFileSource.open(systemDisk, path);
  const { contents } = await ArchiveReader.open(source, bytes.length);
  await source.close();
  const files = choose(contents.entries);
  expect(files.length).toBeGreaterThan(0);
  for (const { firstChunk, chunkCount } of files) {
    for (let index = firstChunk; index < firstChunk + chunkCount; index += 1) {
      const { position, memberBytes } = chunkPlace(contents.chunkRows, index);
      const middle = position + Math.floor(memberBytes / 2);
      bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    }
  }
  await Bun.write(path, bytes);
}

/** The same for the search index that readers take. */
export async function damageSearchIndex(path: string): Promise<void> {
  await damageFiles(path, searchIndexFiles);
}
