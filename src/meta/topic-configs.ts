/**
 * Topic configs: what there is, what a value may be, and what holds when a topic does not say.
 * Names, types, defaults, bounds and broker synonyms are those of Apache Kafka 4.3 (source:
 * https://kafka.apache.org/documentation/#topicconfigs); the texts are ours.
 */

import { assert } from "../core/assert.ts";
import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import { TOPIC_CONFIG_TABLE } from "./topic-config-table.ts";

export type ConfigValueType = "boolean" | "string" | "int" | "long" | "double" | "list";

/** One config of `TOPIC_CONFIG_TABLE`. */
export interface TopicConfigDefinition {
  readonly name: string;
  readonly type: ConfigValueType;
  readonly defaultValue: string;
  /** The broker's setting that supplies the default; undefined when Kafka has none. */
  readonly brokerSynonym?: string;
  /** Inclusive, for numbers. */
  readonly min?: bigint | number;
  readonly max?: bigint | number;
  /** Allowed outside the bounds. */
  readonly alsoAllowed?: number;
  /** All values there are, for strings and the items of lists. */
  readonly oneOf?: readonly string[];
  /** What a list item must look like. */
  readonly itemPattern?: RegExp;
  readonly documentation: string;
}

/** Where a value comes from: the numbers that DescribeConfigs puts on the wire. */
export const ConfigSource = { topic: 1, staticBroker: 4, default: 5 } as const;
export type ConfigSource = (typeof ConfigSource)[keyof typeof ConfigSource];

/** DescribeConfigs' numbers for `ConfigValueType`. */
export const CONFIG_TYPE_CODE: Readonly<Record<ConfigValueType, number>> = {
  boolean: 1,
  string: 2,
  int: 3,
  long: 5,
  double: 6,
  list: 7,
};

export interface ConfigSynonym {
  readonly name: string;
  readonly value: string;
  readonly source: ConfigSource;
}

/** A config of a topic as DescribeConfigs shows it. */
export interface DescribedConfig {
  readonly name: string;
  readonly value: string;
  readonly source: ConfigSource;
  readonly type: ConfigValueType;
  /** The first is the one that holds; each later one would if those before were not there. */
  readonly synonyms: readonly ConfigSynonym[];
  readonly documentation: string;
}

/** The one topic config that is not Apache Kafka's. */
export const SEARCH_INDEX_ENABLE = "search.index.enable";

/** A topic's own configs. */
export type ConfigValues = Readonly<Record<string, string>>;

const INT_MAX = 2n ** 31n - 1n;
const LONG_MAX = 2n ** 63n - 1n;

/** The table together with the defaults that this broker's settings change. */
export class TopicConfigs {
  readonly #definitions: ReadonlyMap<string, TopicConfigDefinition>;
  readonly #brokerValues: ConfigValues;

  /** @param brokerValues defaults by *topic* config name, from the broker's settings. */
  constructor(brokerValues: ConfigValues = {}) {
    this.#definitions = new Map(TOPIC_CONFIG_TABLE.map((entry) => [entry.name, entry]));
    this.#brokerValues = brokerValues;
    this.validate(brokerValues);
  }

