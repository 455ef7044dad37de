/** `chronik-server check`: whether a data directory is whole, told without changing anything in it. */

import { settingOf } from "../config/settings.ts";
import { systemDisk } from "../core/disk.ts";
import { pathsOf } from "../meta/data-directory.ts";
import { type CheckSummary, checkDataDirectory } from "../segment/check-data-directory.ts";
import { type Arguments, type Usage, UsageError } from "./arguments.ts";
import type { Subcommand } from "./subcommands.ts";
import type { Terminal } from "./terminal.ts";

const DATA_DIR_DEFAULT = String(settingOf("dataDir").default);
const EXIT_CODE_FAULTS = 1;

const USAGE: Usage = {
  forms: ["[--data-dir DIR]"],
  options: {
    "data-dir": {
      kind: "text",
      value: "DIR",
      help: `The directory of a broker that does not run; ${DATA_DIR_DEFAULT}.`,
    },
  },
  notes: `Reads the write-ahead log, the checkpoints, the index of segments and every segment, compares every checksum,
and follows each partition's offsets from its start to its end. One line for each fault, and for each thing that
a crash has left and the next start puts in order ("note"). The exit code is 1 if there is a fault.
`,
};

export const checkCommand: Subcommand = {
  usage: USAGE,
  run: async (args: Arguments, terminal: Terminal) => {
    const [unexpected] = args.words;
    if (unexpected !== undefined) throw new UsageError(`Unexpected argument "${unexpected}".`);
    const dataDir = args.text("data-dir") ?? DATA_DIR_DEFAULT;
    const names = await systemDisk.list(dataDir);
    if (!names.includes("chronik.json")) {
      throw new Error(`${dataDir} is no data directory: it has no chronik.json.`);
    }
    const lock = systemDisk.lock(pathsOf(dataDir).lock);
    try {
      return await check(dataDir, terminal);
    } finally {
      lock.release();
    }
  },
};

async function check(dataDir: string, terminal: Terminal): Promise<number> {
  const lines: string[] = [];
  let faultCount = 0;
  const summary = await checkDataDirectory(systemDisk, dataDir, ({ kind, path, reason }) => {
    if (kind === "fault") faultCount += 1;
    // An error's sentence may name the file already.
    const where = reason.includes(path) ? "" : `${path}: `;
    lines.push(`${kind}  ${where}${reason}\n`);
  });
  for (const line of lines) await terminal.write(line);
  await terminal.write(`${summaryText(summary)}: ${counted(faultCount, "fault")}\n`);
  return faultCount > 0 ? EXIT_CODE_FAULTS : 0;
}

function summaryText(summary: CheckSummary): string {
  const { walFileCount, walEntryCount, segmentCount, segmentBytes, partitionCount } = summary;
  const parts = [
    `${counted(walEntryCount, "entry", "entries")} in ${counted(walFileCount, "WAL file")}`,
    `${counted(segmentCount, "segment")} of ${segmentBytes} bytes`,
    counted(partitionCount, "partition"),
  ];
  return `checked ${parts.join(", ")}`;
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}
