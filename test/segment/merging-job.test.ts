/** Merging real files: every batch byte and offset stays, what is dead goes, and tar opens what comes out. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import fc from "fast-check";
import { type Random, seededRandom } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { mergeSegments } from "../../src/segment/merging-job.ts";
import { commandOf } from "../../src/segment/merging-messages.ts";
import { planMerge } from "../../src/segment/merging-plan.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { segmentFileName } from "../../src/segment/segment-writer.ts";
import { inDirectory } from "./archive-fixture.ts";
import { ModelIndex } from "./merge-model.ts";
import {
  expectAllSealed,
  expectSound,
  nextSegmentId,
  SealedWorld,
  type SealSizes,
  TOPIC_IDS,
} from "./merging-fixture.ts";
import "../seed.ts";

const SMALL: SealSizes = { batchBytesMax: 3_000, batchCountMax: 8 };
const LARGE: SealSizes = { batchBytesMax: 400_000, batchCountMax: 6 };

test("mergeSegments: random merges of random seals keep every live batch, byte for byte", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), (seed) =>
      inDirectory(async (directory) => {
        const history = new History(seededRandom(seed), directory, SMALL);
        for (let step = 0; step < 20; step += 1) await history.step();
        await history.check();
      }),
    ),
    { numRuns: 15 },
  );
});

test("mergeSegments: batches and ranges larger than what is read at once", () =>
  inDirectory(async (directory) => {
    const history = new History(seededRandom(7), directory, LARGE);
    for (let step = 0; step < 12; step += 1) await history.step();
    await history.check();
  }));

test("mergeSegments: GNU tar opens what comes out", () =>
  inDirectory(async (directory) => {
    const history = new History(seededRandom(3), directory, LARGE);
    for (let seal = 0; seal < 3; seal += 1) await history.seal();
    await history.mergeAll("shared");
    const [facts] = history.segments();
    const archive = join(directory, segmentFileName(facts?.segmentId ?? ""));
    const tar = Bun.spawnSync(["tar", "xzf", archive, "-C", directory]);
    expect([tar.exitCode, tar.stderr.toString()]).toEqual([0, ""]);
    const json = await Bun.file(join(directory, "segment.json")).json();
    expect(json).toMatchObject({
      segmentId: facts?.segmentId,
      level: 1,
      startAddress: 0,
      endAddress: 3000,
    });
    const topicIds = new Set(facts?.ranges.map(({ topicId }) => topicId));
    expect(json.topics).toEqual(
      [...topicIds].map((topicId) => ({ topicId, name: `name-of-${topicId}` })),
    );
    const dataBytes = facts?.ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    expect(Bun.file(join(directory, "batches.log")).size).toBe(dataBytes ?? 0);
  }));

test("mergeSegments: prose is deflated, noise and compressed batches are not", async () => {
  for (const [text, isSmaller] of [
    ["prose", true],
    ["noise", false],
  ] as const) {
    await inDirectory(async (directory) => {
      const history = new History(seededRandom(1), directory, LARGE, text);
      for (let seal = 0; seal < 3; seal += 1) await history.seal();
      const before = history.segments().reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      await history.mergeAll("shared");
      const after = history.segments().reduce((sum, { lengthBytes }) => sum + lengthBytes, 0);
      expect(after < before * 0.7).toBe(isSmaller);
      expect(after).toBeLessThan(before * 1.01);
      await history.check();
    });
  }
});

test("mergeSegments: a damaged input fails the merge, and nothing of it is left", () =>
  inDirectory(async (directory) => {
    const history = new History(seededRandom(5), directory, SMALL);
    for (let seal = 0; seal < 4; seal += 1) await history.seal();
    const last = history.segments().at(-1);
    const path = join(directory, segmentFileName(last?.segmentId ?? ""));
    const bytes = await Bun.file(path).bytes();
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 1;
    await Bun.write(path, bytes);
    const names = await systemDisk.list(directory);
    await expect(history.mergeAll("own")).rejects.toThrow(/corrupt/);
    expect(await systemDisk.list(directory)).toEqual(names);
  }));

/** Seals, deletions and merges in one directory. */
class History {
  readonly #random: Random;
  readonly #directory: string;
  readonly #world: SealedWorld;
  readonly #index = new ModelIndex();
  readonly #deletedTopicIds = new Set<string>();

  constructor(random: Random, directory: string, sizes: SealSizes, text?: "prose" | "noise") {
    this.#random = random;
    this.#directory = directory;
    this.#world = new SealedWorld(random, sizes, text);
  }

  async step(): Promise<void> {
    const choice = this.#random();
    if (choice < 0.5) await this.seal();
    else if (choice < 0.8) await this.#mergeSome();
    else if (choice < 0.98) this.#deleteRecords();
    else this.#deleteTopic();
  }

  segments(): SegmentFacts[] {
    return [...this.#index.segments.values()].sort(
      (one, other) => one.startAddress - other.startAddress,
    );
  }

  async seal(): Promise<void> {
    const added = await this.#world.seal(systemDisk, this.#directory);
    this.#index.apply({ added, removedIds: [] });
  }

  async mergeAll(kind: "shared" | "own"): Promise<void> {
    await this.#merge(this.segments(), kind);
  }

  async check(): Promise<void> {
    for (const facts of this.segments()) await expectSound(systemDisk, this.#directory, facts);
    await expectAllSealed(this.#world, this.segments(), {
      disk: systemDisk,
      directory: this.#directory,
      startOffset: (topicId, partition) => this.#index.logStartOffset(topicId, partition),
      isDeleted: (topicId) => this.#deletedTopicIds.has(topicId),
    });
  }

  async #mergeSome(): Promise<void> {
    const all = this.segments();
    const start = Math.floor(this.#random() * all.length);
    const inputs = all.slice(start, start + 1 + Math.floor(this.#random() * 6));
    if (inputs.length === 0) return;
    await this.#merge(
      inputs,
      (["shared", "own", "purge"] as const)[Math.floor(this.#random() * 3)] ?? "own",
    );
  }

  async #merge(inputs: readonly SegmentFacts[], kind: "shared" | "own" | "purge"): Promise<void> {
    const plan = await planMerge(inputs, this.#index, {
      kind,
      ownBytesMin: this.#random() < 0.5 ? 10_000 : 1e9,
      segmentBytesMax: 1e9,
      newSegmentId: nextSegmentId,
    });
    const place = { directory: this.#directory, createdMs: 5, isIndexed: () => true };
    const { segments: added } = await mergeSegments(systemDisk, commandOf(plan, place));
    this.#index.apply({ added, removedIds: inputs.map(({ segmentId }) => segmentId) });
    for (const { segmentId } of inputs) {
      await systemDisk.remove(join(this.#directory, segmentFileName(segmentId)));
    }
  }

  #deleteRecords(): void {
    const topicId = TOPIC_IDS[Math.floor(this.#random() * TOPIC_IDS.length)] ?? "";
    const end = this.#world.endOffset(topicId, 0);
    const start = this.#index.logStartOffset(topicId, 0);
    const offset = start + Math.floor(this.#random() * (end - start + 1));
    this.#index.setLogStartOffset(topicId, 0, offset);
  }

  #deleteTopic(): void {
    const topicId = TOPIC_IDS[Math.floor(this.#random() * TOPIC_IDS.length)] ?? "";
    this.#deletedTopicIds.add(topicId);
    this.#index.deleteTopic(topicId);
  }
}
