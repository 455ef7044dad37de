/** The check of a data directory: silent about what is whole, and not about anything else. */

import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { ArchiveReader } from "../../src/segment/archive-reader.ts";
import { LocalFileSource } from "../../src/segment/archive-source.ts";
import { chunkPlace } from "../../src/segment/archive-toc.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentIndex } from "../../src/segment/segment-index.ts";
import { loadSegmentIndex, saveSegmentIndex } from "../../src/segment/segment-index-file.ts";
import { runCli } from "../cli/cli-process.ts";
import { makeSealedDirectory } from "./sealed-directory.ts";
import { findingsOf } from "./whole.ts";

const directories: string[] = [];
let original = "";

function temporaryDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), "chronik-check-"));
  directories.push(directory);
  return directory;
}

beforeAll(async () => {
  original = temporaryDirectory();
  await makeSealedDirectory(original);
});
afterAll(() => {
  for (const directory of directories) rmSync(directory, { recursive: true });
});

function copied(): string {
  const copy = temporaryDirectory();
  cpSync(original, copy, { recursive: true });
  return copy;
}

function segmentPaths(dataDir: string): string[] {
  const names = readdirSync(join(dataDir, "segments")).filter((name) => name.endsWith(".tar.gz"));
  return names.map((name) => join(dataDir, "segments", name));
}

function firstSegment(dataDir: string): string {
  const [path] = segmentPaths(dataDir);
  if (path === undefined) throw new Error("There is no segment.");
  return path;
}

function flip(path: string, position: number): void {
  const bytes = readFileSync(path);
  bytes[position] = (bytes[position] ?? 0) ^ 0x10;
  writeFileSync(path, bytes);
}

/** The registrations of `dataDir`, changed. */
async function register(dataDir: string, change: (facts: SegmentFacts) => SegmentFacts) {
  const path = join(dataDir, "segments.index");
  const saved = await loadSegmentIndex(systemDisk, path);
  if (saved === undefined) throw new Error("There is no index.");
  const added = [...saved.index.segments()].map(({ segmentId }) => {
    const facts = saved.index.segment(segmentId);
    if (facts === undefined) throw new Error("A segment is gone.");
    return change(facts);
  });
  const index = new SegmentIndex();
  index.apply({ added, removedIds: [] });
  await saveSegmentIndex(systemDisk, path, { index, coveredEnd: saved.coveredEnd });
}

test("check: a whole directory has no findings, and is left as it was", async () => {
  const copy = copied();
  const before = readdirSync(copy, { recursive: true }).sort();
  expect(segmentPaths(copy).length).toBe(2);
  expect(await findingsOf(copy)).toEqual([]);
  expect(readdirSync(copy, { recursive: true }).sort()).toEqual(before);
});

test("check: an empty directory has nothing to find", async () => {
  expect(await findingsOf(temporaryDirectory())).toEqual([]);
});

test("check: a changed byte in any chunk of a segment, in its table or trailer, is told", async () => {
  const copy = copied();
  const path = firstSegment(copy);
  const whole = readFileSync(path);
  const file = await systemDisk.open(path, "read");
  const reader = await ArchiveReader.open(new LocalFileSource(file), whole.length);
  await file.close();
  const positions = [whole.length - 60, whole.length - 20];
  for (const { firstChunk, chunkCount } of reader.entries()) {
    for (let chunk = firstChunk; chunk < firstChunk + chunkCount; chunk += 1) {
      const place = chunkPlace(reader.contents.chunkRows, chunk);
      positions.push(place.position, place.position + place.memberBytes - 1);
      positions.push(place.position + Math.floor(place.memberBytes / 2));
    }
  }
  for (const position of positions) {
    flip(path, position);
    const findings = await findingsOf(copy);
    expect(findings, `changed at ${position}`).toMatchObject([{ kind: "fault", path }]);
    flip(path, position);
  }
  expect(await findingsOf(copy)).toEqual([]);
});

