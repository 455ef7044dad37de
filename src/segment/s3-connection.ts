/**
 * A client of S3 with its time limits. The SDK is loaded by the first connection, so that a broker without S3 does
 * not pay for it. It repeats what may be repeated, slows down when told to (adaptive mode), finds credentials itself.
 *
 * An attempt has `requestMs` to be sent and answered, and more for its bytes; what is answered may pause for as long,
 * and all attempts together have a deadline. Bodies are arrays, never streams: a repeated attempt sends them anew.
 * Hashing a body blocks the thread for milliseconds per MiB, so large ones are to be written by a Worker.
 */

import type { Readable } from "node:stream";
import type { S3Client } from "@aws-sdk/client-s3";
import type { CancelTimer, Clock } from "../core/clock.ts";
import { uninitializedBytes } from "../core/uninitialized-bytes.ts";
import type { S3Location } from "./object-store-url.ts";

export type S3Sdk = typeof import("@aws-sdk/client-s3");

export interface S3Limits {
  readonly connectMs: number;
  readonly requestMs: number;
  readonly attemptsMax: number;
}

/** Access for tests; brokers use the chain of the SDK. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** One attempt of a request, as it went over the wire. */
export interface S3Attempt {
  /** As S3 names it: `PutObject`. */
  readonly operation: string;
  /** Of HTTP; undefined if there was no answer. */
  readonly status: number | undefined;
  readonly sentBytes: number;
}

export interface S3ConnectionOptions {
  readonly location: S3Location;
  readonly clock: Clock;
  readonly limits?: Partial<S3Limits>;
  readonly credentials?: S3Credentials;
  /** Called after every attempt; it must not throw. */
  readonly onAttempt?: (attempt: S3Attempt) => void;
}

/** What a request is sent with. */
export interface SendOptions {
  readonly abortSignal: AbortSignal;
  readonly requestTimeout: number;
}

/** An answer that began well and did not end so. */
export class BrokenAnswerError extends Error {
  override readonly name = "BrokenAnswerError";
}

/** A part of an object, as it is answered. */
interface RangeAnswer {
  readonly Body?: unknown;
  readonly ContentLength?: number | undefined;
}

const LIMITS: S3Limits = { connectMs: 5_000, requestMs: 30_000, attemptsMax: 4 };
/** A slower line than this is a broken one. */
const BYTES_PER_MS_MIN = 32;
/** The SDK's longest pause between two attempts. */
const PAUSE_MS_MAX = 20_000;
const SOCKETS_MAX = 32;
/** What stores of others are signed for when nothing else is said; they don't care. */
const REGION_OF_OTHERS = "us-east-1";

export class S3Connection {
  readonly sdk: S3Sdk;
  readonly #client: S3Client;
  readonly #clock: Clock;
  readonly #limits: S3Limits;

  private constructor(sdk: S3Sdk, options: S3ConnectionOptions) {
    this.sdk = sdk;
    this.#clock = options.clock;
    this.#limits = { ...LIMITS, ...options.limits };
    this.#client = clientOf(sdk, options, this.#limits);
  }

  static async open(options: S3ConnectionOptions): Promise<S3Connection> {
    return new S3Connection(await import("@aws-sdk/client-s3"), options);
  }

