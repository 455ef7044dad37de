/**
 * The one place that judges: what was acknowledged is compared with what was read.
 * Every function throws with the first few differences.
 */
import { readFileSync } from "node:fs";
import type { Ack } from "./agent.ts";
import type { WireRecord } from "./records.ts";

export interface ReadRecord extends WireRecord {
  readonly o: number;
}

const DIFFERENCES_SHOWN_MAX = 5;

/** The records of a file that an agent wrote. */
export function readRecords(file: string): ReadRecord[] {
  const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line) as ReadRecord);
}

/**
 * Each record sent must be acknowledged once, and be read exactly at the acknowledged place with every field as
 * sent; the order within a partition must be the order of sending; nothing else may be there.
 * @param acks in any order
 */
export function verifyRecords(options: {
  readonly sent: readonly WireRecord[];
  readonly acks: readonly Ack[];
  readonly read: readonly ReadRecord[];
}): void {
  const { sent, acks, read } = options;
  const problems: string[] = [];
  if (acks.length !== sent.length) problems.push(`${acks.length} acks for ${sent.length} records`);
  if (read.length !== sent.length) problems.push(`${read.length} read of ${sent.length} records`);
  const readAt = new Map(read.map((record) => [`${record.p}/${record.o}`, record]));
  if (readAt.size !== read.length) problems.push("an offset was read twice");
  const lastOffset = new Map<number, number>();
  for (const [index, partition, offset] of [...acks].sort(([a], [b]) => a - b)) {
    const expected = sent[index];
    const found = readAt.get(`${partition}/${offset}`);
    if (!expected) problems.push(`ack for record ${index}, which was not sent`);
    else if (!found) problems.push(`record ${index} is not at ${partition}/${offset}`);
    else problems.push(...differences(index, expected, found));
    if (offset <= (lastOffset.get(partition) ?? -1)) {
      problems.push(`record ${index} at ${partition}/${offset} is out of order`);
    }
    lastOffset.set(partition, offset);
  }
  throwIfAny(problems);
}

/** The acknowledgements of records that are alone in a new topic: each partition's offsets count from 0. */
export function acksFromZero(sent: readonly WireRecord[]): Ack[] {
  const nextOffset = new Map<number, number>();
  return sent.map(({ p: partition }, index) => {
    const offset = nextOffset.get(partition) ?? 0;
    nextOffset.set(partition, offset + 1);
    return [index, partition, offset];
  });
}

/**
 * Numbered records (`stream`) over a crash: every acknowledged number is there once, at its offset. With an
 * idempotent producer no number is there twice and each partition's numbers rise.
 */
export function verifyStream(options: {
  readonly acks: readonly Ack[];
  readonly read: readonly ReadRecord[];
  readonly isIdempotent: boolean;
}): void {
  const { acks, read, isIdempotent } = options;
  const problems: string[] = [];
  const readAt = new Map(read.map((record) => [`${record.p}/${record.o}`, numberOf(record)]));
  for (const [index, partition, offset] of acks) {
    if (readAt.get(`${partition}/${offset}`) !== index) {
      problems.push(`record ${index} was acknowledged at ${partition}/${offset} and is not there`);
    }
  }
  if (isIdempotent) problems.push(...orderProblems(read));
  throwIfAny(problems);
}

/** What a group received: each record of the partitions at least once. @returns how many came twice. */
export function verifyDelivered(options: {
  readonly expected: readonly ReadRecord[];
  readonly delivered: readonly ReadRecord[];
}): number {
  const places = new Set(options.delivered.map((record) => `${record.p}/${record.o}`));
  const problems: string[] = [];
  for (const record of options.expected) {
    if (!places.has(`${record.p}/${record.o}`))
      problems.push(`${record.p}/${record.o} not delivered`);
  }
  if (places.size > options.expected.length) problems.push("records that were never produced");
  throwIfAny(problems);
  return options.delivered.length - places.size;
}

export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (Bun.deepEquals(actual, expected)) return;
  throw new Error(`${what}: ${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`);
}

export function expectTrue(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

/** The number that `stream` put into the value. */
function numberOf(record: ReadRecord): number {
  return Number(Buffer.from(record.v ?? "", "base64").toString());
}

function orderProblems(read: readonly ReadRecord[]): string[] {
  const problems: string[] = [];
  const last = new Map<number, number>();
  for (const record of [...read].sort((a, b) => a.p - b.p || a.o - b.o)) {
    const number = numberOf(record);
    const previous = last.get(record.p) ?? -1;
    if (number <= previous) problems.push(`${record.p}/${record.o}: ${number} after ${previous}`);
    last.set(record.p, number);
  }
  return problems;
}

function differences(index: number, expected: WireRecord, found: ReadRecord): string[] {
  const keys = ["p", "t", "k", "v", "h"] as const;
  return keys
    .filter((key) => JSON.stringify(expected[key]) !== JSON.stringify(found[key]))
    .map((key) => {
      const [wanted, got] = [JSON.stringify(expected[key]), JSON.stringify(found[key])];
      return `record ${index}: ${key} is ${got?.slice(0, 80)} instead of ${wanted?.slice(0, 80)}`;
    });
}

function throwIfAny(problems: readonly string[]): void {
  if (problems.length === 0) return;
  const shown = problems.slice(0, DIFFERENCES_SHOWN_MAX).join("; ");
  throw new Error(`${problems.length} differences: ${shown}`);
}
