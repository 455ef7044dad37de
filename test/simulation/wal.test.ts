/**
 * Thousands of seeded lives of the WAL on a failing disk. `SEED=n` repeats one, `SEEDS=n` runs more.
 */

import { expect, test } from "bun:test";
import { Wal } from "../../src/wal/wal.ts";
import { WalReader } from "../../src/wal/wal-reader.ts";
import { runHistory } from "./wal-history.ts";
import { noCounts } from "./wal-model.ts";

const SEEDS_DEFAULT = 2000;

test("wal simulation: every history keeps its promises", async () => {
  const only = Bun.env["SEED"];
  const count = Number(Bun.env["SEEDS"] ?? SEEDS_DEFAULT);
  const seeds =
    only === undefined ? Array.from({ length: count }, (_, seed) => seed) : [Number(only)];
  const totals = noCounts();
  for (const seed of seeds) {
    const counts = await runHistory({ Wal, WalReader }, seed).catch((thrown: unknown) => {
      throw new Error(`SEED=${seed}: ${String(thrown)}`, { cause: thrown });
    });
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) {
      totals[name] += counts[name];
    }
  }
  if (only !== undefined) return;
  // A simulation that never cuts, refuses or recovers would prove nothing.
  for (const total of Object.values(totals)) expect(total).toBeGreaterThan(0);
}, 600_000);
