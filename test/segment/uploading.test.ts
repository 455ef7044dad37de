/** Uploads over a real directory: which object stands for a segment, what is repeated, what is taken away. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { FileObjectStore } from "../../src/segment/file-object-store.ts";
import type { SegmentFacts } from "../../src/segment/segment-facts.ts";
import { Uploading } from "../../src/segment/uploading.ts";
import { carryOutUpload } from "../../src/segment/uploading-job.ts";
import type { UploadWork } from "../../src/segment/uploading-messages.ts";
import { ManualClock } from "../manual-clock.ts";
import { inDirectory, noise } from "./archive-fixture.ts";

const ID = "AAAAAAAAAAAAAAAAAAAAAA";
const OTHER_ID = "-BBBBBBBBBBBBBBBBBBBBB";
const MINUTE_MS = 60_000;

test("uploading: a segment goes up once it has its index, or when that is late; then again, longer", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.segmentFile(ID, 3_000);
    world.uploading.apply({ added: [world.facts(ID, 1_000)], removedIds: [] });
    world.uploading.start();
    await world.until(() => world.done.includes("list"));
    await world.clock.advance(10 * MINUTE_MS - 1);
    expect(await world.keys()).toEqual([]);
    await world.clock.advance(1);
    await world.untilKeys([`segments/${ID}.1000.tar.gz`]);
    world.uploading.apply({
      added: [world.facts(ID, 3_000, { isIndexed: true })],
      removedIds: [ID],
    });
    await world.untilKeys([`segments/${ID}.3000.tar.gz`]);
    const stored = await world.store.readRange(`segments/${ID}.3000.tar.gz`, 0, 4_000);
    expect(stored).toEqual(noise(3_000, 1));
    world.uploading.apply({ added: [], removedIds: [ID] });
    await world.untilKeys([]);
    expect(world.uploading.stats()).toEqual({ uploadedCount: 0, pendingCount: 0, failureCount: 0 });
    await world.uploading.stop();
  }));

test("uploading: what lies in the store already is not sent again; what nobody knows stays", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    const [known, unknown] = [`segments/${ID}.500.tar.gz`, `segments/${OTHER_ID}.7.tar.gz`];
    await world.store.put(known, noise(500, 1));
    await world.store.put(unknown, noise(7, 1));
    world.uploading.apply({ added: [world.facts(ID, 500, { isIndexed: true })], removedIds: [] });
    world.uploading.start();
    await world.until(() => world.uploading.stats().uploadedCount === 1);
    expect(world.done).toEqual(["probe", "list"]);
    expect(await world.keys()).toEqual([unknown, known]);
    await world.uploading.stop();
  }));

test("uploading: failures are repeated, later each time, and hold no other segment up", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    // The file of the first one is gone, and stays so.
    await world.segmentFile(OTHER_ID, 800);
    const added = [ID, OTHER_ID].map((id) => world.facts(id, 800, { isIndexed: true }));
    world.isDown = true;
    world.uploading.apply({ added, removedIds: [] });
    world.uploading.start();
    for (const [failureCount, pauseMs] of [1_000, 2_000, 4_000, 8_000].entries()) {
      await world.until(() => world.uploading.stats().failureCount === failureCount + 1);
      await world.clock.advance(pauseMs - 1);
      expect(world.uploading.stats().failureCount).toBe(failureCount + 1);
      if (failureCount === 3) world.isDown = false;
      await world.clock.advance(1);
    }
    await world.until(() => world.uploading.stats().failureCount === 5);
    await world.clock.advance(5 * MINUTE_MS);
    await world.until(() => world.uploading.stats().uploadedCount === 1);
    expect(world.uploading.stats().pendingCount).toBe(1);
    expect(await world.keys()).toEqual([`segments/${OTHER_ID}.800.tar.gz`]);
    await world.uploading.stop();
  }));

test("uploading: a segment that is merged away while it goes up leaves no object", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.segmentFile(ID, 800);
    world.onPut = () => world.uploading.apply({ added: [], removedIds: [ID] });
    world.uploading.apply({ added: [world.facts(ID, 800, { isIndexed: true })], removedIds: [] });
    world.uploading.start();
    await world.until(() => world.done.includes("delete"));
    expect(world.done).toEqual(["probe", "list", "put", "delete"]);
    expect(await world.keys()).toEqual([]);
    expect(world.pinCount).toBe(0);
    await world.uploading.stop();
  }));

class World {
  readonly clock = new ManualClock();
  readonly store: FileObjectStore;
  readonly uploading: Uploading;
  /** Kinds of what was done. */
  readonly done: string[] = [];
  isDown = false;
  onPut = (): void => {};
  pinCount = 0;
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
    this.store = new FileObjectStore({ disk: systemDisk, directory: join(directory, "store") });
    this.uploading = new Uploading({
      storeName: this.store.name,
      run: async (work: UploadWork) => {
        if (this.isDown) throw new Error("it is down");
        if (work.kind === "put") this.onPut();
        const result = await carryOutUpload(this.store, systemDisk, work);
        this.done.push(work.kind);
        return result;
      },
      pin: () => {
        this.pinCount += 1;
        return () => {
          this.pinCount -= 1;
        };
      },
      pathOf: (segmentId) => join(directory, segmentId),
      isIndexAwaited: ({ searchIndex }) => searchIndex === null,
      clock: this.clock,
      logger: silentLogger,
    });
  }

  facts(segmentId: string, lengthBytes: number, { isIndexed = false } = {}): SegmentFacts {
    const searchIndex = isIndexed ? { documentCount: 1, sizeBytes: 1, times: null } : null;
    const place = { lengthBytes, startAddress: 0, endAddress: 1 };
    return {
      segmentId,
      level: 0,
      createdMs: this.clock.nowMs(),
      ...place,
      searchIndex,
      ranges: [],
    };
  }

  async segmentFile(segmentId: string, sizeBytes: number): Promise<void> {
    const file = await systemDisk.create(join(this.#directory, segmentId), 0);
    await file.write(noise(sizeBytes, 1), 0);
    await file.close();
  }

  async keys(): Promise<string[]> {
    return (await Array.fromAsync(this.store.list("segments/"))).map(({ key }) => key);
  }

  async untilKeys(keys: readonly string[]): Promise<void> {
    while (!Bun.deepEquals(await this.keys(), keys));
  }

  /** Files take turns of the real event loop, whatever the clock says. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise((resolve) => setImmediate(resolve));
  }
}
