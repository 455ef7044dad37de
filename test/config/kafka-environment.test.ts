/** Variables that are set for Apache Kafka's containers. */
import { expect, test } from "bun:test";
import { readKafkaEnvironment } from "../../src/config/kafka-environment.ts";
import { ConfigError } from "../../src/config/values.ts";

function valuesOf(env: Record<string, string>): Record<string, string> {
  const { values } = readKafkaEnvironment(env);
  return Object.fromEntries([...values].map(([name, { text }]) => [name, text]));
}

test("readKafkaEnvironment: a compose file's two listeners give address, port and advertised address", () => {
  const env = {
    KAFKA_LISTENERS: "CONTROLLER://:9093,INSIDE://0.0.0.0:29092,OUTSIDE://:9092",
    KAFKA_ADVERTISED_LISTENERS: "OUTSIDE://localhost:9092,INSIDE://kafka:29092",
    KAFKA_LISTENER_SECURITY_PROTOCOL_MAP: "CONTROLLER:PLAINTEXT,INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT",
    KAFKA_NUM_PARTITIONS: "3",
    KAFKA_PROCESS_ROLES: "broker,controller",
  };
  expect(valuesOf(env)).toEqual({
    numPartitions: "3",
    bindAddr: "0.0.0.0",
    kafkaPort: "29092",
    advertisedAddr: "kafka:29092",
  });
  expect(readKafkaEnvironment(env).warnings).toEqual([
    "KAFKA_LISTENERS names 2 listeners; only INSIDE is served.",
    "KAFKA_ADVERTISED_LISTENERS names 2 listeners; only INSIDE is served.",
    "These variables have no meaning here: KAFKA_PROCESS_ROLES.",
  ]);
});

test("readKafkaEnvironment: advertised listeners alone are understood", () => {
  const env = { KAFKA_ADVERTISED_LISTENERS: "PLAINTEXT://[fe80::1]:9092" };
  expect(valuesOf(env)).toEqual({ advertisedAddr: "[fe80::1]:9092" });
});

test("readKafkaEnvironment: an unencrypted listener is preferred to an encrypted one", () => {
  const env = { KAFKA_LISTENERS: "SSL://:9094,PLAINTEXT://127.0.0.1:9092" };
  expect(valuesOf(env)).toEqual({ bindAddr: "127.0.0.1", kafkaPort: "9092" });
});

test.each([
  [{ KAFKA_LISTENERS: "SSL://:9094" }, "KAFKA_LISTENERS has no PLAINTEXT listener for clients"],
  [
    { KAFKA_LISTENERS: "localhost:9092" },
    'KAFKA_LISTENERS has "localhost:9092"; it must be NAME://host:port.',
  ],
])("readKafkaEnvironment: %j is refused", (env, sentence) => {
  expect(() => readKafkaEnvironment(env)).toThrow(ConfigError);
  expect(() => readKafkaEnvironment(env)).toThrow(sentence);
});
