/** The effective configuration from flags, variables and files, and the sentences for what is wrong. */
import { expect, test } from "bun:test";
import { SETTING_NAMES, settingOf } from "../../src/config/settings.ts";
import { ConfigError, formatValue, parseValue } from "../../src/config/values.ts";
import { effectiveSettings, loadConfig } from "../../src/config.ts";

interface Given {
  readonly argv?: string[];
  readonly env?: Record<string, string>;
  readonly toml?: string;
}

function load({ argv = [], env = {}, toml }: Given) {
  const readFile = async (): Promise<string> => {
    if (toml === undefined) throw new Error("no such file");
    return toml;
  };
  const file = toml === undefined ? [] : ["--config", "chronik.toml"];
  return loadConfig({ argv: [...file, ...argv], env, readFile });
}

async function refusal(given: Given): Promise<string> {
  try {
    await load(given);
  } catch (thrown) {
    if (thrown instanceof ConfigError) return thrown.message;
    throw thrown;
  }
  return "accepted";
}

test("loadConfig: without any source every setting has its default or its share of memory", async () => {
  const { command, config, warnings } = await load({});
  expect(command).toBe("standalone");
  expect(warnings).toEqual([]);
  expect(config.kafkaPort).toBe(9092);
  expect(config.httpPort).toBe(6092);
  expect(config.bindAddr).toBe("127.0.0.1");
  expect(config.advertisedAddr).toBeUndefined();
  expect(config.enableWalIndexing).toBe(true);
  expect(config.walSlabBytes).toBeGreaterThan(0);
  expect(Object.isFrozen(config)).toBe(true);
});

test("loadConfig: flags stand before and after the command", async () => {
  const argv = ["--advertised-addr", "localhost", "standalone", "--kafka-port=0"];
  const { command, config } = await load({ argv });
  expect(command).toBe("standalone");
  expect(config.advertisedAddr).toEqual({ host: "localhost", port: undefined });
  expect(config.kafkaPort).toBe(0);
});

test("loadConfig: flag over variable over Kafka's variable over file over default", async () => {
  const toml = 'kafka_port = 1\nhttp_port = 1\nnum_partitions = 1\nmessage_max_bytes = "1M"\n';
  const env = {
    CHRONIK_KAFKA_PORT: "3",
    CHRONIK_HTTP_PORT: "3",
    KAFKA_LISTENERS: "PLAINTEXT://127.0.0.1:2",
    KAFKA_NUM_PARTITIONS: "2",
  };
  const { config } = await load({ argv: ["--kafka-port", "4"], env, toml });
  expect(config.kafkaPort).toBe(4);
  expect(config.httpPort).toBe(3);
  expect(config.numPartitions).toBe(2);
  expect(config.messageMaxBytes).toBe(2 ** 20);
});

test.each([
  [["--enable-wal-indexing"], true],
  [["--no-enable-wal-indexing"], false],
  [["--enable-wal-indexing=false"], false],
  [["--enable-wal-indexing=on"], true],
])("loadConfig: the switch %p is %p", async (argv, expected) => {
  expect((await load({ argv })).config.enableWalIndexing).toBe(expected);
});

test.each([
  [["--help"], "help"],
  [["-h", "--kafka-port", "1"], "help"],
  [["help"], "help"],
  [["--version"], "version"],
  [["-V"], "version"],
  [["version"], "version"],
] as const)("loadConfig: %p asks for %p whatever the variables say", async (argv, command) => {
  expect((await load({ argv: [...argv], env: { CHRONIK_NONSENSE: "1" } })).command).toBe(command);
});

