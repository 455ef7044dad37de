/** The index of segments goes, or is damaged: a start has to rebuild it from the objects. */

import type { Random } from "../../src/core/clock.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** Of the file's header: what lies before it says what it is, and what behind it is guarded by its checksum. */
const VERSION_END = 12;
const HEADER_END = 28;

/** @returns whether there was one */
export function loseIndex(disk: SimulatedDisk, random: Random): boolean {
  const path = disk.paths().find((each) => each.endsWith("/segments.index"));
  if (path === undefined) return false;
  const position = VERSION_END + Math.floor(random() * (HEADER_END - VERSION_END));
  if (random() < 0.5) disk.lose(path);
  else disk.flipBit(path, position, Math.floor(random() * 8));
  return true;
}
