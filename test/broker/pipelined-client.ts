/** A Kafka client that sends without waiting: answers are matched to requests by order alone, as they must be. */

import type { Socket } from "bun";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeCreateTopicsRequest } from "../../src/protocol/generated/create-topics-request.ts";
import { readCreateTopicsResponse } from "../../src/protocol/generated/create-topics-response.ts";
import { writeDeleteRecordsRequest } from "../../src/protocol/generated/delete-records-request.ts";
import { readDeleteRecordsResponse } from "../../src/protocol/generated/delete-records-response.ts";
import { writeDeleteTopicsRequest } from "../../src/protocol/generated/delete-topics-request.ts";
import { readDeleteTopicsResponse } from "../../src/protocol/generated/delete-topics-response.ts";
import {
  type FetchRequestInput,
  writeFetchRequest,
} from "../../src/protocol/generated/fetch-request.ts";
import { readFetchResponse } from "../../src/protocol/generated/fetch-response.ts";
import { writeListOffsetsRequest } from "../../src/protocol/generated/list-offsets-request.ts";
import { readListOffsetsResponse } from "../../src/protocol/generated/list-offsets-response.ts";
import { writeProduceRequest } from "../../src/protocol/generated/produce-request.ts";
import { readProduceResponse } from "../../src/protocol/generated/produce-response.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { readResponseHeader, writeRequestHeader } from "../../src/protocol/request-header.ts";
import { ZERO_UUID } from "../../src/protocol/uuid.ts";
import { Writer } from "../../src/protocol/writer.ts";

/** The newest version of each that names topics. */
const PRODUCE_VERSION = 12;
const FETCH_VERSION = 12;
const LIST_OFFSETS_VERSION = 11;
const CREATE_TOPICS_VERSION = 7;
const DELETE_RECORDS_VERSION = 2;
const DELETE_TOPICS_VERSION = 6;

interface Pending {
  readonly resolve: (frame: Uint8Array) => void;
  readonly reject: (reason: Error) => void;
}

export class PipelinedClient {
  readonly #pending: Pending[] = [];
  #socket: Socket | undefined;
  #received = Buffer.alloc(0);
  #chunks: Uint8Array[] = [];
  #chunkBytes = 0;
  /** Of the answer at the head, its length included, as far as that is known. */
  #wantedBytes = 4;
  #unsent = Buffer.alloc(0);
  #nextCorrelationId = 1;

