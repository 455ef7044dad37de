/** A Kafka client small enough to send anything, right or wrong: one connection, one request at a time. */
import type { Socket } from "bun";
import { batchOf, encodeBatch } from "../../src/protocol/canonical-record.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeFetchRequest } from "../../src/protocol/generated/fetch-request.ts";
import { readFetchResponse } from "../../src/protocol/generated/fetch-response.ts";
import { writeMetadataRequest } from "../../src/protocol/generated/metadata-request.ts";
import { readMetadataResponse } from "../../src/protocol/generated/metadata-response.ts";
import { writeProduceRequest } from "../../src/protocol/generated/produce-request.ts";
import { readProduceResponse } from "../../src/protocol/generated/produce-response.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { readResponseHeader, writeRequestHeader } from "../../src/protocol/request-header.ts";
import { Writer } from "../../src/protocol/writer.ts";

/** The newest versions that name topics instead of giving their ids. */
const PRODUCE_VERSION = 12;
const FETCH_VERSION = 12;
const METADATA_VERSION = 12;
const ANSWER_TIMEOUT_MS = 20_000;

export class RawKafkaClient {
  #socket: Socket | undefined;
  #received = new Uint8Array(0);
  #isClosed = false;
  #correlationId = 0;
  #wake: () => void = () => {};

  static async connect(port: number): Promise<RawKafkaClient> {
    const client = new RawKafkaClient();
    const closed = (): void => {
      client.#isClosed = true;
      client.#wake();
    };
    client.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_, chunk) => {
          client.#received = Uint8Array.from([...client.#received, ...chunk]);
          client.#wake();
        },
        close: closed,
        end: closed,
        error: closed,
      },
    });
    return client;
  }

  /** Bytes as they are, without a frame. */
  sendRaw(bytes: Uint8Array): void {
    this.#socket?.write(bytes);
    this.#socket?.flush();
  }

  /** Resolves when the broker has closed the connection. */
  async whenClosed(): Promise<void> {
    while (!this.#isClosed) await this.#change("the connection to be closed");
  }

  close(): void {
    this.#socket?.end();
  }

  /** Sends one request in a frame and resolves with a reader at the body of its answer. */
  async exchange(
    apiKey: number,
    apiVersion: number,
    writeBody: (writer: Writer) => void,
  ): Promise<Reader> {
    this.#correlationId += 1;
    const correlationId = this.#correlationId;
    const writer = new Writer();
    writer.writeInt32(0);
    writeRequestHeader(writer, { apiKey, apiVersion, correlationId, clientId: "smoke" });
    writeBody(writer);
    writer.setInt32At(0, writer.position - 4);
    this.sendRaw(writer.bytesWritten());
    const reader = new Reader(await this.#frame());
    const answered = readResponseHeader(reader, apiKey, apiVersion);
    if (answered !== correlationId) throw new Error(`answer to ${answered}, not ${correlationId}`);
    return reader;
  }

  /** Asks for a topic, which creates it. @returns its error code */
  async touchTopic(topic: string): Promise<number> {
    const request = { topics: [{ name: topic }], allowAutoTopicCreation: true };
    const reader = await this.exchange(ApiKey.metadata, METADATA_VERSION, (writer) =>
      writeMetadataRequest(writer, request, METADATA_VERSION),
    );
    return readMetadataResponse(reader, METADATA_VERSION).topics[0]?.errorCode ?? Number.NaN;
  }

  /** Sends `records`, a batch or not, with acks=all to partition 0. */
  async produce(topic: string, records: Uint8Array | null) {
    const request = {
      acks: -1,
      timeoutMs: 10_000,
      topicData: [{ name: topic, partitionData: [{ index: 0, records }] }],
    };
    const reader = await this.exchange(ApiKey.produce, PRODUCE_VERSION, (writer) =>
      writeProduceRequest(writer, request, PRODUCE_VERSION),
    );
    const { responses } = readProduceResponse(reader, PRODUCE_VERSION);
    const partition = responses[0]?.partitionResponses[0];
    if (partition === undefined) throw new Error("The answer has no partition.");
    return partition;
  }

  /** The stored batches of partition 0 from `fetchOffset` on. */
  async fetch(topic: string, fetchOffset: number) {
    const partition = { partition: 0, fetchOffset, partitionMaxBytes: 2 ** 20 };
    const request = {
      maxWaitMs: 500,
      minBytes: 1,
      maxBytes: 2 ** 20,
      topics: [{ topic, partitions: [partition] }],
    };
    const reader = await this.exchange(ApiKey.fetch, FETCH_VERSION, (writer) =>
      writeFetchRequest(writer, request, FETCH_VERSION),
    );
    const answered = readFetchResponse(reader, FETCH_VERSION).responses[0]?.partitions[0];
    if (answered === undefined) throw new Error("The answer has no partition.");
    return answered;
  }

  async #frame(): Promise<Uint8Array> {
    for (;;) {
      const received = this.#received;
      const view = new DataView(received.buffer, received.byteOffset, received.byteLength);
      const end = received.length < 4 ? Number.POSITIVE_INFINITY : 4 + view.getInt32(0);
      if (received.length >= end) {
        this.#received = received.slice(end);
        return received.slice(4, end);
      }
      if (this.#isClosed) throw new Error("The connection was closed before an answer.");
      await this.#change("an answer");
    }
  }

  async #change(awaited: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`Waited for ${awaited}.`)), ANSWER_TIMEOUT_MS);
      this.#wake = () => {
        clearTimeout(late);
        resolve();
      };
    });
  }
}

/** One uncompressed batch of text values. */
export function batchOfValues(values: readonly string[], key: string | null = null): Uint8Array {
  const encoder = new TextEncoder();
  const records = values.map((value, offset) => ({
    offset,
    timestampMs: Date.now(),
    key: key === null ? null : encoder.encode(key),
    value: encoder.encode(value),
    headers: [],
    attributes: 0,
  }));
  return encodeBatch(batchOf(records));
}
