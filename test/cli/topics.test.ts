/** `chronik-server topics` against a broker, and what every subcommand says when it is misused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { SUBCOMMANDS, subcommandOf } from "../../src/cli/subcommands.ts";
import { BrokerWithCli, runCli } from "./cli-process.ts";

let cli: BrokerWithCli;
beforeAll(async () => {
  cli = await BrokerWithCli.start();
});
afterAll(() => cli.broker.remove());

test("topics: created, listed, described, deleted", async () => {
  const create = ["topics", "create", "orders", "--partitions", "3", "-c", "retention.ms=1000"];
  expect(await cli.textOf(create)).toBe("");
  await cli.textOf(["topics", "create", "returns"]);
  expect(await cli.textOf(["topics"])).toBe("orders\nreturns\n");
  expect(await cli.textOf(["topics", "list", "--long"])).toBe(
    "TOPIC    PARTITIONS  OFFSETS\norders            3        0\nreturns           1        0\n",
  );
  const described = await cli.textOf(["topics", "describe", "orders", "--json"]);
  const lines = described.trim().split("\n");
  expect(lines.map((line) => JSON.parse(line))).toEqual(
    [0, 1, 2].map((partition) => ({
      topic: "orders",
      partition,
      leader: 1,
      start_offset: 0,
      end_offset: 0,
    })),
  );
  expect(await cli.textOf(["topics", "delete", "orders", "returns"])).toBe("");
  expect(await cli.textOf(["topics", "list"])).toBe("");
});

test("topics: the broker's refusal is one line and exit code 1", async () => {
  await cli.textOf(["topics", "create", "twice"]);
  expect(await cli.run(["topics", "create", "twice"])).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server topics: Topic 'twice' already exists. (TOPIC_ALREADY_EXISTS)\n",
  });
  expect(await cli.run(["topics", "describe", "nowhere"])).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server topics: Topic 'nowhere' does not exist.\n",
  });
});

test("topics: without a broker there is one line and exit code 1", async () => {
  expect(await runCli(["topics", "--bootstrap", "127.0.0.1:1"])).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server topics: No broker answers at 127.0.0.1:1 (connection refused).\n",
  });
});

test.each([
  [["--lng"], "Unknown option --lng; did you mean --long?"],
  [["drop"], 'There is no "topics drop"; there are list, describe, create, delete.'],
  [["create"], "The topic's name is missing."],
  [["list", "x"], 'Unexpected argument "x".'],
  [["--json=1"], "--json takes no value."],
  [["create", "x", "-p", "0"], '--partitions takes a whole number from 1 to 10000, not "0".'],
  [["create", "x", "-p", "1", "-p", "2"], "-p is given twice."],
])("topics: %j is not understood, exit code 2", async (args, sentence) => {
  const { exitCode, stderr } = await cli.run(["topics", ...args]);
  expect({ exitCode, stderr }).toEqual({
    exitCode: 2,
    stderr: `chronik-server topics: ${sentence}\n`,
  });
});

test("subcommands: help is printed for each, in lines that fit", async () => {
  const general = (await runCli(["--help"])).stdout.toString();
  for (const { name, summary } of SUBCOMMANDS) {
    const { exitCode, stdout, stderr } = await runCli([name, "--help"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout.toString()).toStartWith(`${summary}\n\nUsage: chronik-server ${name} `);
    expect(
      Math.max(
        ...stdout
          .toString()
          .split("\n")
          .map((line) => line.length),
      ),
    ).toBeLessThan(121);
    expect(general).toContain(summary);
    expect(subcommandOf(name)?.name).toBe(name);
  }
});
