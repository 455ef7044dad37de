/** Archives for tests: made from a list of files, read from memory. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { seededRandom } from "../../src/core/clock.ts";
import { type Disk, readWholeFile, systemDisk } from "../../src/core/disk.ts";
import { ErrorCode, KafkaError } from "../../src/protocol/errors.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import type { RangeSource } from "../../src/segment/archive-source.ts";
import { ArchiveWriter, type ChunkCompression } from "../../src/segment/archive-writer.ts";

export interface TestFile {
  readonly name: string;
  readonly content: Uint8Array;
  readonly chunkBytes: number;
  readonly compression: ChunkCompression;
}

/** Adds files and finishes. @returns the archive's length. */
export async function addFiles(
  writer: ArchiveWriter,
  files: readonly TestFile[],
  writeBytes = Number.POSITIVE_INFINITY,
): Promise<number> {
  for (const { content, ...options } of files) {
    await writer.beginFile({ ...options, sizeBytes: content.length });
    for (let position = 0; position < content.length; position += writeBytes) {
      await writer.write(content.subarray(position, position + writeBytes));
    }
    await writer.endFile();
  }
  return (await writer.finish()).lengthBytes;
}

/** The bytes of an archive; each further list of files is appended to the one before. */
export function archiveBytes(...lists: readonly (readonly TestFile[])[]): Promise<Uint8Array> {
  return inDirectory(async (directory) => {
    const path = join(directory, "archive");
    let lengthBytes = 0;
    for (const [index, files] of lists.entries()) {
      const writer = await (index === 0
        ? ArchiveWriter.create(systemDisk, path)
        : ArchiveWriter.append(systemDisk, path, lengthBytes));
      lengthBytes = await addFiles(writer, files);
    }
    const bytes = await bytesOf(systemDisk, path);
    if (bytes.length !== lengthBytes) throw new Error("the length is not the file's");
    return bytes;
  });
}

export async function bytesOf(disk: Disk, path: string): Promise<Uint8Array> {
  const bytes = await readWholeFile(disk, path);
  if (bytes === undefined) throw new Error(`${path} is missing`);
  return bytes;
}

/** An object in memory; it gives what it has. */
export function memorySource(bytes: Uint8Array): RangeSource {
  return { name: "archive-1", readRange: async (start, end) => bytes.slice(start, end) };
}

/** Reads all files, each as a whole. */
export async function readAll(
  source: RangeSource,
  lengthBytes: number,
): Promise<Map<string, Uint8Array>> {
  const reader = await ArchiveReader.open(source, lengthBytes);
  const contents = new Map<string, Uint8Array>();
  for (const { name, sizeBytes } of reader.entries()) {
    contents.set(name, await reader.read(name, 0, sizeBytes));
  }
  return contents;
}

/** Whether the contents are those of `files`, no more and no less. */
export function isContentOf(
  contents: ReadonlyMap<string, Uint8Array>,
  files: readonly TestFile[],
): boolean {
  const isSame = ({ name, content }: TestFile) =>
    Buffer.compare(contents.get(name) ?? new Uint8Array(1), content) === 0;
  return contents.size === files.length && files.every(isSame);
}

/** The sentence with which an action is refused; fails if it succeeds or the error is of another kind. */
export async function storageError(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (thrown) {
    if (!(thrown instanceof KafkaError)) throw thrown;
    if (thrown.code !== ErrorCode.kafkaStorageError) throw thrown;
    return thrown.message;
  }
  throw new Error("nothing was thrown");
}

export async function inDirectory<Result>(
  use: (directory: string) => Promise<Result>,
): Promise<Result> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-archive-"));
  try {
    return await use(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

/** Bytes that no codec makes smaller. */
export function noise(sizeBytes: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  return Uint8Array.from({ length: sizeBytes }, () => Math.floor(random() * 256));
}

/** Bytes that become a good deal smaller. */
export function prose(sizeBytes: number, seed: number): Uint8Array {
  const random = seededRandom(seed);
  return Uint8Array.from({ length: sizeBytes }, () => 97 + Math.floor(random() * 3));
}
