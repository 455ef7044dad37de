/**
 * The variables that container users of Apache Kafka already set: `KAFKA_LISTENERS`, `KAFKA_ADVERTISED_LISTENERS`
 * and `KAFKA_<KEY>` for broker settings that exist here too (`kafkaKey` in the table).
 *
 * Chronik has one Kafka listener: the first in `KAFKA_LISTENERS` that is for clients and without encryption.
 * Its namesake in `KAFKA_ADVERTISED_LISTENERS` (or the first such one) is the advertised address.
 */

import { SETTING_NAMES, type SettingName, settingOf } from "./settings.ts";
import { ConfigError } from "./values.ts";

/** Settings as text, by name, and what the person should know. */
export interface KafkaEnvironment {
  readonly values: ReadonlyMap<SettingName, { readonly text: string; readonly origin: string }>;
  readonly warnings: readonly string[];
}

interface Listener {
  readonly name: string;
  readonly host: string;
  readonly port: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

const LISTENER_VARIABLES = [
  "KAFKA_LISTENERS",
  "KAFKA_ADVERTISED_LISTENERS",
  "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
  "KAFKA_CONTROLLER_LISTENER_NAMES",
  "KAFKA_INTER_BROKER_LISTENER_NAME",
];

/** What the `KAFKA_*` variables of `env` say. @throws ConfigError if their listeners cannot be served */
export function readKafkaEnvironment(env: Environment): KafkaEnvironment {
  const values = new Map<SettingName, { text: string; origin: string }>();
  const warnings: string[] = [];
  const known = new Set(LISTENER_VARIABLES);
  for (const name of SETTING_NAMES) {
    const key = settingOf(name).kafkaKey;
    if (key === undefined) continue;
    const origin = `KAFKA_${key.replaceAll(".", "_").toUpperCase()}`;
    known.add(origin);
    const text = env[origin];
    if (text !== undefined && text !== "") values.set(name, { text, origin });
  }
  const served = servedListener(env, "KAFKA_LISTENERS", warnings);
  if (served !== undefined) {
    const origin = "KAFKA_LISTENERS";
    values.set("bindAddr", { text: served.host || "0.0.0.0", origin });
    values.set("kafkaPort", { text: served.port, origin });
  }
  const advertised = servedListener(env, "KAFKA_ADVERTISED_LISTENERS", warnings, served?.name);
  if (advertised !== undefined && advertised.host !== "") {
    const host = advertised.host.includes(":") ? `[${advertised.host}]` : advertised.host;
    const origin = "KAFKA_ADVERTISED_LISTENERS";
    values.set("advertisedAddr", { text: `${host}:${advertised.port}`, origin });
  }
  const unused = Object.keys(env).filter((name) => name.startsWith("KAFKA_") && !known.has(name));
  if (unused.length > 0)
    warnings.push(`These variables have no meaning here: ${unused.join(", ")}.`);
  return { values, warnings };
}

/** The one listener of `variable` that is served, preferably `preferredName`. */
function servedListener(
  env: Environment,
  variable: string,
  warnings: string[],
  preferredName?: string,
): Listener | undefined {
  const listed = env[variable];
  if (listed === undefined || listed.trim() === "") return undefined;
  const controllers = (env["KAFKA_CONTROLLER_LISTENER_NAMES"] ?? "CONTROLLER").toUpperCase();
  const listeners = listed
    .split(",")
    .map((text) => listenerOf(text.trim(), variable))
    .filter(({ name }) => !controllers.split(",").includes(name));
  const plain = listeners.filter(({ name }) => protocolOf(env, name) === "PLAINTEXT");
  const served = plain.find(({ name }) => name === preferredName) ?? plain[0];
  if (served === undefined) {
    throw new ConfigError(
      `${variable} has no PLAINTEXT listener for clients; no other kind is served.`,
    );
  }
  if (listeners.length > 1) {
    warnings.push(
      `${variable} names ${listeners.length} listeners; only ${served.name} is served.`,
    );
  }
  return served;
}

function listenerOf(text: string, variable: string): Listener {
  const match = /^([A-Za-z0-9_.-]+):\/\/(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]]*)):(\d{1,5})$/.exec(
    text,
  );
  if (match === null) {
    throw new ConfigError(`${variable} has ${JSON.stringify(text)}; it must be NAME://host:port.`);
  }
  return {
    name: (match[1] ?? "").toUpperCase(),
    host: match[2] ?? match[3] ?? "",
    port: match[4] ?? "",
  };
}

/** The security protocol of a listener's name; a name that is not mapped is its own protocol. */
function protocolOf(env: Environment, name: string): string {
  for (const pair of (env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"] ?? "").split(",")) {
    const [mapped = "", protocol = ""] = pair.trim().toUpperCase().split(":");
    if (mapped === name) return protocol;
  }
  return name;
}
