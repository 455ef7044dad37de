/** The simulation sees: every planted fault breaks a history. `bun test` prints by which seed. */

import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { runHistory } from "./wal-history.ts";
import { MUTANTS, walWith } from "./wal-mutants.ts";

const SEEDS_MAX = 3000;

test.each(MUTANTS.map((mutant) => [mutant.name, mutant] as const))(
  "wal simulation: finds a WAL that %s",
  async (_name, mutant) => {
    const { directory, ...sources } = await walWith(mutant);
    try {
      let found: string | undefined;
      const seeds = [mutant.seed, ...Array(SEEDS_MAX).keys()];
      for (const seed of seeds) {
        if (found !== undefined) break;
        found = await runHistory(sources, seed).then(
          () => undefined,
          (thrown: unknown) => `seed ${seed}: ${String(thrown)}`,
        );
      }
      expect(found).toBeDefined();
      if (Bun.env["SEED"] !== undefined || Bun.env["SEEDS"] !== undefined) {
        process.stdout.write(`  ${mutant.name}: ${found}\n`);
      }
    } finally {
      await rm(directory, { recursive: true });
    }
  },
  120_000,
);
