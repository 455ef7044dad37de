/** `chronik-server produce` and `consume` against a broker: every byte, every error, and how they end. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BrokerWithCli, runCli, spawnCli } from "./cli-process.ts";

let cli: BrokerWithCli;
beforeAll(async () => {
  cli = await BrokerWithCli.start();
});
afterAll(() => cli.broker.remove());

/** Standard output of a child as it grows. */
class GrowingOutput {
  text = "";
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #decoder = new TextDecoder();

  constructor(stream: ReadableStream<Uint8Array>) {
    this.#chunks = stream[Symbol.asyncIterator]();
  }

  async until(end: string): Promise<void> {
    while (!this.text.endsWith(end)) {
      const { value, done } = await this.#chunks.next();
      if (done) throw new Error(`It ended with ${JSON.stringify(this.text)}.`);
      this.text += this.#decoder.decode(value, { stream: true });
    }
  }
}

test("produce and consume: lines of any bytes come back as they were", async () => {
  const large = "x".repeat(900_000);
  const input = Buffer.concat([
    Buffer.from("first\n\n"),
    Buffer.from([0, 255, 128, 13, 10]),
    Buffer.from(`${large}\nlast`),
  ]);
  expect(await cli.textOf(["produce", "bytes", "-v"], input)).toBe(
    [0, 1, 2, 3, 4].map((offset) => `bytes/0/${offset}\n`).join(""),
  );
  const { stdout, stderr, exitCode } = await cli.run(["consume", "bytes", "--exit-at-end"]);
  expect({ stderr, exitCode }).toEqual({ stderr: "", exitCode: 0 });
  expect(stdout.equals(Buffer.concat([input, Buffer.from("\n")]))).toBe(true);
});

test("produce: keys, headers and null values", async () => {
  const delimited = ["produce", "keys", "-K", "::", "-H", "a=1", "--header", "b="];
  await cli.textOf([...delimited, "--null"], "k1::v1\nk2::\n::v3\nwhole\n");
  await cli.textOf(["produce", "keys", "--key", "fix"], "v");
  const shown = await cli.textOf(["consume", "keys", "-e", "-f", "%o [%K %k] [%S %s] %h\n"]);
  expect(shown.split("\n")).toEqual([
    "0 [2 k1] [2 v1] a=1,b=",
    "1 [2 k2] [-1 ] a=1,b=",
    "2 [-1 ] [2 v3] a=1,b=",
    "3 [-1 ] [5 whole] a=1,b=",
    "4 [3 fix] [1 v] ",
    "",
  ]);
});

test.each(["gzip", "snappy", "lz4", "zstd"])("produce: lines compressed with %s", async (codec) => {
  const lines = Array.from({ length: 20_000 }, (_, index) => `line ${index} of ${codec}\n`).join(
    "",
  );
  await cli.textOf(["produce", `codec-${codec}`, "--compression", codec], lines);
  expect(await cli.textOf(["consume", `codec-${codec}`, "-e"])).toBe(lines);
});

test("produce: a file, as lines and as a whole", async () => {
  const path = join(tmpdir(), `chronik-cli-${process.pid}`);
  const lines = "a line\n".repeat(50_000);
  await Bun.write(path, lines);
  try {
    await cli.textOf(["produce", "file", path]);
    await cli.textOf(["produce", "file", path, "--whole", "-z", "lz4"]);
  } finally {
    await rm(path);
  }
  expect(await cli.textOf(["consume", "file", "-n", "50001", "-f", "%s"])).toBe(
    lines.replaceAll("\n", "") + lines,
  );
});

test("produce: keys choose the partition, or --partition does", async () => {
  await cli.textOf(["topics", "create", "spread", "-p", "3"]);
  const keyed = Array.from({ length: 300 }, (_, index) => `key-${index % 10}:${index}\n`).join("");
  await cli.textOf(["produce", "spread", "-K", ":"], keyed);
  await cli.textOf(["produce", "spread", "-p", "2"], "here");
  const shown = await cli.textOf(["consume", "spread", "-e", "-f", "%k %p %s\n"]);
  const places = new Map<string, Set<string>>();
  const last = new Map<string, number>();
  for (const line of shown.trim().split("\n")) {
    const [key = "", partition = "", value] = line.split(" ");
    places.set(key, (places.get(key) ?? new Set()).add(partition));
    expect(Number(value) > (last.get(key) ?? -1) || value === "here").toBe(true);
    last.set(key, Number(value));
  }
  for (let index = 0; index < 10; index += 1) expect(places.get(`key-${index}`)?.size).toBe(1);
  expect(places.get("")).toEqual(new Set(["2"]));
  expect(new Set([...places.values()].flatMap((set) => [...set])).size).toBeGreaterThan(1);
  expect(await cli.textOf(["consume", "spread", "-e", "-p", "2", "-o", "-1"])).toBe("here\n");
});