  static async connect(port: number): Promise<PipelinedClient> {
    const client = new PipelinedClient();
    client.#socket = await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        data: (_socket, chunk) => client.#onData(chunk),
        drain: () => client.#flush(),
        close: () => client.#onClose(),
      },
    });
    return client;
  }

  close(): void {
    this.#socket?.terminate();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Stops or goes on reading from the socket. */
  setReading(isReading: boolean): void {
    if (isReading) this.#socket?.resume();
    else this.#socket?.pause();
  }

  /** Sends a request now. Resolves with a reader at its answer's body; rejects if the connection ends first. */
  async exchange(apiKey: number, apiVersion: number, writeBody: (writer: Writer) => void) {
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId += 1;
    this.#send(apiKey, apiVersion, { correlationId, writeBody });
    const frame = await new Promise<Uint8Array>((resolve, reject) => {
      this.#pending.push({ resolve, reject });
    });
    const reader = new Reader(frame);
    const answered = readResponseHeader(reader, apiKey, apiVersion);
    if (answered !== correlationId) throw new Error(`answer ${answered} to ${correlationId}`);
    return reader;
  }

  /** Sends a request with a header of version 1 and a body as it is. @returns the answer's frame */
  exchangeRaw(apiKey: number, apiVersion: number, body: Uint8Array): Promise<Uint8Array> {
    const writer = new Writer();
    writer.writeInt32(0);
    writer.writeInt16(apiKey);
    writer.writeInt16(apiVersion);
    writer.writeInt32(this.#nextCorrelationId);
    this.#nextCorrelationId += 1;
    writer.writeNullableString("pipelined");
    writer.writeRaw(body);
    writer.setInt32At(0, writer.position - 4);
    this.#unsent = Buffer.concat([this.#unsent, writer.bytesWritten()]);
    this.#flush();
    return new Promise((resolve, reject) => this.#pending.push({ resolve, reject }));
  }

  /** @returns the error code */
  async deleteTopic(name: string): Promise<number | undefined> {
    const version = DELETE_TOPICS_VERSION;
    const topics = [{ name, topicId: ZERO_UUID }];
    const reader = await this.exchange(ApiKey.deleteTopics, version, (writer) =>
      writeDeleteTopicsRequest(writer, { topics, topicNames: [], timeoutMs: 10_000 }, version),
    );
    return readDeleteTopicsResponse(reader, version).responses[0]?.errorCode;
  }

  async createTopic(name: string, numPartitions = 1, configs: Record<string, string> = {}) {
    const topic = {
      name,
      numPartitions,
      replicationFactor: 1,
      assignments: [],
      configs: Object.entries(configs).map(([key, value]) => ({ name: key, value })),
    };
    const version = CREATE_TOPICS_VERSION;
    const reader = await this.exchange(ApiKey.createTopics, version, (writer) =>
      writeCreateTopicsRequest(writer, { topics: [topic], timeoutMs: 1000 }, version),
    );
    return readCreateTopicsResponse(reader, version).topics[0]?.errorCode;
  }

  /** Sends one batch. @returns the partition's answer */
  async produce(
    topic: string,
    records: Uint8Array,
    details: { acks?: number; index?: number } = {},
  ) {
    const { acks = -1, index = 0 } = details;
    const topicData = [{ name: topic, partitionData: [{ index, records }] }];
    const request = { acks, timeoutMs: 10_000, topicData };
    const reader = await this.exchange(ApiKey.produce, PRODUCE_VERSION, (writer) =>
      writeProduceRequest(writer, request, PRODUCE_VERSION),
    );
    const { responses } = readProduceResponse(reader, PRODUCE_VERSION);
    return responses[0]?.partitionResponses[0];
  }

  /** Sends a batch with acks=0: there is no answer. */
  produceUnanswered(topic: string, records: Uint8Array): void {
    const topicData = [{ name: topic, partitionData: [{ index: 0, records }] }];
    const request = { acks: 0, timeoutMs: 10_000, topicData };
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId += 1;
    const writeBody = (writer: Writer) => writeProduceRequest(writer, request, PRODUCE_VERSION);
    this.#send(ApiKey.produce, PRODUCE_VERSION, { correlationId, writeBody });
  }

  /** Fetches partition 0 outside of any session. @returns the partition's answer */
  async fetch(topic: string, fetchOffset: number, limits: Partial<FetchRequestInput> = {}) {
    const partitionMaxBytes = limits.maxBytes ?? 2 ** 20;
    const request = {
      maxWaitMs: 0,
      minBytes: 1,
      maxBytes: 2 ** 20,
      sessionEpoch: -1,
      ...limits,
      topics: [{ topic, partitions: [{ partition: 0, fetchOffset, partitionMaxBytes }] }],
    };
    const reader = await this.exchange(ApiKey.fetch, FETCH_VERSION, (writer) =>
      writeFetchRequest(writer, request, FETCH_VERSION),
    );
    return readFetchResponse(reader, FETCH_VERSION).responses[0]?.partitions[0];
  }

  async listOffset(topic: string, timestamp: number) {
    const version = LIST_OFFSETS_VERSION;
    const topics = [{ name: topic, partitions: [{ partitionIndex: 0, timestamp }] }];
    const reader = await this.exchange(ApiKey.listOffsets, version, (writer) =>
      writeListOffsetsRequest(writer, { replicaId: -1, topics }, version),
    );
    return readListOffsetsResponse(reader, version).topics[0]?.partitions[0];
  }

  /** Deletes records of `topic` below `offset` of each partition. @returns the partitions' answers */
  async deleteRecords(topic: string, offsets: Readonly<Record<number, number>>) {
    const version = DELETE_RECORDS_VERSION;
    const partitions = Object.entries(offsets).map(([index, offset]) => ({
      partitionIndex: Number(index),
      offset,
    }));
    const request = { topics: [{ name: topic, partitions }], timeoutMs: 1000 };
    const reader = await this.exchange(ApiKey.deleteRecords, version, (writer) =>
      writeDeleteRecordsRequest(writer, request, version),
    );
    return readDeleteRecordsResponse(reader, version).topics[0]?.partitions ?? [];
  }

  #send(
    apiKey: number,
    apiVersion: number,
    { correlationId, writeBody }: { correlationId: number; writeBody(writer: Writer): void },
  ): void {
    const writer = new Writer();
    writer.writeInt32(0);
    writeRequestHeader(writer, { apiKey, apiVersion, correlationId, clientId: "pipelined" });
    writeBody(writer);
    writer.setInt32At(0, writer.position - 4);
    this.#unsent = Buffer.concat([this.#unsent, writer.bytesWritten()]);
    this.#flush();
  }

  #flush(): void {
    if (this.#unsent.length === 0) return;
    const written = this.#socket?.write(this.#unsent) ?? 0;
    this.#unsent = this.#unsent.subarray(Math.max(0, written));
  }

  #onData(chunk: Uint8Array): void {
    this.#chunks.push(new Uint8Array(chunk));
    this.#chunkBytes += chunk.length;
    // Joined only when a whole answer is here, so that large ones are not copied with every chunk.
    if (this.#received.length + this.#chunkBytes < this.#wantedBytes) return;
    this.#received = Buffer.concat([this.#received, ...this.#chunks]);
    this.#chunks = [];
    this.#chunkBytes = 0;
    this.#wantedBytes = 4;
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0);
      if (this.#received.length < end) {
        this.#wantedBytes = end;
        return;
      }
      this.#pending.shift()?.resolve(new Uint8Array(this.#received.subarray(4, end)));
      this.#received = this.#received.subarray(end);
    }
  }

  #onClose(): void {
    for (const { reject } of this.#pending) reject(new Error("The connection was closed."));
    this.#pending.length = 0;
  }
}
