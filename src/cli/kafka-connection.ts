/**
 * One connection to a Kafka broker, for subcommands: requests in frames (size i32, header, body), answers in the order
 * of the requests. Versions are agreed on with ApiVersions when it opens.
 */

import type { Socket } from "bun";
import type { Clock } from "../core/clock.ts";
import { ErrorCode } from "../protocol/errors.ts";
import { ApiKey } from "../protocol/generated/api-keys.ts";
import { writeApiVersionsRequest } from "../protocol/generated/api-versions-request.ts";
import { readApiVersionsResponse } from "../protocol/generated/api-versions-response.ts";
import { Reader } from "../protocol/reader.ts";
import { readResponseHeader, writeRequestHeader } from "../protocol/request-header.ts";
import { Writer } from "../protocol/writer.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** An API with the versions whose requests this program writes; the newest that both sides know is used. */
export interface SpokenApi<Request, Response> {
  readonly apiKey: number;
  readonly minVersion: number;
  readonly maxVersion: number;
  write(writer: Writer, request: Request, version: number): void;
  read(reader: Reader, version: number): Response;
}

/** The broker cannot be reached, or the connection to it has broken. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

interface Pending {
  readonly correlationId: number;
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly resolve: (reader: Reader) => void;
  readonly reject: (reason: Error) => void;
}

const CLIENT_ID = "chronik-cli";
const CONNECT_MS_MAX = 10_000;
/** For an answer, beside the time that the request itself allows the broker. */
const ANSWER_MS_MAX = 30_000;
const SIZE_BYTES = 4;
const CORRELATION_ID_BYTES = 4;
/** Of an answer; the letters "HTTP", taken for a size, are more. */
const FRAME_BYTES_MAX = 2 ** 30;
/** Of one answer: the metadata of a million partitions. */
const ELEMENTS_MAX = 10_000_000;

/** `host:port` of an address, as people write it. */
function addressText({ host, port }: Address): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

export class KafkaConnection {
  readonly address: Address;
  readonly #clock: Clock;
  readonly #pending: Pending[] = [];
  #versions: ReadonlyMap<number, { readonly min: number; readonly max: number }> = new Map();
  #socket: Socket | undefined;
  #isClosed = false;
  #nextCorrelationId = 1;
  #unsent: Uint8Array[] = [];
  #sentBytes = 0;
  #received: Uint8Array[] = [];
  #receivedBytes = 0;

  private constructor(address: Address, clock: Clock) {
    this.address = address;
    this.#clock = clock;
  }

  /** @throws ConnectionError */
  static async open(address: Address, clock: Clock): Promise<KafkaConnection> {
    const connection = new KafkaConnection(address, clock);
    await connection.#connect();
    try {
      await connection.#learnVersions();
    } catch (thrown) {
      connection.close();
      throw thrown;
    }
    return connection;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The answer's body. @throws ConnectionError, KafkaError if it cannot be understood */
  async exchange<Request, Response>(
    api: SpokenApi<Request, Response>,
    request: Request,
    waitMs = 0,
  ): Promise<Response> {
    const version = this.#versionOf(api);
    const writeBody = (writer: Writer): void => api.write(writer, request, version);
    const reader = await this.#send(api.apiKey, version, { writeBody, waitMs });
    return api.read(reader, version);
  }

  close(): void {
    this.#fail("The connection was closed.");
  }

  #versionOf({ apiKey, minVersion, maxVersion }: SpokenApi<never, unknown>): number {
    const served = this.#versions.get(apiKey);
    const version = Math.min(maxVersion, served?.max ?? -1);
    if (served === undefined || version < Math.max(minVersion, served.min)) {
      const place = addressText(this.address);
      throw new Error(`The broker at ${place} speaks no version of API ${apiKey} known here.`);
    }
    return version;
  }

