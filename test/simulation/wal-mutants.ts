/**
 * Faults planted into copies of the WAL's sources. A mutant is the real code but for one line, so finding
 * it shows that the simulation would see that mistake.
 */

import { mkdir, mkdtemp, readdir, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import type { WalSources } from "./wal-history.ts";

const SOURCE = resolve(import.meta.dir, "../../src");

/** One change: `original` stands exactly once in `file`. */
interface Edit {
  readonly file: string;
  readonly original: string;
  readonly planted: string;
}

/** One mistake. */
export interface Mutant {
  readonly name: string;
  /** A history that finds it; another one is looked for if this one no longer does. */
  readonly seed: number;
  readonly edits: readonly Edit[];
}

export const MUTANTS: readonly Mutant[] = [
  {
    name: "acknowledges a written group before the sync",
    seed: 4,
    edits: [
      {
        file: "group-commit.ts",
        original: "if (isSync && isAlone) {\n        await file.writeDurably(bytes, group.start);",
        planted: "if (isSync && isAlone) {\n        await file.write(bytes, group.start);",
      },
    ],
  },
  {
    name: "forgets the sync when several groups were written",
    seed: 0,
    edits: [
      {
        file: "group-commit.ts",
        original: "if (!isAlone) await file.sync();",
        planted: "",
      },
    ],
  },
  {
    name: "lets those who wait for the open group go with the one before",
    seed: 19,
    edits: [
      {
        file: "group-commit.ts",
        original: "return group.whenDurable();",
        planted: "return (this.#groups[0] ?? group).whenDurable();",
      },
    ],
  },
  {
    name: "calls a group durable that was appended during the sync",
    seed: 0,
    edits: [
      {
        file: "group-commit.ts",
        original: "this.#setDurable(groups);",
        planted:
          "if (this.#groups.at(-1)?.isOpen === false) this.#setDurable(this.#groups.slice());",
      },
    ],
  },
  {
    name: "overwrites bytes in the slab that are not durable",
    seed: 1,
    edits: [
      {
        file: "wal-room.ts",
        original: "return commit.isAllDurable || end",
        planted: "return bytesMax > 0 || commit.isAllDurable || end",
      },
    ],
  },
  {
    name: "takes groups that a cut left behind the new tail",
    seed: 741,
    edits: [
      {
        file: "recovery.ts",
        original:
          "if (walk.previousCrc !== undefined && group.previousCrc !== walk.previousCrc) break;",
        planted: "",
      },
    ],
  },
  {
    name: "cuts durable groups as if they were the torn tail",
    seed: 13,
    edits: [
      {
        file: "recovery.ts",
        original: "if (header.durableAddress <= endAddress) return;",
        planted: "if (endAddress > 0) return;",
      },
    ],
  },
  {
    name: "trusts the cache after a failed sync",
    seed: 721,
    edits: [
      {
        file: "recovery.ts",
        original: "await file.write(bytes, position);",
        planted: "",
      },
    ],
  },
  {
    name: "does not make recovered groups durable",
    seed: 39,
    edits: [
      {
        file: "recovery.ts",
        original: "await file.sync();",
        planted: "",
      },
    ],
  },
  {
    name: "accepts groups of a recycled file's earlier life",
    seed: 4,
    edits: [
      {
        file: "wal-format.ts",
        original: "return crc32c(encodeFileHeader(header), SEED_START, SEED_END);",
        planted: "return header.sequence > 0 ? 1 : 0;",
      },
      // The chain of groups would hide it.
      {
        file: "recovery.ts",
        original:
          "if (walk.previousCrc !== undefined && group.previousCrc !== walk.previousCrc) break;",
        planted: "",
      },
    ],
  },
  {
    name: "does not look at the bytes of an entry",
    seed: 44,
    edits: [
      {
        file: "group-scan.ts",
        original: "if (end === undefined) return false;",
        planted: "if (end === undefined) return limit > 0;",
      },
    ],
  },
  {
    name: "uses a new file before its name is durable",
    seed: 0,
    edits: [
      {
        file: "wal-files.ts",
        original: "await disk.syncDirectory(directory);\n    target.file = file;",
        planted: "target.file = file;",
      },
    ],
  },
  {
    name: "goes on after a failed sync",
    seed: 144,
    edits: [
      {
        file: "group-commit.ts",
        original: "if (!isAlone) await file.sync();",
        planted: "if (!isAlone) await file.sync().catch(() => {});",
      },
    ],
  },
  {
    name: "goes on after its close",
    seed: 1,
    edits: [
      { file: "idle-mark.ts", original: "this.#isStopped = true;", planted: "" },
      { file: "group-commit.ts", original: 'this.#state = "stopped";', planted: "" },
    ],
  },
  {
    name: "makes files out of order",
    seed: 1765,
    edits: [
      {
        file: "wal-files.ts",
        original: "if (file.file === undefined) return this.#startPreparing(file);",
        planted: "",
      },
    ],
  },
  {
    name: "takes entries of a torn group's predecessor at the same place",
    seed: 8390,
    edits: [
      {
        file: "group-scan.ts",
        original: "&& entriesCrc === header.entriesCrc",
        planted: "",
      },
    ],
  },
  {
    name: "frees a file too early",
    seed: 2,
    edits: [
      {
        file: "wal-files.ts",
        original: "file.sequence >= this.#firstNeeded ||",
        planted: "file.sequence > this.#firstNeeded ||",
      },
    ],
  },
];

/** The WAL with `mutant` planted, from a directory of its own. */
export async function walWith(mutant: Mutant): Promise<WalSources & { directory: string }> {
  const directory = await mkdtemp(join(tmpdir(), "chronik-mutant-"));
  await mkdir(join(directory, "wal"));
  for (const name of await readdir(join(SOURCE, "wal"))) {
    let text = await readFile(join(SOURCE, "wal", name), "utf8");
    for (const edit of mutant.edits) if (edit.file === name) text = changed(text, edit);
    // The layers below are shared with the tests: only the WAL is copied.
    await writeFile(join(directory, "wal", name), text.replaceAll('from "../', `from "${SOURCE}/`));
  }
  const load = (name: string) => import(join(directory, "wal", name)) as Promise<WalSources>;
  const { Wal } = await load("wal.ts");
  const { WalReader } = await load("wal-reader.ts");
  return { Wal, WalReader, directory };
}

function changed(text: string, { file, original, planted }: Edit): string {
  const parts = text.split(original);
  if (parts.length !== 2) throw new Error(`${file} has ${parts.length - 1} × ${original}`);
  return parts.join(planted);
}