  /** Runs `work`, which sends one request of about `bytes` there and back. @throws as the SDK does, or a time-out */
  async run<Result>(
    work: (client: S3Client, options: SendOptions) => Promise<Result>,
    { bytes = 0 }: { readonly bytes?: number } = {},
  ): Promise<Result> {
    const { requestMs, attemptsMax } = this.#limits;
    const requestTimeout = requestMs + Math.ceil(bytes / BYTES_PER_MS_MIN);
    const deadline = new AbortController();
    const deadlineMs = attemptsMax * (requestTimeout + Math.min(PAUSE_MS_MAX, requestMs));
    const cancel = this.#clock.after(deadlineMs, () => {
      deadline.abort(new Error(`there was no answer within ${deadlineMs} ms`));
    });
    try {
      return await work(this.#client, { abortSignal: deadline.signal, requestTimeout });
    } finally {
      cancel();
    }
  }

  /** The bytes of an answer as they arrive, at most `maxBytes`. @throws BrokenAnswerError */
  async bytesOf(
    { Body, ContentLength = 0 }: RangeAnswer,
    { maxBytes, abortSignal }: { readonly maxBytes: number; readonly abortSignal: AbortSignal },
  ): Promise<Uint8Array> {
    const stream = Body as Readable;
    const stop = (reason: unknown): void => void stream.destroy(new Error(String(reason)));
    const abort = (): void => stop(abortSignal.reason);
    abortSignal.addEventListener("abort", abort, { once: true });
    let cancel: CancelTimer = () => {};
    const expectMore = (): void => {
      cancel();
      const { requestMs } = this.#limits;
      cancel = this.#clock.after(requestMs, () => stop(`nothing came for ${requestMs} ms`));
    };
    try {
      if (ContentLength > maxBytes) throw new Error("the store sent more than was asked for");
      const bytes = uninitializedBytes(ContentLength);
      let doneBytes = 0;
      expectMore();
      for await (const chunk of stream) {
        expectMore();
        bytes.set(chunk as Uint8Array, doneBytes);
        doneBytes += (chunk as Uint8Array).length;
      }
      if (doneBytes === ContentLength) return bytes;
      throw new Error(`the answer ended after ${doneBytes} of ${ContentLength} bytes`);
    } catch (cause) {
      stream.destroy();
      throw new BrokenAnswerError(cause instanceof Error ? cause.message : String(cause), {
        cause,
      });
    } finally {
      cancel();
      abortSignal.removeEventListener("abort", abort);
    }
  }

  close(): void {
    this.#client.destroy();
  }
}

function clientOf(sdk: S3Sdk, options: S3ConnectionOptions, limits: S3Limits): S3Client {
  const { location, credentials, onAttempt } = options;
  const { endpoint, isPathStyle } = location;
  const region = location.region ?? (endpoint === undefined ? undefined : REGION_OF_OTHERS);
  const agent = { keepAlive: true, maxSockets: SOCKETS_MAX };
  const client = new sdk.S3Client({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(credentials === undefined ? {} : { credentials }),
    forcePathStyle: isPathStyle,
    retryMode: "adaptive",
    maxAttempts: limits.attemptsMax,
    // Not every store compares the body with the hash in the signature; a checksum they do.
    requestChecksumCalculation: "WHEN_SUPPORTED",
    // What is read by range can't have one, and archives have checksums of their own.
    responseChecksumValidation: "WHEN_REQUIRED",
    // It would cost each large part a connection of its own.
    expectContinueHeader: false,
    requestHandler: {
      connectionTimeout: limits.connectMs,
      requestTimeout: limits.requestMs,
      throwOnRequestTimeout: true,
      httpAgent: agent,
      httpsAgent: agent,
    },
  });
  if (onAttempt !== undefined) tellAttempts(client, onAttempt);
  return client;
}

/** After the middleware that repeats, so that each attempt is seen. */
function tellAttempts(client: S3Client, onAttempt: (attempt: S3Attempt) => void): void {
  client.middlewareStack.add(
    (next, context) => async (request) => {
      const operation = String(context["commandName"] ?? "").replace(/Command$/, "");
      const sentBytes = Number(headersOf(request.request)["content-length"] ?? 0);
      let status: number | undefined;
      try {
        const result = await next(request);
        status = statusOf(result.response);
        return result;
      } catch (thrown) {
        status = statusOfError(thrown);
        throw thrown;
      } finally {
        onAttempt({ operation, status, sentBytes });
      }
    },
    { step: "finalizeRequest", priority: "low", name: "tellAttempts" },
  );
}

function headersOf(request: unknown): Readonly<Record<string, string>> {
  return (request as { readonly headers?: Record<string, string> }).headers ?? {};
}

function statusOf(response: unknown): number | undefined {
  return (response as { readonly statusCode?: number } | undefined)?.statusCode;
}

/** The status of HTTP that an error of the SDK stands for; undefined if there was no answer. */
export function statusOfError(thrown: unknown): number | undefined {
  const { $metadata } = thrown as { readonly $metadata?: { readonly httpStatusCode?: number } };
  return $metadata?.httpStatusCode;
}