  /** All names, in alphabetical order. */
  names(): readonly string[] {
    return [...this.#definitions.keys()];
  }

  /** @throws KafkaError INVALID_CONFIG with Kafka's wording for an unknown name or a bad value. */
  validate(configs: Readonly<Record<string, string | null>>): void {
    for (const [name, value] of Object.entries(configs)) {
      const definition = this.#definitions.get(name);
      if (!definition) throw invalidConfig(`Unknown topic config name: ${name}`);
      if (value === null)
        throw invalidConfig(`Null value not supported for topic configs: ${name}`);
      const fault = faultOf(definition, value);
      if (fault) throw invalidConfig(`Invalid value ${value} for configuration ${name}: ${fault}`);
    }
    this.#validateTogether(configs);
  }

  /** The value that holds for a topic with these own configs. */
  valueOf(configs: ConfigValues, name: string): string {
    return configs[name] ?? this.#brokerValues[name] ?? this.#definitionOf(name).defaultValue;
  }

  /** Kafka's `Long.MAX_VALUE`, and all else beyond 2^53, comes back as `Number.MAX_SAFE_INTEGER`. */
  numberOf(configs: ConfigValues, name: string): number {
    const { type } = this.#definitionOf(name);
    assert(type === "int" || type === "long" || type === "double", `${name} is not a number`);
    return Math.min(Number(this.valueOf(configs, name).trim()), Number.MAX_SAFE_INTEGER);
  }

  booleanOf(configs: ConfigValues, name: string): boolean {
    assert(this.#definitionOf(name).type === "boolean", `${name} is not a boolean`);
    return this.valueOf(configs, name).trim().toLowerCase() === "true";
  }

  listOf(configs: ConfigValues, name: string): readonly string[] {
    assert(this.#definitionOf(name).type === "list", `${name} is not a list`);
    return itemsOf(this.valueOf(configs, name));
  }

  /** Whether there is a config of this name, and its value is a list. */
  isList(name: string): boolean {
    return this.#definitions.get(name)?.type === "list";
  }

  /** All configs of a topic, or those of `names` that exist. */
  describe(configs: ConfigValues, names?: readonly string[] | null): DescribedConfig[] {
    const wanted = names ? new Set(names) : undefined;
    return [...this.#definitions.values()]
      .filter(({ name }) => wanted === undefined || wanted.has(name))
      .map((definition) => this.#described(definition, configs));
  }

  #described(definition: TopicConfigDefinition, configs: ConfigValues): DescribedConfig {
    const { name, type, documentation, brokerSynonym, defaultValue } = definition;
    const own = configs[name];
    const brokerValue = this.#brokerValues[name];
    const synonyms: ConfigSynonym[] = [];
    if (own !== undefined) synonyms.push({ name, value: own, source: ConfigSource.topic });
    if (brokerSynonym !== undefined) {
      const named = { name: brokerSynonym };
      if (brokerValue !== undefined) {
        synonyms.push({ ...named, value: brokerValue, source: ConfigSource.staticBroker });
      }
      synonyms.push({ ...named, value: defaultValue, source: ConfigSource.default });
    }
    const value = this.valueOf(configs, name);
    const source = synonyms[0]?.source ?? ConfigSource.default;
    return { name, value, source, type, synonyms, documentation };
  }

  #definitionOf(name: string): TopicConfigDefinition {
    const definition = this.#definitions.get(name);
    assert(definition !== undefined, `there is no topic config ${name}`);
    return definition;
  }

  #validateTogether(configs: Readonly<Record<string, string | null>>): void {
    const lagOf = (name: string) => BigInt((configs[name] ?? this.valueOf({}, name)).trim());
    const min = lagOf("min.compaction.lag.ms");
    const max = lagOf("max.compaction.lag.ms");
    if (min > max) {
      throw invalidConfig(
        `conflict topic config setting min.compaction.lag.ms (${min}) > max.compaction.lag.ms (${max})`,
      );
    }
    if (configs["remote.storage.enable"]?.trim().toLowerCase() === "true") {
      throw invalidConfig(
        "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.",
      );
    }
  }
}

function invalidConfig(message: string): KafkaError {
  return new KafkaError(ErrorCode.invalidConfig, message);
}

/** @returns what is wrong with `value`, in Kafka's words; undefined if nothing is. */
function faultOf(definition: TopicConfigDefinition, value: string): string | undefined {
  const text = value.trim();
  switch (definition.type) {
    case "boolean":
      return /^(true|false)$/i.test(text) ? undefined : "Expected value to be either true or false";
    case "string":
      return isOneOf(definition, text)
        ? undefined
        : `String must be one of: ${definition.oneOf?.join(", ")}`;
    case "list":
      return listFaultOf(definition, text);
    case "int":
      return integerFaultOf(definition, { text, limit: INT_MAX });
    case "long":
      return integerFaultOf(definition, { text, limit: LONG_MAX });
    case "double":
      if (text === "" || !Number.isFinite(Number(text))) return "Not a number of type DOUBLE";
      return boundsFaultOf(definition, Number(text));
  }
}

function integerFaultOf(
  definition: TopicConfigDefinition,
  { text, limit }: { readonly text: string; readonly limit: bigint },
): string | undefined {
  const notANumber = `Not a number of type ${definition.type.toUpperCase()}`;
  if (!/^[+-]?\d{1,20}$/.test(text)) return notANumber;
  const value = BigInt(text.replace(/^\+/, ""));
  if (value > limit || value < -limit - 1n) return notANumber;
  return boundsFaultOf(definition, value);
}

function boundsFaultOf(
  { min, max, alsoAllowed }: TopicConfigDefinition,
  value: number | bigint,
): string | undefined {
  if (alsoAllowed !== undefined && Number(value) === alsoAllowed) return undefined;
  if (min !== undefined && value < min) return `Value must be at least ${min}`;
  if (max !== undefined && value > max) return `Value must be no more than ${max}`;
  return undefined;
}

function listFaultOf(definition: TopicConfigDefinition, text: string): string | undefined {
  const items = itemsOf(text);
  if (items.some((item) => !isOneOf(definition, item))) {
    return `String must be one of: ${definition.oneOf?.join(", ")}`;
  }
  if (new Set(items).size < items.length) return "Duplicate values are not allowed";
  const { itemPattern } = definition;
  if (itemPattern && text !== "*" && items.some((item) => !itemPattern.test(item))) {
    return "Must be the literal '*' or a list of replicas in the form [partitionId]:[brokerId]";
  }
  return undefined;
}

function isOneOf({ oneOf }: TopicConfigDefinition, value: string): boolean {
  return oneOf === undefined || oneOf.includes(value);
}

function itemsOf(text: string): string[] {
  return text.trim() === "" ? [] : text.split(",").map((item) => item.trim());
}
