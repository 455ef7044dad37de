/** Requests cut at every byte, and what must not be accepted. */

import { expect, test } from "bun:test";
import {
  HEAD_BYTES_LIMIT,
  type ParseResult,
  RequestParser,
} from "../../src/http/request-parser.ts";

const BODY_BYTES_LIMIT = 64;

function parse(text: string, chunkBytes = text.length): ParseResult[] {
  const parser = new RequestParser({ bodyBytesLimit: BODY_BYTES_LIMIT });
  const bytes = Buffer.from(text, "latin1");
  const results: ParseResult[] = [];
  for (let start = 0; start < bytes.length; start += chunkBytes) {
    parser.push(bytes.subarray(start, start + chunkBytes));
    for (;;) {
      const result = parser.next();
      if (result.kind === "incomplete") break;
      results.push(result);
      if (result.kind === "fault") return results;
    }
  }
  return results;
}

function statusOf(text: string): number | string | undefined {
  const last = parse(text).at(-1);
  return last?.kind === "fault" ? last.status : last?.kind;
}

const PIPELINED =
  'GET /_search?q=a HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{"a":1}' +
  "\r\nPOST /t/_search HTTP/1.1\r\nhost:x\r\nTransfer-Encoding: chunked\r\n\r\n" +
  "3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: 1\r\n\r\n" +
  "GET /health HTTP/1.0\r\nX: a\r\nx: b\r\n\r\n";

test("request parser: pipelined requests are the same at every chunk size", () => {
  for (let chunkBytes = 1; chunkBytes <= PIPELINED.length; chunkBytes += 1) {
    const requests = parse(PIPELINED, chunkBytes).map((result) =>
      result.kind === "request" ? result.request : undefined,
    );
    expect(requests.map((request) => request?.target)).toEqual([
      "/_search?q=a",
      "/t/_search",
      "/health",
    ]);
    expect(requests.map((request) => Buffer.from(request?.body ?? []).toString())).toEqual([
      '{"a":1}',
      "abc0123456789",
      "",
    ]);
    expect(requests.map((request) => request?.keepsAlive)).toEqual([true, true, false]);
    expect(requests[2]?.headers.get("x")).toBe("a, b");
  }
});

test("request parser: a client that waits for 100 Continue is noticed once", () => {
  const head = "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
  expect(parse(`${head}ok`, 1).map((result) => result.kind)).toEqual([
    "expectsContinue",
    "request",
  ]);
});

const HOST = "Host: x\r\n";
test.each([
  ["no request line", "\r\n \r\n\r\n", 400],
  ["no host", "GET / HTTP/1.1\r\n\r\n", 400],
  ["another version", `GET / HTTP/2.0\r\n${HOST}\r\n`, 505],
  ["a folded header", `GET / HTTP/1.1\r\n${HOST}A: b\r\n c\r\n\r\n`, 400],
  ["a space before the colon", `GET / HTTP/1.1\r\n${HOST}A : b\r\n\r\n`, 400],
  ["a control character", `GET / HTTP/1.1\r\n${HOST}A: b\u0001\r\n\r\n`, 400],
  ["a bare line feed", `GET / HTTP/1.1\n${HOST}\r\n\r\n`, 400],
  ["two lengths", `GET / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nContent-Length: 2\r\n\r\n`, 400],
  ["a negative length", `GET / HTTP/1.1\r\n${HOST}Content-Length: -1\r\n\r\n`, 400],
  [
    "length and chunks",
    `GET / HTTP/1.1\r\n${HOST}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n`,
    400,
  ],
  ["another encoding", `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip, chunked\r\n\r\n`, 501],
  ["a large body", `GET / HTTP/1.1\r\n${HOST}Content-Length: 65\r\n\r\n`, 413],
  ["an announced gigabyte", `GET / HTTP/1.1\r\n${HOST}Content-Length: 1000000000\r\n\r\n`, 413],
  ["a large chunk", `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n`, 413],
  ["a bad chunk", `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\nzz\r\n`, 400],
  [
    "a chunk overrun",
    `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n`,
    400,
  ],
  ["a long head", `GET / HTTP/1.1\r\nA: ${"x".repeat(HEAD_BYTES_LIMIT)}`, 431],
  [
    "long trailers",
    `GET / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n${"A: b\r\n".repeat(1500)}`,
    400,
  ],
])("request parser: %s is refused", (_name, text, status) => {
  expect(statusOf(text)).toBe(status);
});
