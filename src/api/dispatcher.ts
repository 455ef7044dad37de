/**
 * From a frame to a response: finds the API, decodes, lets it act, and encodes what it answers.
 *
 * As in Apache Kafka, a request that cannot be decoded or is of an API or version that is not served
 * closes the connection (its client could not read an answer); only ApiVersions is answered with
 * UNSUPPORTED_VERSION and the list, in version 0 (KIP-511).
 */

import { AssertionError } from "../core/assert.ts";
import type { Clock } from "../core/clock.ts";
import type { Logger } from "../core/logger.ts";
import { ErrorCode, errorCodeOf, KafkaError } from "../protocol/errors.ts";
import { ApiKey } from "../protocol/generated/api-keys.ts";
import { Reader } from "../protocol/reader.ts";
import {
  type RequestHeader,
  readRequestHeader,
  writeResponseHeader,
} from "../protocol/request-header.ts";
import type { Writer } from "../protocol/writer.ts";
import type { AnyHandler, ClientConnection, HandlerResult, RequestContext } from "./handler.ts";
import { isPipelined, NO_RESPONSE } from "./handler.ts";

/** Appends one whole response, length included. */
export type ResponseWriter = (writer: Writer) => void;

/** A request that has begun. */
export interface StartedRequest {
  /** When the next request of the connection may start; undefined: now. */
  readonly effectsDone: Promise<void> | undefined;
  /** The frame's bytes are in use until `effectsDone`. */
  readonly holdsFrame: boolean;
  /** Undefined as a result: nothing is sent. A rejection closes the connection. */
  readonly response: ResponseWriter | undefined | Promise<ResponseWriter | undefined>;
}

/** Told of each finished request. */
export type RequestObserver = (apiKey: number, elapsedSeconds: number) => void;

export interface DispatcherOptions {
  readonly handlers: readonly AnyHandler[];
  readonly clock: Clock;
  readonly logger: Logger;
  readonly observe: RequestObserver;
}

/** Knows the table of handlers. */
export class Dispatcher {
  readonly #handlers: (AnyHandler | undefined)[] = [];
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #observe: RequestObserver;

  constructor(options: DispatcherOptions) {
    for (const handler of options.handlers) this.#handlers[handler.apiKey] = handler;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#observe = options.observe;
  }

  /**
   * Begins the request in `frame`.
   * @throws KafkaError if the connection cannot go on; another error if the fault is ours
   */
  start(connection: ClientConnection, frame: Uint8Array): StartedRequest {
    const headerReader = new Reader(frame);
    const header = readRequestHeader(headerReader);
    const handler = this.#handlerOf(header);
    const apiVersion = servedVersion(handler, header);
    const pipelined = isPipelined(handler);
    // What a serial API reads may be kept by it; a pipelined one copies what it keeps.
    const bytes = pipelined ? frame : frame.slice();
    const reader = new Reader(bytes, headerReader.position);
    const isVersionUnknown = apiVersion !== header.apiVersion;
    const request = isVersionUnknown ? undefined : handler.readRequest(reader, apiVersion);
    const context: RequestContext = {
      connection,
      apiKey: header.apiKey,
      apiVersion: header.apiVersion,
      correlationId: header.correlationId,
      clientId: header.clientId ?? "",
    };
    const begunMs = this.#clock.monotonicMs();
    const finish = (result: HandlerResult<unknown>): ResponseWriter | undefined => {
      this.#observe(header.apiKey, (this.#clock.monotonicMs() - begunMs) / 1000);
      return responseWriterOf(handler, context, apiVersion, result);
    };
    const fail = (thrown: unknown): ResponseWriter => {
      return this.#failed(handler, context, request, thrown);
    };
    if (pipelined) {
      try {
        const { effectsDone, response } = handler.begin(context, request);
        return { effectsDone, holdsFrame: true, response: settled(response, finish, fail) };
      } catch (thrown) {
        return { effectsDone: undefined, holdsFrame: false, response: fail(thrown) };
      }
    }
    const response = settled(
      attempt(() => handler.handle(context, request)),
      finish,
      fail,
    );
    const effectsDone = response instanceof Promise ? response.then(ignore) : undefined;
    return { effectsDone, holdsFrame: false, response };
  }

  #handlerOf(header: RequestHeader): AnyHandler {
    const handler = this.#handlers[header.apiKey];
    if (handler === undefined) {
      throw new KafkaError(ErrorCode.invalidRequest, `API key ${header.apiKey} is not served.`);
    }
    return handler;
  }

  #failed(
    handler: AnyHandler,
    context: RequestContext,
    request: unknown,
    thrown: unknown,
  ): ResponseWriter {
    const isFault = thrown instanceof AssertionError || !(thrown instanceof KafkaError);
    if (isFault) {
      this.#logger.error("request_failed", {
        apiKey: context.apiKey,
        apiVersion: context.apiVersion,
        clientId: context.clientId,
        stack: thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown),
      });
    }
    const { apiVersion } = context;
    const errorCode = isFault ? ErrorCode.unknownServerError : errorCodeOf(thrown);
    if (handler.errorResponse === undefined || request === undefined) throw thrown;
    const response = handler.errorResponse(request, errorCode, apiVersion);
    const write = responseWriterOf(handler, context, apiVersion, response);
    if (write === undefined) throw thrown;
    return write;
  }
}

/** The version to act in: as asked, or 0 where ApiVersions is asked in one that is not known. */
function servedVersion(handler: AnyHandler, header: RequestHeader): number {
  const { apiKey, apiVersion } = header;
  if (apiVersion >= handler.minVersion && apiVersion <= handler.maxVersion) return apiVersion;
  if (apiKey === ApiKey.apiVersions) return 0;
  throw new KafkaError(
    ErrorCode.unsupportedVersion,
    `Version ${apiVersion} of API key ${apiKey} is not served.`,
  );
}

function responseWriterOf(
  handler: AnyHandler,
  context: RequestContext,
  apiVersion: number,
  result: HandlerResult<unknown>,
): ResponseWriter | undefined {
  if (result === NO_RESPONSE) return undefined;
  return (writer) => {
    const start = writer.position;
    writer.writeInt32(0);
    writeResponseHeader(writer, context.apiKey, apiVersion, context.correlationId);
    if (typeof result === "function") result(writer, apiVersion);
    else handler.writeResponse(writer, result, apiVersion);
    writer.setInt32At(start, writer.position - start - 4);
  };
}

/** Calls `action`; a throw becomes a rejection. */
function attempt<Value>(action: () => Value | Promise<Value>): Value | Promise<Value> {
  try {
    return action();
  } catch (thrown) {
    return Promise.reject(thrown);
  }
}

function settled<Value, Result>(
  value: Value | Promise<Value>,
  finish: (value: Value) => Result,
  fail: (thrown: unknown) => Result,
): Result | Promise<Result> {
  return value instanceof Promise ? value.then(finish, fail) : finish(value);
}

function ignore(): void {}
