/** A message in the JSON of Kafka's `*JsonConverter` classes, without knowing its fields. */

/** Names of fields that hold record batches: Kafka tells only their size. */
const RECORDS_FIELDS = new Set(["records", "unalignedRecords"]);
/** How 2**63, which stands for 2^63-1, comes out of `JSON.stringify`. */
const INT64_MAX_AS_NUMBER = /\b9223372036854776000\b/g;

/**
 * The JSON text of `message` for Kafka to read, with the fields that `kafka`, Kafka's own JSON of it, has: the
 * others are not in the version, or are tagged and have their default.
 */
export function kafkaJsonText(message: unknown, kafka: unknown): string {
  const text = JSON.stringify(projected(message, kafka));
  return text.replace(INT64_MAX_AS_NUMBER, "9223372036854775807");
}

/** What differs between Kafka's JSON and `message`, as sentences. */
export function differences(kafka: unknown, message: unknown, path = ""): string[] {
  if (Array.isArray(kafka) && Array.isArray(message)) {
    if (kafka.length !== message.length) return [`${path}: ${kafka.length} elements at Kafka`];
    return kafka.flatMap((value, i) => differences(value, message[i], `${path}[${i}]`));
  }
  if (isObject(kafka) && isObject(message)) {
    return Object.entries(kafka).flatMap(([name, value]) => {
      const field = fieldName(name);
      const ours = field === name ? message[name] : sizeOf(message[field]);
      return differences(value, ours, `${path}.${field}`);
    });
  }
  const ours = plain(message);
  return Object.is(kafka, ours) ? [] : [`${path}: Kafka ${JSON.stringify(kafka)}, ${String(ours)}`];
}

/** `message` and everything in it, without the tagged fields that nobody knows. */
export function withoutUnknownFields(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(withoutUnknownFields);
  if (!isObject(message)) return message;
  const entries = Object.entries(message).filter(([name]) => name !== "unknownTaggedFields");
  return Object.fromEntries(entries.map(([name, value]) => [name, withoutUnknownFields(value)]));
}

function projected(message: unknown, kafka: unknown): unknown {
  if (Array.isArray(message) && Array.isArray(kafka)) {
    return message.map((value, index) => projected(value, kafka[index]));
  }
  if (!isObject(message) || !isObject(kafka)) return plain(message);
  const names = Object.keys(kafka).map(fieldName);
  return Object.fromEntries(names.map((name) => [name, projected(message[name], kafka[name])]));
}

/** The field that a name in Kafka's JSON stands for. */
function fieldName(name: string): string {
  const recordsName = /^(.+)SizeInBytes$/.exec(name)?.[1];
  return recordsName !== undefined && RECORDS_FIELDS.has(recordsName) ? recordsName : name;
}

/** Bytes as base64; everything else as it is. */
function plain(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !(value instanceof Uint8Array);
}

function sizeOf(value: unknown): unknown {
  return value instanceof Uint8Array ? value.length : value;
}
