/**
 * Cuts HTTP/1.1 requests out of a byte stream (source: RFC 9112). Strict: what could be read in two ways
 * (two lengths, bare line feeds, folded headers) is an error, and every size has a limit before memory
 * is taken for it.
 *
 * Own code, because Bun.serve drops the body of a GET request, which Elasticsearch's clients send, and
 * node:http costs 14–26 ms of start-up and 10 MB in the executable.
 */

/** A whole request. */
export interface HttpRequest {
  readonly method: string;
  /** As sent: path and query string, still percent-encoded. */
  readonly target: string;
  /** Lower-case names; values of repeated headers are joined with ", ". */
  readonly headers: ReadonlyMap<string, string>;
  /** Owned by the receiver. */
  readonly body: Uint8Array;
  /** Whether the client wants to send another request on this connection. */
  readonly keepsAlive: boolean;
}

/** What the bytes so far amount to. After `fault` the stream cannot be read on. */
export type ParseResult =
  | { readonly kind: "incomplete" }
  /** The client waits for "100 Continue" before it sends the body. Reported once per request. */
  | { readonly kind: "expectsContinue" }
  | { readonly kind: "request"; readonly request: HttpRequest }
  | { readonly kind: "fault"; readonly status: number; readonly reason: string };

/** Request line and headers together. */
export const HEAD_BYTES_LIMIT = 16_384;
/** A chunk's size line with its extensions, and all trailers, each. */
const CHUNK_LINE_BYTES_LIMIT = 256;
const TRAILER_BYTES_LIMIT = 4_096;

const CR = 13;
const LF = 10;
const INCOMPLETE = { kind: "incomplete" } as const;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Visible characters, spaces and tabs, and bytes above ASCII (read as Latin-1). */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

interface Head {
  readonly method: string;
  readonly target: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly keepsAlive: boolean;
  readonly expectsContinue: boolean;
  /** Undefined: chunked. */
  readonly contentLength: number | undefined;
}

class ParseFault extends Error {
  readonly status: number;

  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

/** The state of one connection's stream. It holds at most a head, a body within the limit, and one chunk of input. */
export class RequestParser {
  readonly #bodyBytesLimit: number;
  #bytes = new Uint8Array(0);
  /** Unread input is [start, end) of `#bytes`. */
  #start = 0;
  #end = 0;
  #head: Head | undefined;
  #hasReportedContinue = false;
  /** What is decoded of a chunked body: the first `#decodedBytes` bytes. */
  #decoded = new Uint8Array(0);
  #decodedBytes = 0;
  #isInTrailer = false;
  #trailerBytes = 0;

  constructor(options: { readonly bodyBytesLimit: number }) {
    this.#bodyBytesLimit = options.bodyBytesLimit;
  }

  /** Whether a request has begun and is not whole. */
  get isInRequest(): boolean {
    return this.#head !== undefined || this.#end > this.#start;
  }