test.each<[Given, string]>([
  [{ argv: ["--kafka-prot", "1"] }, "Unknown flag --kafka-prot; did you mean --kafka-port?"],
  [
    { argv: ["--memory-max-bytes=1G"] },
    "Unknown flag --memory-max-bytes; did you mean --memory-max?",
  ],
  [{ argv: ["-x"] }, "Unknown flag -x; --help lists all of them"],
  [{ argv: ["standalon"] }, "Unknown command standalon; did you mean standalone?"],
  [{ argv: ["standalone", "twice"] }, 'Unexpected argument "twice".'],
  [{ argv: ["--kafka-port"] }, "--kafka-port needs a value."],
  [
    { argv: ["--kafka-port", "70000"] },
    '--kafka-port is "70000"; it must be a whole number from 0 to 65535.',
  ],
  [
    { argv: ["--kafka-port=-1"] },
    '--kafka-port is "-1"; it must be a whole number from 0 to 65535.',
  ],
  [{ argv: ["--memory-max", "1M"] }, '--memory-max is "1M"; it must be a size from 224M to 1T.'],
  [
    { argv: ["--object-store", "s3://bucket?endpont=x"] },
    'object-store: s3:// has no parameter "endpont"; there are endpoint, region, path-style.',
  ],
  [
    { argv: ["--log-level", "loud"] },
    '--log-level is "loud"; it must be one of debug, info, warn, error.',
  ],
  [
    { argv: ["--enable-wal-indexing=maybe"] },
    '--enable-wal-indexing is "maybe"; it must be true or false.',
  ],
  [
    { argv: ["--advertised-addr", "0.0.0.0"] },
    '--advertised-addr is "0.0.0.0"; it must be a host or host:port.',
  ],
  [
    { env: { CHRONIK_DATADIR: "x" } },
    "Unknown variable CHRONIK_DATADIR; did you mean CHRONIK_DATA_DIR?",
  ],
  [
    { env: { CHRONIK_SYNC_DELAY_MS_MAX: "1.5" } },
    'CHRONIK_SYNC_DELAY_MS_MAX is "1.5"; it must be a whole number of ms from 0 to 60000.',
  ],
  [{ toml: "kafka_prt = 1" }, "Unknown key in chronik.toml: kafka_prt; did you mean kafka_port?"],
  [{ toml: "[kafka_port]" }, "kafka_port in chronik.toml needs a whole number from 0 to 65535."],
  [
    { toml: "kafka_port = true" },
    'kafka_port in chronik.toml is "true"; it must be a whole number from 0 to 65535.',
  ],
  [{ env: { CHRONIK_CONFIG: "gone.toml" } }, "The configuration file gone.toml cannot be read."],
  [{ argv: ["--wal-file-bytes", "3M"] }, "wal-file-bytes must be a power of two."],
  [{ argv: ["--wal-bytes-max", "64M"] }, "wal-bytes-max must hold two WAL files."],
  [
    { argv: ["--message-max-bytes", "60M"] },
    "message-max-bytes must not exceed half of wal-slab-bytes, 16M.",
  ],
])("loadConfig: %j is refused", async (given, sentence) => {
  expect(await refusal(given)).toBe(sentence);
});

test("loadConfig: a TOML mistake is told with its place", async () => {
  const sentence = await refusal({ toml: "kafka_port = 1\nhttp_port = = 2\n" });
  expect(sentence).toStartWith("chronik.toml, line 2, column ");
  expect(sentence).not.toContain("\n");
});

test("loadConfig: chosen shares that do not fit memory-max together are refused", async () => {
  const argv = ["--memory-max", "256M", "--live-index-bytes-max", "200M"];
  expect(await refusal({ argv })).toContain("together exceed the 78M that memory-max 256M leaves");
});

test("loadConfig: listening for other machines is allowed with a warning", async () => {
  const { warnings } = await load({ argv: ["--bind-addr", "0.0.0.0"] });
  expect(warnings).toHaveLength(1);
  expect(warnings[0]).toContain("no authentication");
});

test("effectiveSettings: every setting is told, in a form that can be read back", async () => {
  const { config } = await load({ argv: ["--advertised-addr", "[::1]:9", "--wal-bytes-max=7G"] });
  const fields = effectiveSettings(config);
  expect(fields["wal_bytes_max"]).toBe("7G");
  expect(fields["advertised_addr"]).toBe("[::1]:9");
  for (const name of SETTING_NAMES) {
    const text = formatValue(settingOf(name), config[name]);
    if (text !== "") expect(parseValue(settingOf(name), text, name)).toEqual(config[name]);
  }
});
