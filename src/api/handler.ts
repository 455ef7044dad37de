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

/** What every Kafka API tells of itself. */
interface HandlerTraits<Request, Response> {
  readonly apiKey: number;
  /** Advertised versions, both inclusive. */
  readonly minVersion: number;
  readonly maxVersion: number;
  readRequest(reader: Reader, apiVersion: number): Request;
  writeResponse(writer: Writer, response: Response, apiVersion: number): void;
  /** The answer when the whole request failed; without it, the connection is closed. */
  errorResponse?(request: Request, errorCode: number, apiVersion: number): Response;
}

/** A Kafka API whose requests a connection handles one after another, as Apache Kafka does. */
export interface Handler<Request, Response> extends HandlerTraits<Request, Response> {
  handle(
    context: RequestContext,
    request: Request,
  ): HandlerResult<Response> | Promise<HandlerResult<Response>>;
}

/** A request of a pipelined API that has begun. */
export interface BegunRequest<Response> {
  /** When the next request may start; undefined: now. Until then the request's bytes are in use. */
  readonly effectsDone: Promise<void> | undefined;
  readonly response: HandlerResult<Response> | Promise<HandlerResult<Response>>;
}

/**
 * An API whose next request starts as soon as this one has taken effect, while its answer waits
 * (Produce: many batches share a sync). What it keeps of a request's bytes it must copy.
 */
export interface PipelinedHandler<Request, Response> extends HandlerTraits<Request, Response> {
  begin(context: RequestContext, request: Request): BegunRequest<Response>;
}

/** A handler whose types the dispatcher need not know. */
export type AnyHandler = Handler<unknown, unknown> | PipelinedHandler<unknown, unknown>;

export function isPipelined(handler: AnyHandler): handler is PipelinedHandler<unknown, unknown> {
  return "begin" in handler;
}
