/** What subcommands say of themselves, and to those who misuse them. */
import { expect, test } from "bun:test";
import { runSubcommand } from "../../src/cli/run-subcommand.ts";
import { SUBCOMMANDS, subcommandOf } from "../../src/cli/subcommands.ts";
import type { Terminal } from "../../src/cli/terminal.ts";
import { runCli } from "./cli-process.ts";

/** Nobody listens there: what needs a broker fails. */
const NOWHERE = ["--bootstrap", "127.0.0.1:1"];

/** Runs a subcommand in this process. */
async function run([name = "", ...args]: readonly string[]) {
  let stdout = "";
  let stderr = "";
  const terminal: Terminal = {
    write: async (output) => {
      stdout += typeof output === "string" ? output : Buffer.from(output).toString();
    },
    flush: async () => {},
    tell: (line) => {
      stderr += `${line}\n`;
    },
    input: async function* () {},
    catchInterrupts: () => new AbortController().signal,
    columns: undefined,
  };
  const entry = subcommandOf(name);
  if (entry === undefined) throw new Error(`there is no ${name}`);
  return { exitCode: await runSubcommand(entry, args, terminal), stdout, stderr };
}

test.each(SUBCOMMANDS)(
  "$name: its help is printed, in lines that fit",
  async ({ name, summary }) => {
    const { exitCode, stdout, stderr } = await run([name, "--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toStartWith(`${summary}\n\nUsage: chronik-server ${name} `);
    expect(Math.max(...stdout.split("\n").map((line) => line.length))).toBeLessThan(121);
  },
);

test("topics: what does not speak Kafka's protocol is told so", async () => {
  for (const answer of ["HTTP/1.1 400 Bad Request\r\n\r\n", "\xff\xff\xff\xff", "\0\0\0\0"]) {
    using server = Bun.listen({
      hostname: "127.0.0.1",
      port: 0,
      socket: { data: (socket) => void socket.write(Buffer.from(answer, "latin1")) },
    });
    const place = `127.0.0.1:${server.port}`;
    const { exitCode, stderr } = await run(["topics", "--bootstrap", place]);
    const reason = `What answers at ${place} does not speak Kafka's protocol.`;
    expect({ exitCode, stderr }).toEqual({
      exitCode: 1,
      stderr: `chronik-server topics: ${reason}\n`,
    });
  }
});

test("search: without a broker there is one line, and exit code 1", async () => {
  expect(await run(["search", "x", "--http", "http://127.0.0.1:1"])).toEqual({
    exitCode: 1,
    stdout: "",
    stderr:
      "chronik-server search: No broker answers at http://127.0.0.1:1 (connection refused).\n",
  });
});

test("help: names every subcommand, and leads to each", async () => {
  const general = (await runCli(["--help"])).stdout.toString();
  for (const { name } of SUBCOMMANDS) expect(general).toContain(`  ${name} `);
  for (const { summary } of SUBCOMMANDS) expect(general).toContain(summary);
  const [direct, byHelp] = [await runCli(["topics", "-h"]), await runCli(["help", "topics"])];
  expect(byHelp.stdout.toString()).toBe(direct.stdout.toString());
});

test.each([
  [["conusme", "x"], "Unknown command conusme; did you mean consume?"],
  [["--http-port", "0", "topics"], "topics must be the first argument; its options follow it."],
])("%j is no command: exit code 2", async (args, sentence) => {
  const { exitCode, stderr } = await runCli(args);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: `chronik-server: ${sentence}\n` });
});

test.each([
  [["topics", "--lng"], "Unknown option --lng; did you mean --long?"],
  [["topics", "drop"], 'There is no "topics drop"; there are list, describe, create, delete.'],
  [["topics", "create"], "The topic's name is missing."],
  [
    ["topics", "create", "t", "-p", "0"],
    '--partitions takes a whole number from 1 to 10000, not "0".',
  ],
  [["topics", "create", "t", "-c", "a"], '--config takes KEY=VALUE, not "a".'],
  [["topics", "delete"], "The topic's name is missing."],
  [["topics", "list", "x"], 'Unexpected argument "x".'],
  [["topics", "-b", "x:0"], '"x:0" is no address: write host:port.'],
  [["topics", "-b"], "-b needs a value."],
  [["topics", "--json=1"], "--json takes no value."],
  [["produce"], "The topic's name is missing."],
  [["produce", "t", "-k", "a", "-K", ":"], "Either --key or --key-delimiter."],
  [["produce", "t", "-k", "a", "-k", "b"], "-k is given twice."],
  [
    ["produce", "t", "-p", "-1"],
    '--partition takes a whole number from 0 to 2147483647, not "-1".',
  ],
  [["produce", "t", "-H", "a"], '--header takes NAME=VALUE, not "a".'],
  [["produce", "t", "-z", "lzo"], '--compression takes none, gzip, snappy, lz4, zstd, not "lzo".'],
  [["consume"], "The topic's name is missing."],
  [["consume", "t", "u"], 'Unexpected argument "u".'],
  [
    ["consume", "t", "-o", "noon"],
    '--from does not understand "noon"; --help lists what it takes.',
  ],
  [["consume", "t", "-f", "%q"], '--format does not know "%q".'],
  [["consume", "t", "--json", "-f", "%s"], "Either --format or --json."],
  [["search", " "], "The text to look for is missing."],
  [["search", "x", "--from", "12"], '--from does not understand "12"; --help lists what it takes.'],
  [["search", "x", "--http", "http://"], '"http://" is no URL.'],
])("%j is not understood: exit code 2", async (args, sentence) => {
  const stderr = `chronik-server ${args[0]}: ${sentence}\n`;
  expect(await run(args)).toEqual({ exitCode: 2, stdout: "", stderr });
});

test.each([[["topics"]], [["produce", "t"]], [["consume", "t"]]])(
  "%j: without a broker there is one line, and exit code 1",
  async (args) => {
    const reason = "No broker answers at 127.0.0.1:1 (connection refused).";
    const stderr = `chronik-server ${args[0]}: ${reason}\n`;
    expect(await run([...args, ...NOWHERE])).toEqual({ exitCode: 1, stdout: "", stderr });
  },
);