  async #connect(): Promise<void> {
    const place = addressText(this.address);
    const late = Promise.withResolvers<never>();
    const cancelTimer = this.#clock.after(CONNECT_MS_MAX, () =>
      late.reject(new ConnectionError(`No broker answers at ${place} (timeout).`)),
    );
    const connecting = Bun.connect({
      hostname: this.address.host,
      port: this.address.port,
      socket: {
        data: (_socket, chunk) => this.#onData(chunk),
        drain: () => this.#flush(),
        close: () => this.#fail(`The broker at ${place} closed the connection.`),
        error: (_socket, error) => this.#fail(`The connection to ${place} broke: ${error.message}`),
        connectError: () => {}, // The promise tells it.
      },
    });
    try {
      this.#socket = await Promise.race([connecting, late.promise]);
    } catch (thrown) {
      if (thrown instanceof ConnectionError) throw thrown;
      const reason = connectFailureOf(thrown);
      throw new ConnectionError(`No broker answers at ${place} (${reason}).`, { cause: thrown });
    } finally {
      cancelTimer();
    }
  }

  /** Version 0, which every broker understands. */
  async #learnVersions(): Promise<void> {
    const writeBody = (writer: Writer): void => writeApiVersionsRequest(writer, {}, 0);
    const reader = await this.#send(ApiKey.apiVersions, 0, { writeBody, waitMs: 0 });
    const { errorCode, apiKeys } = readApiVersionsResponse(reader, 0);
    if (errorCode !== ErrorCode.none) {
      throw new ConnectionError(`${addressText(this.address)} does not tell its API versions.`);
    }
    this.#versions = new Map(
      apiKeys.map(({ apiKey, minVersion: min, maxVersion: max }) => [apiKey, { min, max }]),
    );
  }

  #send(
    apiKey: number,
    apiVersion: number,
    { writeBody, waitMs }: { writeBody(writer: Writer): void; readonly waitMs: number },
  ): Promise<Reader> {
    const place = addressText(this.address);
    if (this.#isClosed) throw new ConnectionError(`The connection to ${place} is closed.`);
    const correlationId = this.#nextCorrelationId;
    this.#nextCorrelationId = (correlationId % 0x7fffffff) + 1;
    const writer = new Writer();
    writer.writeInt32(0);
    writeRequestHeader(writer, { apiKey, apiVersion, correlationId, clientId: CLIENT_ID });
    writeBody(writer);
    writer.setInt32At(0, writer.position - SIZE_BYTES);
    const { promise, resolve, reject } = Promise.withResolvers<Reader>();
    const cancelTimer = this.#clock.after(waitMs + ANSWER_MS_MAX, () =>
      this.#fail(`The broker at ${place} does not answer.`),
    );
    this.#pending.push({ correlationId, apiKey, apiVersion, resolve, reject });
    this.#unsent.push(writer.bytesWritten());
    this.#flush();
    return promise.finally(cancelTimer);
  }

  #flush(): void {
    for (let piece = this.#unsent[0]; piece !== undefined; piece = this.#unsent[0]) {
      // Bun's default length counts from the piece's start, whatever the offset.
      const left = piece.length - this.#sentBytes;
      const accepted = this.#socket?.write(piece, this.#sentBytes, left) ?? 0;
      if (accepted < 0) return; // `close` follows.
      this.#sentBytes += accepted;
      if (accepted < left) return;
      this.#unsent.shift();
      this.#sentBytes = 0;
    }
  }

  #onData(chunk: Uint8Array): void {
    this.#received.push(chunk);
    this.#receivedBytes += chunk.length;
    for (;;) {
      if (this.#receivedBytes < SIZE_BYTES) return;
      const frameBytes = this.#frameSizeBytes();
      if (frameBytes < CORRELATION_ID_BYTES || frameBytes > FRAME_BYTES_MAX) {
        this.#fail(`What answers at ${addressText(this.address)} does not speak Kafka's protocol.`);
        return;
      }
      const sizeBytes = SIZE_BYTES + frameBytes;
      if (this.#receivedBytes < sizeBytes) return;
      // Joined only when a whole answer is here, so that large ones are not copied with every chunk.
      const joined = Buffer.concat(this.#received);
      this.#received = [joined.subarray(sizeBytes)];
      this.#receivedBytes -= sizeBytes;
      this.#onAnswer(
        new Uint8Array(joined.buffer, joined.byteOffset + SIZE_BYTES, sizeBytes - SIZE_BYTES),
      );
    }
  }

  #frameSizeBytes(): number {
    const head = new Uint8Array(SIZE_BYTES);
    let filled = 0;
    for (const chunk of this.#received) {
      const part = chunk.subarray(0, SIZE_BYTES - filled);
      head.set(part, filled);
      filled += part.length;
      if (filled === SIZE_BYTES) break;
    }
    return new DataView(head.buffer).getInt32(0);
  }

  #onAnswer(frame: Uint8Array): void {
    const pending = this.#pending.shift();
    if (pending === undefined) {
      this.#fail("The broker sent an answer to no request.");
      return;
    }
    const reader = new Reader(frame);
    reader.elementsMax = ELEMENTS_MAX;
    try {
      const answered = readResponseHeader(reader, pending.apiKey, pending.apiVersion);
      if (answered !== pending.correlationId) throw new Error("The answers are out of order.");
      pending.resolve(reader);
    } catch (thrown) {
      const reason = thrown instanceof Error ? thrown.message : String(thrown);
      pending.reject(new ConnectionError(reason, { cause: thrown }));
      this.#fail(reason);
    }
  }

  #fail(reason: string): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket?.terminate();
    for (const { reject } of this.#pending.splice(0)) reject(new ConnectionError(reason));
  }
}

function connectFailureOf(thrown: unknown): string {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : "";
  if (code === "ECONNREFUSED") return "connection refused";
  if (code === "ENOTFOUND") return "there is no such host";
  return thrown instanceof Error ? thrown.message : String(thrown);
}
