/** Files are filled with zeros ahead, but only while there is time. */

import { expect, test } from "bun:test";
import { seededRandom } from "../../src/core/clock.ts";
import { ZeroFill } from "../../src/wal/zero-fill.ts";
import { SimulatedClock } from "../simulation/simulated-clock.ts";
import { SimulatedDisk } from "../simulation/simulated-disk.ts";

const SIZE_BYTES = 64 * 1024;

/** Fills a file while the log grows by `growthBytes` per step. @returns the bytes that were written */
async function filled(growthBytes: number, hurryAfterSteps: number): Promise<number> {
  const disk = new SimulatedDisk(seededRandom(1), {
    syncFailure: 0,
    capacityBytes: Number.POSITIVE_INFINITY,
    sectorSurvival: 1,
  });
  const real = await disk.process().create("file", SIZE_BYTES);
  let writtenBytes = 0;
  const write = async (bytes: Uint8Array, position: number): Promise<void> => {
    expect(position).toBe(writtenBytes);
    writtenBytes += bytes.length;
    await real.write(bytes, position);
  };
  const clock = new SimulatedClock();
  let grownBytes = 0;
  const zeroFill = new ZeroFill({ clock, grownBytes: () => grownBytes });
  zeroFill.takeTime();
  let isOver = false;
  void zeroFill.fill({ ...real, write }, { start: 0, end: SIZE_BYTES }).then(() => {
    isOver = true;
  });
  for (let step = 0; step < 100 && !isOver; step += 1) {
    if (step === hurryAfterSteps) zeroFill.hurry();
    grownBytes += growthBytes;
    clock.advance(20);
    for (let turns = 0; turns < 30; turns += 1) await null;
  }
  expect(isOver).toBe(true);
  return writtenBytes;
}

test("zero fill: a quiet log leaves time for the whole file", async () => {
  expect(await filled(10, 100)).toBe(SIZE_BYTES);
});

test("zero fill: ends when the log grows faster", async () => {
  expect(await filled(SIZE_BYTES, 100)).toBeLessThan(SIZE_BYTES / 4);
});

test("zero fill: ends when somebody waits for the file", async () => {
  expect(await filled(10, 3)).toBeLessThan(SIZE_BYTES / 4);
});
