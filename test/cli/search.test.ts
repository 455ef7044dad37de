/** `chronik-server search` against a broker. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { BrokerWithCli, runCli } from "./cli-process.ts";

let cli: BrokerWithCli;
beforeAll(async () => {
  cli = await BrokerWithCli.start();
  await cli.textOf(
    ["produce", "orders", "-k", "4711"],
    '{"customer": "Ada", "note": "two lamps"}\n',
  );
  await cli.textOf(["produce", "orders"], "no lamps,\tbut ✂ a chair\nlamps and chairs\n");
  await cli.textOf(["produce", "returns"], Buffer.from([108, 97, 109, 112, 115, 32, 255, 10]));
  const { httpPort } = cli.broker;
  await (await fetch(`http://127.0.0.1:${httpPort}/_search?refresh=true`)).text();
});
afterAll(() => cli.broker.remove());

const search = (...args: readonly string[]) => runCli(["search", ...args, ...cli.http]);

test("search: hits are lines, newest first", async () => {
  const { exitCode, stdout, stderr } = await search("lamps");
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const lines = stdout.toString().trimEnd().split("\n");
  for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z {2}/);
  expect(lines.map((line) => line.slice(26)).sort()).toEqual([
    'orders/0/0  4711  {"customer": "Ada", "note": "two lamps"}',
    "orders/0/1  no lamps, but ✂ a chair",
    "orders/0/2  lamps and chairs",
    "returns/0/0  lamps \ufffd",
  ]);
  expect(
    lines.toSorted((left, right) => (left.slice(0, 24) > right.slice(0, 24) ? -1 : 1)),
  ).toEqual(lines);
});

test("search: all words must occur; fields, topics, times and sizes narrow it", async () => {
  const found = async (...args: readonly string[]): Promise<string[]> => {
    const { exitCode, stdout, stderr } = await search(...args);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    return (stdout.toString().match(/\w+\/\d\/\d/g) ?? []).sort();
  };
  expect(await found("lamps chair")).toEqual(["orders/0/1"]);
  expect(await found("lamps", "AND", "chair*")).toEqual(["orders/0/1", "orders/0/2"]);
  expect(await found("customer:ada")).toEqual(["orders/0/0"]);
  expect(await found("lamps", "--topic", "ret*")).toEqual(["returns/0/0"]);
  expect(await found("lamps", "-t", "returns", "--from", "-15m")).toEqual(["returns/0/0"]);
  expect(await found("lamps", "--to", "-15m")).toEqual([]);
  expect(await found("nothing")).toEqual([]);
});

test("search: as JSON, and with a word about hits that are not shown", async () => {
  const { stdout, stderr } = await search("lamps", "-t", "orders", "--size", "1", "--json");
  expect(JSON.parse(stdout.toString())).toMatchObject({ topic: "orders", partition: 0 });
  expect(stderr).toBe("1 of 3 hits, the newest; --size N shows more.\n");
});

test("search: what the broker refuses is one line and exit code 1", async () => {
  expect(await search("x", "--topic", "nowhere")).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server search: no such index [nowhere]\n",
  });
  const { exitCode, stderr } = await search("(");
  expect(exitCode).toBe(1);
  expect(stderr).toMatch(/^chronik-server search: .+\n$/);
});
