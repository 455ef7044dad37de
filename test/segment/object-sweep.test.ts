/** The sweep of objects: what goes, what stays, and when it looks. */

import { expect, test } from "bun:test";
import { utimes } from "node:fs/promises";
import { join } from "node:path";
import { type Disk, DiskError, systemDisk } from "../../src/core/disk.ts";
import { type Logger, silentLogger } from "../../src/core/logger.ts";
import { randomUuid } from "../../src/protocol/uuid.ts";
import { ObjectSweep } from "../../src/segment/object-sweep.ts";
import { segmentFileName } from "../../src/segment/segment-writer.ts";
import { ManualClock } from "../manual-clock.ts";
import { inDirectory } from "./archive-fixture.ts";

const HOUR_MS = 3_600_000;
const NOW_MS = 1_700_000_000_000;

test("sweep: unknown objects that are old go; registered, used, young and foreign ones stay", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    const registered = await world.file({ ageMs: 9 * HOUR_MS, isRegistered: true });
    const used = await world.file({ ageMs: 9 * HOUR_MS, isUsed: true });
    const young = await world.file({ ageMs: HOUR_MS - 1 });
    await world.file({ ageMs: HOUR_MS });
    await world.file({ ageMs: 9 * HOUR_MS });
    const path = join(directory, `${randomUuid()}.index`);
    await systemDisk.createDirectory(path);
    await (await systemDisk.create(join(path, "meta.json"), 1)).close();
    await utimes(path, 1, 1);
    await world.file({ ageMs: 9 * HOUR_MS, name: "notes.txt" });
    await world.file({ ageMs: 9 * HOUR_MS, name: "backup.tar.gz" });
    await world.sweepOnce();
    const kept = [registered, used, young].map(segmentFileName);
    expect(await systemDisk.list(directory)).toEqual(
      [...kept, "backup.tar.gz", "notes.txt"].sort(),
    );
    expect(world.events.filter((event) => event === "object_swept").length).toBe(3);
  }));

test("sweep: it looks again every hour, until it is stopped", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.file({ ageMs: 9 * HOUR_MS, isRegistered: true });
    await world.file({ ageMs: HOUR_MS - 1 });
    const sweep = world.sweep();
    sweep.start();
    await world.clock.advance(HOUR_MS - 1);
    expect((await systemDisk.list(directory)).length).toBe(2);
    await world.clock.advance(1);
    await sweep.stop();
    expect((await systemDisk.list(directory)).length).toBe(1);
    expect(world.clock.timerCount).toBe(0);
  }));

test("sweep: where nothing at all is registered, nothing goes", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.file({ ageMs: 9 * HOUR_MS });
    await world.sweepOnce();
    expect((await systemDisk.list(directory)).length).toBe(1);
    expect(world.events).toEqual(["objects_unknown"]);
  }));

test("sweep: an object that its owner deletes meanwhile is no failure; one that can't be deleted is told", () =>
  inDirectory(async (directory) => {
    const world = new World(directory);
    await world.file({ ageMs: 9 * HOUR_MS, isRegistered: true });
    await world.file({ ageMs: 9 * HOUR_MS });
    const removing = async (path: string) => {
      await systemDisk.remove(path);
      await systemDisk.remove(path);
    };
    await world.sweepOnce({ ...systemDisk, remove: removing });
    await world.file({ ageMs: 9 * HOUR_MS });
    const refusing = async (path: string) => {
      throw new DiskError("denied", path);
    };
    await world.sweepOnce({ ...systemDisk, remove: refusing });
    expect(world.events).toEqual(["object_swept", "objects_swept", "objects_not_swept"]);
  }));

/** A directory of objects, and what is known of them. */
class World {
  readonly clock = new ManualClock(NOW_MS);
  readonly events: string[] = [];
  readonly #directory: string;
  readonly #registeredIds = new Set<string>();
  readonly #usedIds = new Set<string>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** @returns its id */
  async file(file: {
    readonly ageMs: number;
    readonly isRegistered?: boolean;
    readonly isUsed?: boolean;
    readonly name?: string;
  }): Promise<string> {
    const segmentId = randomUuid();
    const path = join(this.#directory, file.name ?? segmentFileName(segmentId));
    await (await systemDisk.create(path, 10)).close();
    const seconds = (NOW_MS - file.ageMs) / 1000;
    await utimes(path, seconds, seconds);
    if (file.isRegistered) this.#registeredIds.add(segmentId);
    if (file.isUsed) this.#usedIds.add(segmentId);
    return segmentId;
  }

  async sweepOnce(disk?: Disk): Promise<void> {
    const sweep = this.sweep(disk);
    sweep.start();
    await sweep.stop();
  }

  sweep(disk: Disk = systemDisk): ObjectSweep {
    const note = (event: string) => this.events.push(event);
    const logger: Logger = { ...silentLogger, info: note, warn: note };
    return new ObjectSweep({
      disk,
      directory: this.#directory,
      isRegistered: (segmentId) => this.#registeredIds.has(segmentId),
      hasRegistrations: () => this.#registeredIds.size > 0,
      isInUse: (segmentId) => this.#usedIds.has(segmentId),
      clock: this.clock,
      logger,
    });
  }
}
