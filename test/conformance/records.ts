/**
 * The records that every client sends: deterministic, and with everything a record may have — null and empty keys
 * and values, bytes that are no UTF-8, headers that are empty, null or double, timestamps that run backwards.
 */

/** A record as the agents read and write it; bytes in base64. */
export interface WireRecord {
  readonly p: number;
  readonly t: number;
  readonly k: string | null;
  readonly v: string | null;
  readonly h: readonly (readonly [string, string | null])[];
}

/** What a client library itself cannot send or tell apart. */
export interface RecordLimits {
  /** Cannot send a header whose value is null. */
  readonly nullHeaders?: boolean;
  /** Cannot send a record whose key and value are both null. */
  readonly nullKeyAndValue?: boolean;
}

const KEY_KINDS = 5;
const VALUE_KINDS = 7;
const TIMESTAMP_SWING_MS = 500;

/** @param options.baseTimestampMs recent, so that no broker's retention takes the records. */
export function generateRecords(options: {
  readonly count: number;
  readonly partitions: number;
  readonly baseTimestampMs: number;
  readonly limits: RecordLimits;
}): WireRecord[] {
  return Array.from({ length: options.count }, (_, index) => {
    const value = contentsOf(index);
    const isBare = value === null && options.limits.nullKeyAndValue === true;
    const key = keyOf(index) ?? (isBare ? base64("tombstone") : null);
    return {
      p: (index * 7 + Math.floor(index / 13)) % options.partitions,
      t: options.baseTimestampMs + index - (index % 3 === 0 ? TIMESTAMP_SWING_MS : 0),
      k: key,
      v: value,
      h: headersOf(index, options.limits),
    };
  });
}

function keyOf(index: number): string | null {
  switch (index % KEY_KINDS) {
    case 0:
      return null;
    case 1:
      return "";
    case 2:
      return base64(Uint8Array.of(0xff, 0xfe, 0, index & 0xff));
    default:
      return base64(`key-${index % 97}`);
  }
}

function contentsOf(index: number): string | null {
  switch (index % VALUE_KINDS) {
    case 0:
      return index % 2 === 0 ? null : "";
    case 1:
      return base64(Uint8Array.from({ length: index % 300 }, (_, at) => (at * 31 + index) & 0xff));
    case 2:
      return base64(JSON.stringify({ index, user: { id: index % 50, name: `Zoë ${index}` } }));
    case 3:
      return index % 1_000 === 3 ? base64("long ".repeat(8_000)) : base64("short");
    default:
      return base64(`value ${index} ${"of some text ".repeat(index % 20)}`);
  }
}

function headersOf(index: number, limits: RecordLimits): [string, string | null][] {
  if (index % 4 !== 0) return [];
  const headers: [string, string | null][] = [
    ["trace", base64(`trace-${index}`)],
    ["double", base64("first")],
    ["double", base64("second")],
    ["empty", ""],
    ["ключ", base64(Uint8Array.of(0, 1, 0xff))],
  ];
  if (limits.nullHeaders !== true) headers.push(["none", null]);
  return headers;
}

function base64(content: string | Uint8Array): string {
  return Buffer.from(content).toString("base64");
}
