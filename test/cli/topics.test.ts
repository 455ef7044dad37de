/** `chronik-server topics` against a broker. */
import { afterAll, beforeAll, expect, test } from "bun:test";
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
