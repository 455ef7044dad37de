/** A process that freezes one index again and again, into directories of the given one, until it is killed. */
import { freezeIndexes } from "../../src/core/native.ts";
import { indexOf } from "./packed-records.ts";

const [, , directory] = process.argv;
const index = indexOf(
  Array.from({ length: 500 }, (_, i) => ({ key: `k${i}`, value: `word ${i}` })),
);
for (let round = 0; round < 10_000; round += 1) {
  process.stdout.write(`${round}\n`);
  freezeIndexes([index.number], `${directory}/${round}`);
}
