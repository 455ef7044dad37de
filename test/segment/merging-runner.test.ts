/** Merges in a real Worker: they come out as in this thread, also if the Worker dies on the way. */

import { afterEach, expect, test } from "bun:test";
import { ClientTraffic } from "../../src/core/client-traffic.ts";
import { nextTurn, seededRandom, systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { loadNative } from "../../src/core/native.ts";
import { MergingRunner } from "../../src/segment/merging-runner.ts";
import { ManualClock } from "../manual-clock.ts";
import { inDirectory } from "./archive-fixture.ts";
import { SealedWorld } from "./merging-fixture.ts";
import { MergingWorld } from "./merging-world.ts";

const workers: Worker[] = [];

afterEach(() => {
  for (const worker of workers.splice(0)) worker.terminate();
});

test("merging runner: a Worker merges, and again if it dies", () =>
  inDirectory(async (directory) => {
    await loadNative();
    let startCount = 0;
    const runner = runnerWith((url) => {
      startCount += 1;
      const worker = new Worker(url);
      if (startCount === 1) worker.terminate();
      return worker;
    });
    const { world, sealed } = await sealedWorld(directory, runner);
    await world.mergeAll();
    expect(startCount).toBeGreaterThan(1);
    expect(world.merging.stats().mergeCount).toBeGreaterThan(0);
    expect(await systemDisk.list(directory)).toEqual(world.fileNames());
    await world.check(sealed);
    await world.merging.stop();
  }));

test("merging runner: a merge that kills every Worker is given up", () =>
  inDirectory(async (directory) => {
    const runner = runnerWith((url) => {
      const worker = new Worker(url);
      worker.terminate();
      return worker;
    });
    const report = await runner.run({
      kind: "merge",
      directory,
      createdMs: 0,
      inputs: [],
      outputs: [],
      compactions: [],
    });
    expect(report).toEqual({ kind: "failed", reason: "its Worker died again and again" });
  }));

test("merging runner: a merge waits until clients leave room", () =>
  inDirectory(async (directory) => {
    const clock = new ManualClock();
    const traffic = new ClientTraffic(clock);
    traffic.note(1);
    traffic.note(2 ** 30);
    await clock.advance(250);
    expect(traffic.isBusy).toBe(true);
    let workerCount = 0;
    const createWorker = (url: string): Worker => {
      workerCount += 1;
      return new Worker(url);
    };
    const runner = new MergingRunner({
      ...{ traffic, clock: systemClock, logger: silentLogger, createWorker },
    });
    const nothing = { createdMs: 0, inputs: [], outputs: [], compactions: [] };
    const pending = runner.run({ kind: "merge", directory, ...nothing });
    await nextTurn();
    expect(workerCount).toBe(0);
    traffic.close();
    expect(await pending).toEqual({ kind: "merged", segments: [], compacted: [] });
    expect(workerCount).toBe(1);
  }));

test("merging runner: stopping ends the merge under way, and refuses the next", () =>
  inDirectory(async (directory) => {
    const runner = runnerWith((url) => new Worker(url));
    const command = {
      kind: "merge",
      directory,
      createdMs: 0,
      inputs: [],
      outputs: [],
      compactions: [],
    } as const;
    const pending = runner.run(command);
    runner.stop();
    const stopped = { kind: "failed", reason: "the broker stops" } as const;
    expect(await pending).toEqual(stopped);
    expect(await runner.run(command)).toEqual(stopped);
  }));

function runnerWith(createWorker: (url: string) => Worker): MergingRunner {
  return new MergingRunner({
    traffic: new ClientTraffic(systemClock),
    clock: systemClock,
    logger: silentLogger,
    createWorker: (url) => {
      const worker = createWorker(url);
      workers.push(worker);
      return worker;
    },
  });
}

async function sealedWorld(directory: string, runner: MergingRunner) {
  const run = (command: Parameters<MergingRunner["run"]>[0]) => runner.run(command);
  const world = new MergingWorld({ disk: systemDisk, directory, run });
  const sealed = new SealedWorld(seededRandom(2), { batchBytesMax: 50_000, batchCountMax: 4 });
  for (let seal = 0; seal < 6; seal += 1) await world.seal(sealed);
  return { world, sealed };
}
