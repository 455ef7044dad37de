/** Topic configs: the table itself, validation in Kafka's words, effective values. */

import { expect, test } from "bun:test";
import { TOPIC_CONFIG_TABLE } from "../../src/meta/topic-config-table.ts";
import { ConfigSource, TopicConfigs } from "../../src/meta/topic-configs.ts";

const configs = new TopicConfigs({ "max.message.bytes": "2000000" });

test("table: every default is valid and the names are in order", () => {
  for (const { name, defaultValue } of TOPIC_CONFIG_TABLE)
    configs.validate({ [name]: defaultValue });
  const names = TOPIC_CONFIG_TABLE.map(({ name }) => name);
  expect(names).toEqual([...names].sort());
});

test.each([
  ["no.such.config", "1", "Unknown topic config name: no.such.config"],
  [
    "retention.ms",
    "abc",
    "Invalid value abc for configuration retention.ms: Not a number of type LONG",
  ],
  ["retention.ms", "", "Invalid value  for configuration retention.ms: Not a number of type LONG"],
  ["retention.ms", "9223372036854775808", "Not a number of type LONG"],
  [
    "retention.ms",
    "-2",
    "Invalid value -2 for configuration retention.ms: Value must be at least -1",
  ],
  ["segment.bytes", "14", "Value must be at least 1048576"],
  ["segment.bytes", "2147483648", "Not a number of type INT"],
  ["preallocate", "yes", "Expected value to be either true or false"],
  [
    "compression.type",
    "brotli",
    "String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer",
  ],
  ["cleanup.policy", "compact,remove", "String must be one of: compact, delete"],
  ["cleanup.policy", "delete,delete", "Duplicate"],
  ["compression.gzip.level", "0", "Value must be at least 1"],
  ["min.cleanable.dirty.ratio", "1.5", "Value must be no more than 1"],
  ["leader.replication.throttled.replicas", "1:x", "Must be the literal '*'"],
  ["remote.storage.enable", "true", "Tiered Storage functionality is disabled"],
])("validate: %s=%s is refused", (name, value, message) => {
  expect(() => configs.validate({ [name]: value })).toThrow(message);
});

test.each([
  ["retention.ms", "-1"],
  ["retention.bytes", "9223372036854775807"],
  ["cleanup.policy", "compact, delete"],
  ["compression.gzip.level", "-1"],
  ["leader.replication.throttled.replicas", "0:1,1:1"],
  ["follower.replication.throttled.replicas", "*"],
  ["preallocate", "TRUE"],
])("validate: %s=%s is taken", (name, value) => {
  configs.validate({ [name]: value });
});

test("validate: null and lags that exclude each other are refused", () => {
  expect(() => configs.validate({ "retention.ms": null })).toThrow("Null value");
  const lags = { "min.compaction.lag.ms": "10", "max.compaction.lag.ms": "9" };
  expect(() => configs.validate(lags)).toThrow("conflict topic config setting");
});

test("valueOf: own value, then the broker's, then the default", () => {
  expect(configs.numberOf({ "max.message.bytes": "10" }, "max.message.bytes")).toBe(10);
  expect(configs.numberOf({}, "max.message.bytes")).toBe(2_000_000);
  expect(configs.numberOf({}, "retention.ms")).toBe(604_800_000);
  expect(configs.numberOf({}, "flush.ms")).toBe(Number.MAX_SAFE_INTEGER);
  expect(configs.booleanOf({ preallocate: "TRUE" }, "preallocate")).toBe(true);
  expect(configs.listOf({ "cleanup.policy": "compact, delete" }, "cleanup.policy")).toEqual([
    "compact",
    "delete",
  ]);
});

test("describe: sources and synonyms as DescribeConfigs shows them", () => {
  const [described] = configs.describe({ "max.message.bytes": "10" }, [
    "max.message.bytes",
    "nope",
  ]);
  expect(described).toMatchObject({
    value: "10",
    source: ConfigSource.topic,
    synonyms: [
      { name: "max.message.bytes", value: "10", source: ConfigSource.topic },
      { name: "message.max.bytes", value: "2000000", source: ConfigSource.staticBroker },
      { name: "message.max.bytes", value: "1048588", source: ConfigSource.default },
    ],
  });
  const all = configs.describe({});
  expect(all.length).toBe(TOPIC_CONFIG_TABLE.length);
  expect(all.find(({ name }) => name === "retention.ms")?.source).toBe(ConfigSource.default);
});
