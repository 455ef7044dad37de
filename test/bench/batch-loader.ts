/**
 * Produces from this process, as fast as the broker goes: a few requests of one batch each are always under way on
 * one connection. It does far less for a record than a client with queues would, so that the broker has the cores.
 */
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { PipelinedClient } from "../broker/pipelined-client.ts";
import type { Broker } from "../conformance/broker.ts";

/** Requests under way. */
const WINDOW = 8;

export interface PartitionBatch {
  readonly partition: number;
  readonly records: Uint8Array;
}

export interface Loaded {
  /** From the first request to the last acknowledgement. */
  readonly seconds: number;
  /** Of all batches. */
  readonly sizeBytes: number;
}

/** Sends all batches with acks=all. @throws if the broker refuses one */
export async function loadBatches(
  broker: Broker,
  topic: string,
  batches: Iterable<PartitionBatch>,
): Promise<Loaded> {
  const client = await PipelinedClient.connect(broker.addresses.kafkaPort);
  const startedMs = performance.now();
  const underway: Promise<void>[] = [];
  let sizeBytes = 0;
  try {
    for (const batch of batches) {
      sizeBytes += batch.records.length;
      const sending = sendOne(client, topic, batch);
      sending.catch(() => undefined); // Told when its turn comes.
      underway.push(sending);
      // Answers come in the order of the requests.
      if (underway.length >= WINDOW) await underway.shift();
    }
    await Promise.all(underway);
  } finally {
    client.close();
  }
  return { seconds: (performance.now() - startedMs) / 1000, sizeBytes };
}

async function sendOne(
  client: PipelinedClient,
  topic: string,
  { partition, records }: PartitionBatch,
): Promise<void> {
  const answer = await client.produce(topic, records, { index: partition });
  if (answer?.errorCode !== 0) {
    throw new Error(`Producing to ${topic}-${partition} failed: ${JSON.stringify(answer)}`);
  }
}

/** One batch, uncompressed. */
export function encodeValues(
  values: readonly Uint8Array[],
  timestampMsOf: (index: number) => number = () => Date.now(),
): Uint8Array {
  const records = values.map((value, offset) => ({
    offset,
    timestampMs: timestampMsOf(offset),
    key: null,
    value,
    headers: [],
    attributes: 0,
  }));
  return encodeBatch(batchOf(records));
}
