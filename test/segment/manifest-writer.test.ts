/** The manifest is kept up beside everything else, whatever its store does. */

import { beforeAll, expect, test } from "bun:test";
import { systemDisk } from "../../src/core/disk.ts";
import { createLogger } from "../../src/core/logger.ts";
import { loadNative } from "../../src/core/native.ts";
import { LocalMetaStore } from "../../src/meta/local-meta-store.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import { parseManifestKey } from "../../src/segment/manifest-format.ts";
import { readManifests } from "../../src/segment/manifest-reading.ts";
import { ManifestWriter } from "../../src/segment/manifest-writer.ts";
import { type ObjectStore, ObjectStoreError } from "../../src/segment/object-store.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { SegmentStore } from "../../src/segment/segment-store.ts";
import { ManualClock } from "../manual-clock.ts";
import { MemoryLog } from "../simulation/memory-log.ts";
import { inDirectory } from "./archive-fixture.ts";

const ROUND_MS = 30_000;
const TOPIC_ID = Buffer.alloc(16, 1).toString("base64url");
const CLUSTER_ID = Buffer.alloc(16, 2).toString("base64url");

beforeAll(async () => {
  await loadNative();
});

/** One process: a real index and metadata, a directory as the store, which can be away. */
class World {
  readonly clock = new ManualClock();
  readonly lines: string[] = [];
  readonly store: SegmentStore;
  readonly files: FileObjectStore;
  readonly meta = new LocalMetaStore();
  readonly writer: ManifestWriter;
  /** Attempts to put that are refused; `answerIsLost`: after it was done. */
  refusals = 0;
  answerIsLost = false;

  /** @param registered what a start finds */
  constructor(directory: string, registered: readonly number[] = [], clusterId = CLUSTER_ID) {
    const logger = createLogger("warn", (line) => this.lines.push(line));
    this.store = new SegmentStore({ disk: systemDisk, directory, logger });
    for (const number of registered) this.register(number);
    this.files = new FileObjectStore({ disk: systemDisk, directory });
    const log = new MemoryLog();
    this.meta.attach(log);
    this.writer = new ManifestWriter({
      ...{ store: this.#unreliable(), segments: this.store, meta: this.meta, logger, clusterId },
      ...{ clock: this.clock, roundMs: ROUND_MS },
      appendedAddress: () => log.appendedAddress,
    });
    this.writer.start();
  }

  #unreliable(): ObjectStore {
    const { files } = this;
    const maybeRefuse = (): void => {
      this.refusals -= 1;
      if (this.refusals >= 0) throw new ObjectStoreError("The store is away.");
    };
    return {
      name: files.name,
      put: async (key, body) => {
        if (this.answerIsLost) await files.put(key, body);
        maybeRefuse();
        await files.put(key, body);
      },
      readRange: (key, start, end) => files.readRange(key, start, end),
      stat: (key) => files.stat(key),
      list: (prefix, options) => files.list(prefix, options),
      delete: (keys) => files.delete(keys),
      close: () => files.close(),
    };
  }

  register(number: number, rangeCount = 1): void {
    this.store.apply({ added: [factsOf(number, rangeCount)], removedIds: [] });
  }

  /** Lets time pass until nothing waits to be written. */
  async settle(): Promise<void> {
    // What has begun in this very moment has no lag yet.
    for (let quietCount = 0; quietCount < 2; ) {
      await this.clock.advance(1000);
      // The disk takes real time.
      await new Promise((resolve) => setImmediate(resolve));
      const isQuiet = this.writer.stats().lagMs === 0 && !this.writer.isUnread;
      quietCount = isQuiet ? quietCount + 1 : 0;
    }
  }

  async generations(): Promise<number[]> {
    const { keys } = await readManifests(this.files);
    return keys.flatMap((key) => parseManifestKey(key)?.generation ?? []);
  }

  async namedIds(): Promise<string[]> {
    const { manifest } = await readManifests(this.files);
    return [...(manifest?.index.segments() ?? [])].map(({ segmentId }) => segmentId).sort();
  }

  registeredIds(): string[] {
    return [...this.store.index.segments()].map(({ segmentId }) => segmentId).sort();
  }
}

function factsOf(number: number, rangeCount: number): SegmentFacts {
  const id = Buffer.alloc(16);
  id.writeUInt32BE(number + 1, 12);
  return {
    ...{ segmentId: id.toString("base64url"), level: 0, createdMs: 1, lengthBytes: 1000 },
    ...{ startAddress: number, endAddress: number + 1, searchIndex: null },
    ranges: Array.from({ length: rangeCount }, (_, partition) => ({
      ...{ topicId: TOPIC_ID, partition, startOffset: number, endOffset: number + 1 },
      ...{ position: partition, sizeBytes: 1, minTimestampMs: 0, maxTimestampMs: 0 },
      ...{ batchCount: 1, recordCount: 1, rowStart: 0, rowCount: 0 },
    })),
  };
}

