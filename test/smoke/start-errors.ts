/** What the compiled file says, and how it exits, when it is asked for nonsense or cannot have what it needs. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorCode } from "../../src/protocol/errors.ts";
import { batchOfValues, RawKafkaClient } from "./kafka-client.ts";
import { canMount, type Ended, LonelyDirectory, type StartOptions } from "./server-process.ts";

const FREE_PORTS = ["--kafka-port", "0", "--http-port", "0"];

let directory: LonelyDirectory;
beforeEach(() => {
  directory = new LonelyDirectory();
});
afterEach(() => directory.remove());

/** The last line on standard error: the one that tells why. */
function reasonOf({ stderr }: Ended): string {
  return stderr.trimEnd().split("\n").at(-1) ?? "";
}

async function refusal(options: StartOptions): Promise<string> {
  const ended = await directory.run(options);
  expect(ended.exitCode).toBeGreaterThan(0);
  expect(ended.stdout).not.toContain("chronik ready");
  expect(ended.stderr).not.toMatch(/^\s+at /m); // A stack trace is for programmers.
  return reasonOf(ended);
}

test("chronik-server --help and --version: on standard output, exit code 0", async () => {
  const help = await directory.run({ flags: ["--help"] });
  expect(help).toMatchObject({ exitCode: 0, stderr: "" });
  expect(help.stdout).toContain("--wal-indexing-interval-secs");
  const version = await directory.run({ flags: ["--version"] });
  expect(version).toMatchObject({ exitCode: 0, stderr: "" });
  expect(version.stdout).toMatch(/^chronik-server \d+\.\d+\.\d+\n$/);
});

test.each<[StartOptions, string]>([
  [{ flags: ["--kafka-prot", "1"] }, "did you mean --kafka-port?"],
  [{ flags: ["serve"] }, "Unknown command serve"],
  [{ env: { CHRONIK_KAFKA_PROT: "1" } }, "did you mean CHRONIK_KAFKA_PORT?"],
  [{ flags: ["--config", "missing.toml"] }, "missing.toml cannot be read"],
])("chronik-server %j: one line and exit code 2", async (options, sentence) => {
  const ended = await directory.run(options);
  expect(ended).toMatchObject({ exitCode: 2, stdout: "" });
  expect(ended.stderr.trimEnd().split("\n")).toHaveLength(1);
  expect(ended.stderr).toContain(sentence);
});

test("chronik-server: settings of a file count", async () => {
  writeFileSync(join(directory.path, "chronik.toml"), 'data_dir = "elsewhere"\nkafka_port = 0\n');
  await directory.start({ flags: ["--config", "chronik.toml"] });
  expect((await directory.end("SIGTERM")).stdout).toMatch(/ data \S*elsewhere$/m);
});

test("chronik-server: a port in use is named", async () => {
  const { kafkaPort } = await directory.start();
  const other = new LonelyDirectory();
  try {
    const ended = await other.run({ flags: ["--kafka-port", `${kafkaPort}`, "--http-port", "0"] });
    expect(ended.exitCode).toBeGreaterThan(0);
    expect(reasonOf(ended)).toContain(`${kafkaPort}`);
    expect(reasonOf(ended)).toMatch(/in use/);
  } finally {
    await other.remove();
  }
});

test("chronik-server: a data directory is for one process, and free again after kill -9", async () => {
  const shared = join(directory.path, "shared");
  const flags = [...FREE_PORTS, "--data-dir", shared];
  await directory.start({ flags: ["--data-dir", shared] });
  const other = new LonelyDirectory();
  try {
    const ended = await other.run({ flags });
    expect(ended.exitCode).toBeGreaterThan(0);
    expect(reasonOf(ended)).toContain(shared);
  } finally {
    await other.remove();
  }
  await directory.end("SIGKILL");
  await directory.start({ flags: ["--data-dir", shared] });
});

test("chronik-server: a data directory that is a file is refused", async () => {
  const path = join(directory.path, "a-file");
  writeFileSync(path, "");
  expect(await refusal({ flags: [...FREE_PORTS, "--data-dir", path] })).toContain(path);
});

test("chronik-server: a data directory of a newer version is refused as it is", async () => {
  await directory.start();
  await directory.end("SIGTERM");
  const identity = Bun.file(join(directory.path, "chronik-data/chronik.json"));
  const newer = { ...(await identity.json()), formatVersion: 99 };
  await identity.write(JSON.stringify(newer));
  expect(await refusal({ flags: FREE_PORTS })).toContain("newer version");
  expect(await identity.json()).toEqual(newer);
});

test.if(canMount)("chronik-server: a read-only data directory is refused", async () => {
  const path = join(directory.path, "read-only");
  mkdirSync(path);
  const mounts = `mount -t tmpfs -o ro tmpfs '${path}'`;
  const reason = await refusal({ flags: [...FREE_PORTS, "--data-dir", path], mounts });
  expect(reason).toContain(path);
  expect(reason).toMatch(/read-only|cannot be written/i);
});

test.if(canMount)("chronik-server: a full disk at the start is told", async () => {
  const path = join(directory.path, "small");
  mkdirSync(path);
  const mounts = `mount -t tmpfs -o size=256k tmpfs '${path}'`;
  const reason = await refusal({ flags: [...FREE_PORTS, "--data-dir", path], mounts });
  expect(reason).toMatch(/full|space/i);
});

test.if(canMount)(
  "chronik-server: a disk that is full refuses records and still gives them",
  async () => {
    const path = join(directory.path, "small");
    mkdirSync(path);
    const small = [
      "--wal-file-bytes",
      "1M",
      "--wal-slab-bytes",
      "1M",
      "--message-max-bytes",
      "256K",
    ];
    const mounts = `mount -t tmpfs -o size=80m tmpfs '${path}'`;
    const flags = ["--data-dir", path, ...small, "--no-enable-wal-indexing"];
    const { kafkaPort } = await directory.start({ flags, mounts });
    const client = await RawKafkaClient.connect(kafkaPort);
    await client.touchTopic("orders");
    const batch = batchOfValues(["x".repeat(200_000)]);
    let errorCode = 0;
    let accepted = -1;
    for (; accepted < 400 && errorCode === 0; accepted += 1) {
      errorCode = (await client.produce("orders", batch)).errorCode;
    }
    expect(errorCode).toBe(ErrorCode.kafkaStorageError);
    const fetched = await client.fetch("orders", accepted - 1);
    expect(fetched).toMatchObject({ errorCode: 0, highWatermark: accepted });
    const { stderr } = await directory.end("SIGTERM");
    expect(stderr).toMatch(/ERROR.*full/);
  },
);
