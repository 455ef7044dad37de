/**
 * One HTTP connection: requests in, answers out, one at a time and in order. While a request is being
 * answered nothing more is read from its socket, so that a connection holds one request at most; a
 * client that sends or reads too slowly is cut off.
 */

import type { Socket } from "bun";
import type { Clock } from "../core/clock.ts";
import { type HttpRequest, RequestParser } from "./request-parser.ts";

/** A whole answer. */
export interface HttpResponse {
  readonly status: number;
  readonly contentType: string;
  /** Not changed by anybody until it is sent. */
  readonly body: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Answers a request; never rejects. */
export type RequestHandler = (request: HttpRequest) => Promise<HttpResponse>;

/** The answer to bytes that are no request. */
export type FaultHandler = (status: number, reason: string) => HttpResponse;

export interface ConnectionOptions {
  readonly clock: Clock;
  readonly bodyBytesLimit: number;
  readonly handle: RequestHandler;
  readonly handleFault: FaultHandler;
}

/** From a request's first byte to its last. */
const REQUEST_MS_MAX = 30_000;
/** Between requests. */
const IDLE_MS_MAX = 75_000;
/** Without progress while an answer is being sent. */
const WRITE_STALL_MS_MAX = 30_000;
/** For the client to read a last answer and close. */
const DRAIN_MS_MAX = 2_000;

type State = "reading" | "handling" | "writing" | "draining" | "closed";

const NO_BODY_STATUSES = new Set([204, 304]);
const CONTINUE = new TextEncoder().encode("HTTP/1.1 100 Continue\r\n\r\n");

/** Owns the socket's bytes in both directions. The server forwards the socket's events. */
export class HttpConnection {
  readonly #socket: Socket<HttpConnection | undefined>;
  readonly #options: ConnectionOptions;
  readonly #parser: RequestParser;
  #state: State = "reading";
  /** What is still to be sent; the first piece from `#sentBytes` on. */
  #unsent: Uint8Array[] = [];
  #sentBytes = 0;
  #keepsAlive = true;
  #isStopping = false;
  #deadlineMs: number;

  constructor(socket: Socket<HttpConnection | undefined>, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#parser = new RequestParser(options);
    this.#deadlineMs = options.clock.monotonicMs() + IDLE_MS_MAX;
  }

  /** Input from the socket; copied. */
  onData(chunk: Uint8Array): void {
    if (this.#state === "draining" || this.#state === "closed") return;
    const wasInRequest = this.#parser.isInRequest;
    this.#parser.push(chunk);
    if (this.#state !== "reading") return;
    if (!wasInRequest) this.#deadlineMs = this.#nowMs() + REQUEST_MS_MAX;
    this.#readRequests();
  }

  /** The socket takes bytes again. */
  onDrain(): void {
    if (this.#state === "writing") this.#write();
  }

  /** The socket is gone, or the client will send no more. */
  onEnd(): void {
    if (this.#state === "handling" || this.#state === "writing") this.#keepsAlive = false;
    else this.close();
  }

  onClose(): void {
    this.#state = "closed";
    this.#unsent = [];
  }

  /** Closes the connection if its client has been too slow. */
  closeIfOverdue(nowMs: number): void {
    if (this.#state !== "handling" && nowMs >= this.#deadlineMs) this.close();
  }

  /** Closes as soon as no request is being answered. */
  stop(): void {
    this.#isStopping = true;
    if (this.#state === "reading") this.close();
  }

  close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    this.#unsent = [];
    this.#socket.terminate();
  }

  #readRequests(): void {
    const result = this.#parser.next();
    switch (result.kind) {
      case "incomplete":
        return;
      case "expectsContinue":
        this.#socket.write(CONTINUE);
        return;
      case "fault":
        this.#keepsAlive = false;
        this.#send(this.#options.handleFault(result.status, result.reason), false);
        return;
      case "request":
        this.#state = "handling";
        this.#socket.pause();
        // It never rejects: the handler answers every error.
        void this.#answer(result.request);
    }
  }

  async #answer(request: HttpRequest): Promise<void> {
    this.#keepsAlive = request.keepsAlive;
    const response = await this.#options.handle(request);
    if (this.#state === "handling") this.#send(response, request.method === "HEAD");
  }

  #send(response: HttpResponse, isHead: boolean): void {
    if (this.#isStopping) this.#keepsAlive = false;
    this.#state = "writing";
    const head = headTextOf(response, this.#keepsAlive);
    this.#unsent = [new TextEncoder().encode(head)];
    if (!isHead && response.body.length > 0) this.#unsent.push(response.body);
    this.#sentBytes = 0;
    this.#write();
  }

  #write(): void {
    this.#deadlineMs = this.#nowMs() + WRITE_STALL_MS_MAX;
    for (;;) {
      const piece = this.#unsent[0];
      if (piece === undefined) break;
      // Bun's default length counts from the piece's start, whatever the offset.
      const accepted = this.#socket.write(piece, this.#sentBytes, piece.length - this.#sentBytes);
      if (accepted < 0) {
        this.close();
        return;
      }
      this.#sentBytes += accepted;
      if (this.#sentBytes < piece.length) return;
      this.#unsent.shift();
      this.#sentBytes = 0;
    }
    this.#onSent();
  }

  #onSent(): void {
    this.#socket.resume();
    if (!this.#keepsAlive) {
      // The client may still be sending: closing now would take the answer from it.
      this.#state = "draining";
      this.#deadlineMs = this.#nowMs() + DRAIN_MS_MAX;
      this.#socket.shutdown();
      return;
    }
    this.#state = "reading";
    const limitMs = this.#parser.isInRequest ? REQUEST_MS_MAX : IDLE_MS_MAX;
    this.#deadlineMs = this.#nowMs() + limitMs;
    this.#readRequests();
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs();
  }
}

const REASONS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  404: "Not Found",
  405: "Method Not Allowed",
  406: "Not Acceptable",
  413: "Content Too Large",
  429: "Too Many Requests",
  431: "Request Header Fields Too Large",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
};

function headTextOf(response: HttpResponse, keepsAlive: boolean): string {
  const { status, contentType, body, headers = {} } = response;
  let text = `HTTP/1.1 ${status} ${REASONS[status] ?? ""}\r\n`;
  if (!NO_BODY_STATUSES.has(status)) {
    text += `Content-Type: ${contentType}\r\nContent-Length: ${body.length}\r\n`;
  }
  for (const [name, value] of Object.entries(headers)) text += `${name}: ${value}\r\n`;
  return `${text}${keepsAlive ? "" : "Connection: close\r\n"}\r\n`;
}