test("manifest: an idle broker writes nothing, and many changes of a round are one generation", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.settle();
    expect(await world.generations()).toEqual([]);
    world.register(0);
    await world.settle();
    expect(await world.generations()).toEqual([0]);
    for (let round = 0; round < 3; round += 1) await world.clock.advance(ROUND_MS);
    expect(await world.generations()).toEqual([0]);
    world.register(1);
    await world.settle();
    for (let number = 2; number < 20; number += 1) world.register(number);
    await world.settle();
    expect(await world.generations()).toEqual([0, 1, 2]);
    expect(await world.namedIds()).toEqual(world.registeredIds());
    await world.writer.stop();
    const next = new World(directory, [...Array(20).keys()]);
    await next.settle();
    expect(await next.generations()).toEqual([0, 1, 2]);
    await next.writer.stop();
  }));

test("manifest: while the store is away nobody waits, and the lag is told", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.settle();
    world.refusals = 5;
    world.register(0);
    world.store.apply({ added: [], removedIds: [factsOf(0, 1).segmentId] });
    world.register(1);
    while (world.writer.stats().failureCount < 3) {
      await world.clock.advance(60_000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(world.writer.stats()).toMatchObject({ generation: -1 });
    expect(world.writer.stats().lagMs).toBeGreaterThan(60_000);
    // What is no longer registered stays until that is written.
    expect(world.store.isHeld(factsOf(0, 1).segmentId)).toBe(true);
    await world.settle();
    expect(await world.namedIds()).toEqual(world.registeredIds());
    expect(world.store.isHeld(factsOf(0, 1).segmentId)).toBe(false);
    expect(world.lines.join("")).toContain("manifest_failed");
    await world.writer.stop();
  }));

test("manifest: an answer that is lost, and a stop meanwhile, leave a whole manifest", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.settle();
    world.answerIsLost = true;
    world.refusals = 2;
    world.register(0);
    await world.settle();
    expect(await world.namedIds()).toEqual(world.registeredIds());
    world.answerIsLost = false;
    world.refusals = Number.POSITIVE_INFINITY;
    world.register(1);
    while (world.writer.stats().failureCount < 4) {
      await world.clock.advance(ROUND_MS);
      await new Promise((resolve) => setImmediate(resolve));
    }
    world.register(2);
    // After a failure the state of the store is not known, so nothing may be built on it.
    world.refusals = 0;
    await world.writer.stop();
    const next = new World(directory, [0, 1, 2]);
    await next.settle();
    expect(await next.namedIds()).toEqual(next.registeredIds());
    const { faults } = await readManifests(next.files);
    expect(faults).toEqual([]);
    await next.writer.stop();
  }));

test("manifest: a full generation takes the place of many, in parts where it is large", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    for (let number = 0; number < 60; number += 1) {
      world.register(number, 1000);
      if (number > 40 || number % 4 === 0) {
        await world.settle();
        await world.clock.advance(ROUND_MS);
      }
    }
    await world.settle();
    const generations = await world.generations();
    expect(generations.length).toBeLessThan(45);
    expect(generations).not.toContain(0);
    expect(new Set(generations).size).toBeLessThan(generations.length);
    expect(await world.namedIds()).toEqual(world.registeredIds());
    const { manifest } = await readManifests(world.files);
    const named = manifest?.index.segment(factsOf(7, 1000).segmentId);
    expect(named).toEqual(factsOf(7, 1000));
    await world.writer.stop();
  }));

test("manifest: a damaged generation is told, and replaced by a full one", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    world.register(0);
    await world.settle();
    world.register(1);
    await world.settle();
    await world.writer.stop();
    const file = await systemDisk.open(`${directory}/manifests/0000000000000001`, "readWrite");
    await file.write(new Uint8Array(4).fill(255), 90);
    await file.close();
    const next = new World(directory, [0, 1]);
    await next.settle();
    expect(next.lines.join("")).toContain("manifest_damaged");
    expect(await next.namedIds()).toEqual(next.registeredIds());
    await next.writer.stop();
  }));

test("manifest: that of another cluster is left alone", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    world.register(0);
    await world.settle();
    await world.writer.stop();
    const other = new World(directory, [], TOPIC_ID);
    other.register(5);
    while (!other.lines.join("").includes("manifest_foreign")) {
      await other.clock.advance(1000);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await other.writer.stop();
    expect(other.writer.isUnread).toBe(true);
    expect(await world.namedIds()).toEqual([factsOf(0, 1).segmentId]);
  }));
