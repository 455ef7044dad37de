/** Seeded histories of the storage on a failing disk. `SEED=n` repeats one, `COUNT=n` runs more, from
 * `FIRST_SEED` on. */

import { beforeAll, expect, spyOn, test } from "bun:test";
import { type Config, loadConfig } from "../../src/config.ts";
import { seededRandom } from "../../src/core/clock.ts";
import { loadNative } from "../../src/core/native.ts";
import { type HistoryOptions, runStorageHistory } from "./storage-history.ts";
import { noStorageCounts } from "./storage-model.ts";

const COUNT_DEFAULT = 60;
const SEED = Bun.env["SEED"];
const COUNT = SEED === undefined ? Number(Bun.env["COUNT"] ?? COUNT_DEFAULT) : 1;
const FIRST_SEED = Number(SEED ?? Bun.env["FIRST_SEED"] ?? 0);
/** Their second lives seal, write checkpoints, free WAL files, and delete records and topics. */
const FIXED_SEEDS = SEED === undefined ? [3] : [Number(SEED)];
/** 70091: an object that a killed process had not synced, in a rebuilt index, before a power cut. */
const NOTED_SEEDS = [70091];
const ENDINGS = ["cut", "kill"] as const;

let config: Config;
beforeAll(async () => {
  await loadNative();
  const loaded = await loadConfig({ argv: [], env: {}, readFile: async () => "" });
  config = {
    ...loaded.config,
    dataDir: "/simulated",
    walFileBytes: 64 * 1024,
    walSlabBytes: 16 * 1024,
    walBytesMax: 64 * 64 * 1024,
  };
});

/** Ids and salts are of chance too. */
function seedChance(seed: number): void {
  const random = seededRandom(seed ^ 0x5eed);
  spyOn(Math, "random").mockImplementation(random);
  spyOn(crypto, "getRandomValues").mockImplementation((target) => {
    if (target instanceof Uint8Array) target.set(Array.from(target, () => random() * 256));
    return target;
  });
}

async function run(options: Omit<HistoryOptions, "config">) {
  seedChance(options.seed);
  return await runStorageHistory({ config, ...options }).catch((thrown: unknown) => {
    const { operation, ending } = options.crashOf ?? {};
    const place = operation === undefined ? "" : ` (${ending} at operation ${operation})`;
    throw new Error(`SEED=${options.seed}${place}: ${String(thrown)}`, { cause: thrown });
  });
}

test("storage simulation: every history keeps its promises", async () => {
  const totals = noStorageCounts();
  const seeds = Array.from({ length: COUNT }, (_, number) => FIRST_SEED + number);
  for (const seed of SEED === undefined ? [...NOTED_SEEDS, ...seeds] : seeds) {
    const { counts } = await run({ seed });
    for (const name of Object.keys(counts) as (keyof typeof counts)[]) totals[name] += counts[name];
  }
  if (Bun.env["COUNT"] !== undefined) process.stdout.write(`${JSON.stringify(totals)}\n`);
  // A simulation that never seals, crashes or repeats would prove nothing.
  if (COUNT < COUNT_DEFAULT) return;
  for (const total of Object.values(totals)) expect(total).toBeGreaterThan(0);
}, 3_600_000);

test("storage simulation: a crash at any operation of a life keeps the promises", async () => {
  for (const seed of FIXED_SEEDS) {
    let operation = 1;
    for (let isOver = false; !isOver; operation += 1) {
      // The other ending has its turn when `COUNT` asks for more.
      const endings = Bun.env["COUNT"] === undefined ? [ENDINGS[operation % 2] ?? "cut"] : ENDINGS;
      for (const ending of endings) {
        ({ isOver } = await run({ seed, crashOf: { operation, ending } }));
      }
    }
    expect(operation).toBeGreaterThan(100);
  }
}, 3_600_000);
