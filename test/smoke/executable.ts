/**
 * The compiled file, copied alone into an empty directory: it starts, takes and gives records, finds them, and has
 * them after a restart; with no program on PATH, without a usable temp directory too.
 */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { decodeBatch } from "../../src/protocol/canonical-record.ts";
import { whyMissing } from "../object-store/install.ts";
import { CREDENTIALS, startS3Server, urlOf } from "../object-store/s3-server.ts";
import { batchOfValues, RawKafkaClient } from "./kafka-client.ts";
import { canMount, LonelyDirectory, type Ready, type StartOptions } from "./server-process.ts";

const FOUND_TIMEOUT_MS = 10_000;

let directory: LonelyDirectory;
beforeEach(() => {
  directory = new LonelyDirectory();
});
afterEach(() => directory.remove());

const surroundings: [string, StartOptions][] = [
  ["with a temp directory of its own", {}],
  ["with a TMPDIR that does not exist", { env: { TMPDIR: "/nonexistent/tmp" } }],
  ["with a TMPDIR where nothing can be written", { env: { TMPDIR: "/proc" } }],
];
if (canMount) {
  surroundings.push(["with a read-only /tmp", { mounts: "mount -t tmpfs -o ro tmpfs /tmp" }]);
}

test.each(surroundings)(
  "chronik-server alone %s: produces, fetches, searches, restarts",
  async (_, options) => {
    const ready = await directory.start(options);
    expect(readdirSync(directory.path).sort()).toEqual([
      "chronik-data",
      "chronik-server",
      "no-programs",
    ]);
    const values = ["the first lamp", "the second lamp", '{"customer":"Ada"}'];
    const client = await RawKafkaClient.connect(ready.kafkaPort);
    expect(await client.touchTopic("orders")).toBe(0);
    expect(await client.produce("orders", batchOfValues(values))).toMatchObject({
      errorCode: 0,
      baseOffset: 0,
    });
    await expectAll(ready, values);

    expect(await directory.end("SIGTERM")).toMatchObject({ exitCode: 0 });
    await expectAll(await directory.start(options), values);

    await directory.end("SIGKILL");
    const again = await directory.start(options);
    await expectAll(again, values);
    const next = await (await RawKafkaClient.connect(again.kafkaPort)).produce(
      "orders",
      batchOfValues(["more"]),
    );
    expect(next).toMatchObject({ errorCode: 0, baseOffset: 3 });
  },
);

test.each(surroundings.filter(([, { mounts }]) => mounts === undefined))(
  "chronik-server alone %s: its subcommands and time travel",
  async (_, options) => {
    const { kafkaPort, httpPort } = await directory.start(options);
    const run = async (args: readonly string[], stdin = ""): Promise<string> => {
      const child = Bun.spawn([`${directory.path}/chronik-server`, ...args], {
        cwd: directory.path,
        env: options.env ?? {},
        stdin: Buffer.from(stdin),
      });
      const output = await new Response(child.stdout).text();
      expect(await child.exited).toBe(0);
      return output;
    };
    const cluster = ["--bootstrap", `127.0.0.1:${kafkaPort}`];
    await run(["produce", "shell", "-z", "snappy", "--key", "k", ...cluster], "one\ntwo\n");
    expect(await run(["topics", ...cluster])).toBe("shell\n");
    expect(await run(["consume", "shell", "--exit-at-end", ...cluster])).toBe("one\ntwo\n");
    await expectHits(httpPort, "two", 1, "shell");
    const http = ["--http", `http://127.0.0.1:${httpPort}`];
    expect(await run(["search", "two", ...http])).toContain("  shell/0/1  k  two\n");
    const url = `http://127.0.0.1:${httpPort}/api/topics/shell`;
    expect(await (await fetch(`${url}/records?from=1`)).text()).toContain('"value":"two"');
    expect(await (await fetch(`${url}/table`)).text()).toContain('"value":"two"');
  },
);

const s3Reason = whyMissing("seaweedfs");
test.skipIf(s3Reason !== undefined)(
  `chronik-server alone: copies its segments to S3${s3Reason === undefined ? "" : ` (${s3Reason})`}`,
  async () => {
    const server = await startS3Server("seaweedfs");
    try {
      const env = {
        AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
        AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
      };
      const url = urlOf(server, { prefix: "smoke" });
      const flags = ["--object-store", url, "--wal-indexing-interval-secs", "1"];
      const { kafkaPort, httpPort } = await directory.start({ env, flags });
      const client = await RawKafkaClient.connect(kafkaPort);
      await client.touchTopic("orders");
      await client.produce("orders", batchOfValues(["one"]));
      const metrics = async () => (await fetch(`http://127.0.0.1:${httpPort}/metrics`)).text();
      while (!/^chronik_segments_uploaded{state="uploaded"} [1-9]/m.test(await metrics()));
      const { exitCode, stderr } = await directory.end("SIGTERM");
      expect(exitCode).toBe(0);
      expect(stderr).not.toContain(CREDENTIALS.secretAccessKey);
    } finally {
      await server.stop();
    }
  },
);

test("chronik-server: neither .env, bunfig.toml nor BUN_ variables of the directory change it", async () => {
  await Bun.write(`${directory.path}/.env`, "CHRONIK_KAFKA_PORT=not-a-port\n");
  await Bun.write(`${directory.path}/bunfig.toml`, 'preload = ["./missing.ts"]\n');
  await Bun.write(`${directory.path}/tsconfig.json`, "{ not json");
  await directory.start();
  expect(await directory.end("SIGINT")).toMatchObject({ exitCode: 0 });
});

test("chronik-server: metrics, health and readiness are served", async () => {
  const { httpPort } = await directory.start();
  for (const path of ["metrics", "health", "ready"]) {
    const answer = await fetch(`http://127.0.0.1:${httpPort}/${path}`);
    expect(answer.status).toBe(200);
  }
});

/** All records are there for consumers and for the search. */
async function expectAll({ kafkaPort, httpPort }: Ready, values: readonly string[]): Promise<void> {
  const client = await RawKafkaClient.connect(kafkaPort);
  const fetched = await client.fetch("orders", 0);
  expect(fetched).toMatchObject({ errorCode: 0, highWatermark: values.length });
  const { records } = decodeBatch(fetched.records ?? new Uint8Array(0));
  expect(records.map(({ value }) => new TextDecoder().decode(value ?? undefined))).toEqual([
    ...values,
  ]);
  client.close();
  await expectHits(httpPort, "lamp", 2);
  await expectHits(httpPort, "customer:ada", 1);
}

/** The search becomes complete within its time. */
async function expectHits(
  httpPort: number,
  query: string,
  count: number,
  topic = "orders",
): Promise<void> {
  const url = `http://127.0.0.1:${httpPort}/${topic}/_search?q=${encodeURIComponent(query)}`;
  const endMs = performance.now() + FOUND_TIMEOUT_MS;
  let answer: { hits?: { total?: { value?: number } } } = {};
  while (answer.hits?.total?.value !== count && performance.now() < endMs) {
    answer = (await (await fetch(url)).json()) as typeof answer;
  }
  expect(answer.hits?.total?.value).toBe(count);
}
