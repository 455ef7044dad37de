/** What a Kafka API is to the dispatcher: its versions, its codec, and what it does. */

import type { Reader } from "../protocol/reader.ts";
import type { Writer } from "../protocol/writer.ts";

/** The connection a request came through, as far as an API needs to know it. */
export interface ClientConnection {
  /** Unique in this process. */
  readonly id: number;
  readonly remoteAddress: string;
  /** The address and port through which the client reached us; what auto-advertise answers. */
  readonly localAddress: string;
  readonly localPort: number;
  /** Calls `listener` once when the connection ends; at once if it has. @returns removes it. */
  onClose(listener: () => void): () => void;
}

/** One request on its way through the broker. */
export interface RequestContext {
  readonly connection: ClientConnection;
  readonly apiKey: number;
  readonly apiVersion: number;
  readonly correlationId: number;
  /** As sent; empty when null. */
  readonly clientId: string;
}

/** Writes a response body by itself: for bodies that hold views which are valid only synchronously. */
export type BodyWriter = (writer: Writer, apiVersion: number) => void;

/** Nothing is sent: only for Produce with acks=0. */
export const NO_RESPONSE: unique symbol = Symbol("no response");

/** What `handle` may come to. */
export type HandlerResult<Response> = Response | BodyWriter | typeof NO_RESPONSE;

/**
 * One Kafka API. Requests of a connection are handled one after another, as Apache Kafka does; with
 * `isPipelined`, the next request starts as soon as `handle` has returned its promise, so `handle`
 * must have done all its effects by then, or have told through `effectsDone` when they are.
 */
export interface Handler<Request, Response> {
  readonly apiKey: number;
  /** Advertised versions, both inclusive. */
  readonly minVersion: number;
  readonly maxVersion: number;
  readonly isPipelined?: boolean;
  readRequest(reader: Reader, apiVersion: number): Request;
  writeResponse(writer: Writer, response: Response, apiVersion: number): void;
  handle(
    context: RequestContext,
    request: Request,
  ): HandlerResult<Response> | Promise<HandlerResult<Response>>;
  /** The answer when `handle` failed with an error that is the whole request's; undefined closes the connection. */
  errorResponse?(request: Request, errorCode: number, apiVersion: number): Response;
}

/** A handler whose types the dispatcher need not know. */
export type AnyHandler = Handler<unknown, unknown>;
