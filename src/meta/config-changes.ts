/** What a topic has for configs of its own after a change, by the rules of Apache Kafka. */

import { ErrorCode, KafkaError } from "../protocol/errors.ts";
import type { ConfigValues, TopicConfigs } from "./topic-configs.ts";

/** The numbers of IncrementalAlterConfigs. */
export const ConfigOperation = { set: 0, delete: 1, append: 2, subtract: 3 } as const;

/** One change of one config. */
export interface ConfigChange {
  readonly name: string;
  /** One of `ConfigOperation`, as the client sent it. */
  readonly operation: number;
  /** Null only where it is not needed. */
  readonly value: string | null;
}

/** `own` after the changes, unchecked. @throws KafkaError INVALID_CONFIG, INVALID_REQUEST */
export function changedConfigs(
  configs: TopicConfigs,
  own: ConfigValues,
  changes: readonly ConfigChange[],
): ConfigValues {
  const changed = new Map(Object.entries(own));
  for (const change of changes) {
    const value = valueAfter(configs, own, change);
    if (value === undefined) changed.delete(change.name);
    else changed.set(change.name, value);
  }
  return Object.fromEntries(changed);
}

/** Undefined: the topic has none of its own any more. */
function valueAfter(
  configs: TopicConfigs,
  own: ConfigValues,
  { name, operation, value }: ConfigChange,
): string | undefined {
  const given = value ?? "";
  switch (operation) {
    case ConfigOperation.set:
      return given;
    case ConfigOperation.delete:
      return undefined;
    case ConfigOperation.append:
    case ConfigOperation.subtract: {
      const isAppend = operation === ConfigOperation.append;
      if (!configs.isList(name)) {
        const what = isAppend ? "APPEND" : "SUBTRACT";
        throw new KafkaError(
          ErrorCode.invalidConfig,
          `Can't ${what} to key ${name} because its type is not LIST.`,
        );
      }
      const items = new Set(configs.listOf(own, name));
      for (const item of given.split(",")) {
        if (isAppend) items.add(item);
        else items.delete(item);
      }
      return [...items].join(",");
    }
    default:
      throw new KafkaError(
        ErrorCode.invalidRequest,
        `There is no config operation with the number ${operation}.`,
      );
  }
}