test("produce: a record that is too large is told with its line; the others are delivered", async () => {
  const input = `one\n${"x".repeat(2_000_000)}\nthree\n`;
  const { exitCode, stderr } = await cli.run(["produce", "refused"], input);
  expect(exitCode).toBe(1);
  expect(stderr.split("\n")).toEqual([
    expect.stringMatching(/^chronik-server produce: Line 2: A batch of 20000\d\d bytes is over /),
    "chronik-server produce: 1 of 3 records were not delivered.",
    "",
  ]);
  expect(await cli.textOf(["consume", "refused", "-e"])).toBe("one\nthree\n");
});

test("produce: what ends everything is one line and exit code 1", async () => {
  await cli.textOf(["topics", "create", "single"]);
  expect(await cli.run(["produce", "single", "-p", "4"], "a\nb\n")).toMatchObject({
    exitCode: 1,
    stderr:
      "chronik-server produce: Topic 'single' has no partition 4. " +
      "2 of 2 records read were not delivered, or may not be.\n",
  });
  expect(await cli.run(["produce", "a b"], "a\n")).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server produce: 'a b' is no name for a topic.\n",
  });
  expect(await cli.run(["produce", "single", "no-such-file"])).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server produce: no-such-file does not exist.\n",
  });
  for (const subcommand of ["produce", "consume"]) {
    expect(await runCli([subcommand, "x", "-b", "127.0.0.1:1"])).toMatchObject({
      exitCode: 1,
      stderr: `chronik-server ${subcommand}: No broker answers at 127.0.0.1:1 (connection refused).\n`,
    });
  }
});

test("consume: begins where it is told", async () => {
  await cli.textOf(["topics", "create", "times", "-p", "2"]);
  await cli.textOf(["produce", "times", "-p", "0"], "a\nb\nc\n");
  await cli.textOf(["produce", "times", "-p", "1"], "d\n");
  const timestamp = await cli.textOf(["consume", "times", "-e", "-o", "-1", "-p", "1", "-f", "%D"]);
  const read = async (from: string): Promise<string> => {
    const shown = await cli.textOf(["consume", "times", "-e", "--from", from, "-f", "%s\n"]);
    return shown.split("\n").sort().join("");
  };
  expect(await read("beginning")).toBe("abcd");
  expect(await read("2")).toBe("c");
  expect(await read("-1")).toBe("cd");
  expect(await read("999")).toBe("");
  expect(await read("end")).toBe("");
  expect(await read("-15m")).toBe("abcd");
  expect(await read(timestamp)).toContain("d");
  expect(await read("2099-01-01")).toBe("");
});

test("consume: an unknown topic is one line and exit code 1, and is not created", async () => {
  expect(await cli.run(["consume", "unknown"])).toMatchObject({
    exitCode: 1,
    stderr: "chronik-server consume: Topic 'unknown' does not exist.\n",
  });
  expect(await cli.textOf(["topics"])).not.toContain("unknown");
});

test("consume: prints what comes, until Ctrl-C", async () => {
  await cli.textOf(["produce", "live"], "old\n");
  const child = spawnCli(["consume", "live", ...cli.bootstrap]);
  const output = new GrowingOutput(child.stdout);
  await output.until("old\n");
  await cli.textOf(["produce", "live"], "new\n");
  await output.until("new\n");
  child.kill("SIGINT");
  expect(await child.exited).toBe(0);
  expect(await new Response(child.stderr).text()).toBe("");
});

test("consume: goes on when the broker is back", async () => {
  const restarted = await BrokerWithCli.start();
  try {
    const { kafkaPort } = restarted.broker;
    await restarted.textOf(["produce", "kept"], "before\n");
    const child = spawnCli(["consume", "kept", ...restarted.bootstrap]);
    const output = new GrowingOutput(child.stdout);
    await output.until("before\n");
    await restarted.broker.stop();
    await restarted.broker.start("--kafka-port", String(kafkaPort));
    await restarted.textOf(["produce", "kept"], "after\n");
    await output.until("after\n");
    expect(output.text).toBe("before\nafter\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
  } finally {
    await restarted.broker.remove();
  }
});

test("consume: a reader of its output that goes away ends it in silence", async () => {
  const lines = "x".repeat(99).concat("\n").repeat(20_000);
  await cli.textOf(["produce", "long"], lines);
  const program = [process.execPath, "src/main.ts", "consume", "long", ...cli.bootstrap];
  const script = '"$@" | head -c 100; echo $PIPESTATUS';
  const child = Bun.spawn(["bash", "-c", script, "bash", ...program], {
    stdout: "pipe",
    stderr: "pipe",
  });
  expect(await new Response(child.stdout).text()).toBe(`${"x".repeat(99)}\n0\n`);
  expect(await new Response(child.stderr).text()).toBe("");
});