test("check: a segment that is missing, cut, or longer than registered", async () => {
  const missing = copied();
  const path = firstSegment(missing);
  rmSync(path);
  expect(await findingsOf(missing)).toMatchObject([
    { kind: "fault", path, reason: "it is registered, but missing" },
  ]);
  const cut = copied();
  truncateSync(firstSegment(cut), 5000);
  expect(await findingsOf(cut)).toMatchObject([
    { kind: "fault", reason: expect.stringContaining("too short") },
  ]);
  const longer = copied();
  writeFileSync(firstSegment(longer), "garbage of a crash", { flag: "a" });
  expect(await findingsOf(longer)).toMatchObject([
    { kind: "note", reason: expect.stringContaining("18 bytes lie behind its end") },
  ]);
});

test("check: what a crash leaves behind is noted", async () => {
  const copy = copied();
  writeFileSync(join(copy, "segments/unknown.tar.gz"), "half");
  writeFileSync(join(copy, "segments.index.tmp"), "half");
  expect(await findingsOf(copy)).toMatchObject([
    { kind: "note", path: join(copy, "segments/unknown.tar.gz") },
    { kind: "note", path: join(copy, "segments.index.tmp") },
  ]);
});

test.each(["meta.checkpoint", "logs.checkpoint", "segments.index"])(
  "check: a damaged %s is a fault with its name",
  async (name) => {
    const copy = copied();
    flip(join(copy, name), 20);
    const [first] = await findingsOf(copy);
    expect(first).toMatchObject({ kind: "fault", path: join(copy, name) });
  },
);

test("check: a WAL without its end is told", async () => {
  const copy = copied();
  rmSync(join(copy, "wal"), { recursive: true });
  expect(await findingsOf(copy)).toMatchObject([
    { kind: "fault", path: join(copy, "wal"), reason: expect.stringContaining("is missing") },
  ]);
});

test("check: a registration that says anything else than the object is told", async () => {
  const changes: readonly ((facts: SegmentFacts) => SegmentFacts)[] = [
    (facts) => ({ ...facts, level: facts.level + 1 }),
    (facts) => ({ ...facts, createdMs: facts.createdMs + 1 }),
    (facts) => ({ ...facts, lengthBytes: facts.lengthBytes - 1 }),
    (facts) => ({ ...facts, searchIndex: { documentCount: 1, sizeBytes: 1, times: null } }),
    (facts) => ({ ...facts, ranges: facts.ranges.slice(1) }),
  ];
  for (const change of changes) {
    const copy = copied();
    await register(copy, change);
    const findings = await findingsOf(copy);
    const faults = findings.filter(({ kind, path }) => kind === "fault" && path !== copy);
    expect(faults.length, String(change)).toBe(2);
  }
});

test("chronik-server check: exit code 0 for a whole directory, 1 for faults, and none while it is locked", async () => {
  const copy = copied();
  const args = ["check", "--data-dir", copy];
  const whole = await runCli(args);
  expect(whole.stdout.toString()).toMatch(
    /^checked \d+ entries in \d+ WAL files?, 2 segments of \d+ bytes, 4 partitions: 0 faults\n$/,
  );
  expect(whole).toMatchObject({ exitCode: 0, stderr: "" });
  const lock = systemDisk.lock(join(copy, "lock"));
  const locked = await runCli(args);
  lock.release();
  expect(locked.exitCode).toBe(1);
  expect(locked.stderr).toContain("is locked");
  const path = firstSegment(copy);
  rmSync(path);
  const faulty = await runCli(args);
  expect(faulty.exitCode).toBe(1);
  expect(faulty.stdout.toString()).toStartWith(`fault  ${path}: it is registered, but missing\n`);
  const nowhere = await runCli(["check", "--data-dir", temporaryDirectory()]);
  expect(nowhere.exitCode).toBe(1);
  expect(nowhere.stderr).toContain("is no data directory");
});
