/** Seeded histories of the manifest on a failing disk. `SEED=n` repeats one, `COUNT=n` runs more, from
 * `FIRST_SEED` on. */

import { beforeAll, expect, test } from "bun:test";
import { loadNative } from "../../src/core/native.ts";
import {
  type ManifestCounts,
  type ManifestHistoryOptions,
  runManifestHistory,
} from "./manifest-history.ts";

const COUNT_DEFAULT = 25;
const SEED = Bun.env["SEED"];
const COUNT = SEED === undefined ? Number(Bun.env["COUNT"] ?? COUNT_DEFAULT) : 1;
const FIRST_SEED = Number(SEED ?? Bun.env["FIRST_SEED"] ?? 0);
const ENDINGS = ["cut", "kill"] as const;

beforeAll(async () => {
  await loadNative();
});

async function run(options: ManifestHistoryOptions) {
  return await runManifestHistory(options).catch((thrown: unknown) => {
    const { operation, ending } = options.crashOf ?? {};
    const place = operation === undefined ? "" : ` (${ending} at operation ${operation})`;
    throw new Error(`SEED=${options.seed}${place}: ${String(thrown)}`, { cause: thrown });
  });
}

test("manifest simulation: the index rebuilt from the store alone has all that is registered, and nothing else", async () => {
  const totals: Partial<ManifestCounts> = {};
  for (let seed = FIRST_SEED; seed < FIRST_SEED + COUNT; seed += 1) {
    const { counts } = await run({ seed });
    for (const [name, count] of Object.entries(counts) as [keyof ManifestCounts, number][]) {
      totals[name] = (totals[name] ?? 0) + count;
    }
  }
  if (Bun.env["COUNT"] !== undefined) process.stdout.write(`${JSON.stringify(totals)}\n`);
  if (COUNT < COUNT_DEFAULT) return;
  for (const total of Object.values(totals)) expect(total).toBeGreaterThan(0);
}, 3_600_000);

test("manifest simulation: a crash at any operation leaves a manifest that fits its objects", async () => {
  let operation = 1;
  for (let isOver = false; !isOver; operation += 1) {
    const endings = Bun.env["COUNT"] === undefined ? [ENDINGS[operation % 2] ?? "cut"] : ENDINGS;
    for (const ending of endings) {
      ({ isOver } = await run({ seed: FIRST_SEED, crashOf: { operation, ending } }));
    }
  }
  expect(operation).toBeGreaterThan(100);
}, 3_600_000);