  /** Adds input; copies it. */
  push(chunk: Uint8Array): void {
    const unread = this.#end - this.#start;
    if (this.#end + chunk.length > this.#bytes.length) {
      this.#bytes = grown(this.#bytes.subarray(this.#start, this.#end), chunk.length);
      this.#start = 0;
      this.#end = unread;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next request, or why there is none. */
  next(): ParseResult {
    try {
      return this.#next();
    } catch (thrown) {
      if (!(thrown instanceof ParseFault)) throw thrown;
      return { kind: "fault", status: thrown.status, reason: thrown.message };
    }
  }

  #next(): ParseResult {
    if (this.#head === undefined) {
      const text = this.#takeHead();
      if (text === undefined) return INCOMPLETE;
      this.#head = headOf(text);
      this.#hasReportedContinue = false;
      this.#checkLength(this.#head.contentLength ?? 0);
    }
    const head = this.#head;
    const body =
      head.contentLength === undefined
        ? this.#takeChunkedBody()
        : this.#takeBytes(head.contentLength);
    if (body === undefined) {
      if (!head.expectsContinue || this.#hasReportedContinue) return INCOMPLETE;
      this.#hasReportedContinue = true;
      return { kind: "expectsContinue" };
    }
    this.#head = undefined;
    const { method, target, headers, keepsAlive } = head;
    return { kind: "request", request: { method, target, headers, keepsAlive, body } };
  }

  /** The head without its last empty line, as Latin-1. */
  #takeHead(): string | undefined {
    // Empty lines before a request line are allowed (RFC 9112, 2.2).
    while (this.#bytes[this.#start] === CR && this.#start + 1 < this.#end) {
      if (this.#bytes[this.#start + 1] !== LF) throw new ParseFault(400, "a bare carriage return");
      this.#start += 2;
    }
    const limit = Math.min(this.#end, this.#start + HEAD_BYTES_LIMIT);
    for (let position = this.#start; position + 3 < limit; position += 1) {
      if (
        this.#bytes[position] === CR &&
        this.#bytes[position + 1] === LF &&
        this.#bytes[position + 2] === CR &&
        this.#bytes[position + 3] === LF
      ) {
        const text = latin1(this.#bytes.subarray(this.#start, position));
        this.#start = position + 4;
        return text;
      }
    }
    if (this.#end - this.#start >= HEAD_BYTES_LIMIT) {
      throw new ParseFault(431, `the request's head exceeds ${HEAD_BYTES_LIMIT} bytes`);
    }
    return undefined;
  }

  /** A copy of the next `length` bytes once they are there. */
  #takeBytes(length: number): Uint8Array | undefined {
    if (this.#end - this.#start < length) return undefined;
    const bytes = this.#bytes.slice(this.#start, this.#start + length);
    this.#start += length;
    if (this.#start === this.#end) {
      // A large request must not pin its buffer for the life of the connection.
      this.#bytes = new Uint8Array(0);
      this.#start = 0;
      this.#end = 0;
    }
    return bytes;
  }

  #takeChunkedBody(): Uint8Array | undefined {
    while (!this.#isInTrailer) {
      const lineEnd = this.#lineEnd(CHUNK_LINE_BYTES_LIMIT);
      if (lineEnd === undefined) return undefined;
      const line = latin1(this.#bytes.subarray(this.#start, lineEnd));
      const size = /^([0-9A-Fa-f]{1,8})[\t ]*(?:;.*)?$/.exec(line)?.[1];
      if (size === undefined) throw new ParseFault(400, "a chunk has no size");
      const length = Number.parseInt(size, 16);
      this.#checkLength(this.#decodedBytes + length);
      if (length === 0) {
        this.#start = lineEnd + 2;
        this.#isInTrailer = true;
        break;
      }
      const chunkStart = lineEnd + 2;
      const chunkEnd = chunkStart + length;
      if (this.#end < chunkEnd + 2) return undefined;
      if (this.#bytes[chunkEnd] !== CR || this.#bytes[chunkEnd + 1] !== LF) {
        throw new ParseFault(400, "a chunk is longer than its size");
      }
      this.#addDecoded(this.#bytes.subarray(chunkStart, chunkEnd));
      this.#start = chunkEnd + 2;
    }
    return this.#takeTrailer() ? this.#takeDecoded() : undefined;
  }

  #addDecoded(chunk: Uint8Array): void {
    if (this.#decodedBytes + chunk.length > this.#decoded.length) {
      this.#decoded = grown(this.#decoded.subarray(0, this.#decodedBytes), chunk.length);
    }
    this.#decoded.set(chunk, this.#decodedBytes);
    this.#decodedBytes += chunk.length;
  }

  /** Skips trailer lines. @returns whether the empty line that ends them was found. */
  #takeTrailer(): boolean {
    for (;;) {
      const lineEnd = this.#lineEnd(TRAILER_BYTES_LIMIT - this.#trailerBytes);
      if (lineEnd === undefined) return false;
      const lineBytes = lineEnd - this.#start;
      this.#start = lineEnd + 2;
      if (lineBytes === 0) return true;
      this.#trailerBytes += lineBytes;
    }
  }

  #takeDecoded(): Uint8Array {
    const body = this.#decoded.subarray(0, this.#decodedBytes);
    this.#decoded = new Uint8Array(0);
    this.#decodedBytes = 0;
    this.#trailerBytes = 0;
    this.#isInTrailer = false;
    return body;
  }

  /** Where the line that starts at the unread input ends (at its CR LF). */
  #lineEnd(bytesLimit: number): number | undefined {
    const limit = Math.min(this.#end - 1, this.#start + Math.max(bytesLimit, 0));
    for (let position = this.#start; position < limit; position += 1) {
      if (this.#bytes[position] === LF) throw new ParseFault(400, "a bare line feed");
      if (this.#bytes[position] === CR && this.#bytes[position + 1] === LF) return position;
    }
    if (this.#end - this.#start > bytesLimit + 1) throw new ParseFault(400, "a line is too long");
    return undefined;
  }

  #checkLength(bodyBytes: number): void {
    if (bodyBytes > this.#bodyBytesLimit) {
      throw new ParseFault(413, `the body exceeds ${this.#bodyBytesLimit} bytes`);
    }
  }
}

/** Reads request line and headers. @throws ParseFault */
function headOf(text: string): Head {
  const [requestLine = "", ...headerLines] = text.split("\r\n");
  const parts = /^(\S+) (\S+) HTTP\/(\d)\.(\d)$/.exec(requestLine);
  const [, method = "", target = "", major, minor] = parts ?? [];
  if (parts === null || !TOKEN.test(method) || !/^[\x21-\x7e]+$/.test(target)) {
    throw new ParseFault(400, "the request line is malformed");
  }
  if (major !== "1") throw new ParseFault(505, "only HTTP/1.1 and HTTP/1.0 are spoken here");
  const headers = headersOf(headerLines);
  const isCurrent = minor !== "0";
  if (isCurrent && !headers.has("host")) throw new ParseFault(400, "the Host header is missing");
  const connection = (headers.get("connection") ?? "").toLowerCase();
  return {
    method,
    target,
    headers,
    keepsAlive: isCurrent ? !connection.includes("close") : connection.includes("keep-alive"),
    expectsContinue: headers.get("expect")?.toLowerCase() === "100-continue",
    contentLength: contentLengthOf(headers),
  };
}

function headersOf(lines: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (!TOKEN.test(name) || !FIELD_VALUE.test(value)) {
      throw new ParseFault(400, "a header is malformed");
    }
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? value : `${earlier}, ${value}`);
  }
  return headers;
}

/** The body's length, or undefined when it is chunked. @throws ParseFault if there is doubt. */
function contentLengthOf(headers: ReadonlyMap<string, string>): number | undefined {
  const length = headers.get("content-length");
  const encoding = headers.get("transfer-encoding");
  if (encoding !== undefined) {
    if (length !== undefined)
      throw new ParseFault(400, "both Content-Length and Transfer-Encoding");
    if (encoding.toLowerCase() !== "chunked") {
      throw new ParseFault(501, "the only transfer encoding understood is chunked");
    }
    return undefined;
  }
  if (length === undefined) return 0;
  if (!/^\d{1,15}$/.test(length)) throw new ParseFault(400, "Content-Length is no single number");
  return Number(length);
}

/** A copy of `bytes` with room for `moreBytes`; at least doubles, so that many small additions stay cheap. */
function grown(bytes: Uint8Array, moreBytes: number): Uint8Array<ArrayBuffer> {
  const copy = new Uint8Array(Math.max(1024, 2 * bytes.length, bytes.length + moreBytes));
  copy.set(bytes);
  return copy;
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
}
