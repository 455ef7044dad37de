/** An index of segments that is damaged or lost is rebuilt from the objects, at a start, and that is said. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { createLogger } from "../../src/core/logger.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import type { SegmentIndex } from "../../src/segment/segment-index.ts";
import { loadSegmentIndex } from "../../src/segment/segment-index-file.ts";
import { openSegmentIndex } from "../../src/segment/segment-index-opening.ts";
import { openedStorage } from "../broker/opened-storage.ts";
import { makeSealedDirectory } from "./sealed-directory.ts";
import { findingsOf } from "./whole.ts";

const directories: string[] = [];
let original = "";

async function temporaryDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-opening-"));
  directories.push(directory);
  return directory;
}

beforeAll(async () => {
  original = await temporaryDirectory();
  await makeSealedDirectory(original);
});
afterAll(async () => {
  for (const directory of directories) await rm(directory, { recursive: true });
});

async function copied(): Promise<string> {
  const copy = await temporaryDirectory();
  await cp(original, copy, { recursive: true });
  return copy;
}

function factsOf(index: SegmentIndex) {
  const ids = [...index.segments()].map(({ segmentId }) => segmentId).sort();
  return ids.map((segmentId) => index.segment(segmentId));
}

async function opened(dataDir: string) {
  const lines: string[] = [];
  const logger = createLogger("warn", (line) => lines.push(line));
  const objects = new FileObjectStore({ disk: systemDisk, directory: join(dataDir, "segments") });
  const result = await openSegmentIndex({ disk: systemDisk, dataDir, objects, logger });
  return { ...result, text: lines.join("") };
}

test("segment index: a whole one is read, and nothing is said", async () => {
  const { index, isRebuilt, text } = await opened(original);
  expect(isRebuilt).toBe(false);
  expect(text).toBe("");
  expect(factsOf(index).length).toBe(2);
});

test("segment index: one that is lost or damaged is rebuilt from the manifest, with a line that says so", async () => {
  const expected = await loadSegmentIndex(systemDisk, join(original, "segments.index"));
  for (const isLost of [true, false]) {
    const dataDir = await copied();
    const path = join(dataDir, "segments.index");
    if (isLost) await rm(path);
    else {
      const bytes = await readFile(path);
      bytes[40] = (bytes[40] ?? 0) ^ 1;
      await writeFile(path, bytes);
    }
    const { index, isRebuilt, text } = await opened(dataDir);
    expect(isRebuilt).toBe(true);
    expect(factsOf(index)).toEqual(expected === undefined ? [] : factsOf(expected.index));
    expect(text).toMatch(/segment_index_rebuilt .*namedSegments=2 newerSegments=0/);
    expect(text).toContain(isLost ? "is missing" : "is damaged");
    const storage = await openedStorage(dataDir);
    await storage.close(true);
    expect(await findingsOf(dataDir)).toEqual([]);
  }
});

test("segment index: without a manifest the objects alone tell", async () => {
  const expected = await loadSegmentIndex(systemDisk, join(original, "segments.index"));
  const dataDir = await copied();
  await rm(join(dataDir, "segments.index"));
  await rm(join(dataDir, "segments/manifests"), { recursive: true });
  const { index, text } = await opened(dataDir);
  expect(factsOf(index)).toEqual(expected === undefined ? [] : factsOf(expected.index));
  expect(text).toMatch(/generation=none .*newerSegments=2/);
});

test("segment index: what a generation names and the store lacks is told", async () => {
  const dataDir = await copied();
  const [first] = factsOf((await opened(dataDir)).index);
  await rm(join(dataDir, "segments.index"));
  await rm(join(dataDir, "segments", `${first?.segmentId}.tar.gz`));
  const { index, text } = await opened(dataDir);
  expect(factsOf(index).length).toBe(1);
  expect(text).toMatch(/missingSegments=1/);
  expect(text).toContain(`segment_missing segmentId=${first?.segmentId}`);
});

test("check: a manifest that is behind is noted, one that is damaged or lacks its objects is at fault", async () => {
  const dataDir = await copied();
  const path = join(dataDir, "segments/manifests/0000000000000000");
  const bytes = await readFile(path);
  bytes[100] = (bytes[100] ?? 0) ^ 1;
  await writeFile(path, bytes);
  const kinds = async () => (await findingsOf(dataDir)).map(({ kind }) => kind);
  expect(await kinds()).toContain("fault");
  await rm(join(dataDir, "segments/manifests"), { recursive: true });
  expect(await kinds()).toEqual(["note"]);
});
