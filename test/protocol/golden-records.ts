/** Batches and what Apache Kafka's classes read in them (see `test/fixtures/records/README.md`). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CanonicalRecord } from "../../src/protocol/canonical-record.ts";
import type { CompressionType } from "../../src/protocol/compression-type.ts";

const DIRECTORY = join(import.meta.dir, "../fixtures/records");

/** Bytes in base64, or null. */
type Base64 = string | null;

/** A batch as `RecordFixtures.java describe` prints it; timestamps as a consumer sees them. */
export interface DescribedBatch {
  readonly sizeBytes: number;
  readonly crc: number;
  readonly baseOffset: number;
  readonly lastOffset: number;
  readonly partitionLeaderEpoch: number;
  readonly compression: CompressionType;
  readonly timestampType: string;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly deleteHorizonMs: number;
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly producerId: number;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly recordCount: number;
  readonly records: readonly {
    readonly offset: number;
    readonly timestampMs: number;
    readonly key: Base64;
    readonly value: Base64;
    readonly headers: readonly (readonly [key: string, value: Base64])[];
  }[];
}

export interface GoldenBatch {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly described: DescribedBatch;
}

const descriptions: Record<string, DescribedBatch> = JSON.parse(
  readFileSync(join(DIRECTORY, "expected.json"), "utf8"),
);

/** Every golden batch, each with its own copy of the bytes. */
export function goldenBatches(): readonly GoldenBatch[] {
  const names = readdirSync(DIRECTORY).filter((name) => name.endsWith(".bin"));
  return names.sort().map((file) => goldenBatch(file.replace(".bin", "")));
}

/** @throws if there is none of that name. */
export function goldenBatch(name: string): GoldenBatch {
  const described = descriptions[name];
  if (described === undefined) throw new Error(`${name} is not described in expected.json`);
  return { name, bytes: new Uint8Array(readFileSync(join(DIRECTORY, `${name}.bin`))), described };
}

const textBytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** What the `chronik-*` batches hold: every kind of null and empty, gaps, several varint lengths. */
export function goldenRecords(): readonly CanonicalRecord[] {
  const plain = { key: null, value: null, headers: [], attributes: 0 };
  return [
    {
      ...plain,
      offset: 1000,
      timestampMs: 1_700_000_000_000,
      key: textBytes("k"),
      value: textBytes("v"),
    },
    { ...plain, offset: 1001, timestampMs: 1_699_999_000_000, value: new Uint8Array(0) },
    {
      ...plain,
      offset: 1100,
      timestampMs: -1,
      key: new Uint8Array(0),
      value: textBytes("x".repeat(10_000)),
    },
    {
      ...plain,
      offset: 101_000,
      timestampMs: 1_800_000_000_000,
      headers: [
        { key: textBytes("a"), value: null },
        { key: textBytes("a"), value: new Uint8Array(0) },
        { key: textBytes(""), value: textBytes("größe".repeat(50)) },
      ],
    },
  ];
}
