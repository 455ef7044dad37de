/** Makes property tests repeatable: `SEED=<the printed seed> bun test <file>` runs the same cases again. */
import fc from "fast-check";

const seed = Bun.env["SEED"];
if (seed !== undefined) fc.configureGlobal({ seed: Number(seed) });
