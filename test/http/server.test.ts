/** The HTTP port over real sockets: routes, error shapes, limits, and clients that misbehave. */

import { afterAll, expect, test } from "bun:test";
import { systemClock } from "../../src/core/clock.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { createMetrics } from "../../src/core/metrics.ts";
import type { SearchBackend } from "../../src/http/routes.ts";
import { type HttpServer, type HttpServerOptions, startHttpServer } from "../../src/http/server.ts";
import { topicNotFoundError } from "../../src/search/elasticsearch-error.ts";
import type { SearchInput } from "../../src/search/search-input.ts";
import { apiWithoutTopics } from "./memory-source.ts";

const servers: HttpServer[] = [];
afterAll(async () => {
  for (const server of servers) await server.stop();
});

const echo: SearchBackend = {
  search: async ({ topics, parameters, body }: SearchInput) => ({
    status: 200,
    body: encode(JSON.stringify({ topics, parameters, body: decode(body) })),
  }),
};

async function start(options: Partial<HttpServerOptions> = {}) {
  const metrics = createMetrics("1.2.3");
  const server = await startHttpServer({
    hostname: "127.0.0.1",
    port: 0,
    connectionsMax: 8,
    bodyBytesLimit: 1000,
    searchConcurrencyMax: 2,
    search: echo,
    api: apiWithoutTopics(),
    isReady: () => true,
    logger: silentLogger,
    clock: systemClock,
    version: "1.2.3",
    topics: () => [],
    metrics,
    ...options,
  });
  servers.push(server);
  return { server, metrics, url: `http://127.0.0.1:${server.port}` };
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** Sends bytes as they are and reads until the server closes. */
async function exchange(port: number, text: string): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  let received = "";
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.write(text),
      data: (_socket, chunk) => {
        received += decode(chunk);
      },
      close: () => resolve(received),
      error: () => resolve(received),
    },
  });
  return await promise;
}

test("http: GET with a body reaches the search, as do path and parameters", async () => {
  const { server } = await start();
  const request =
    "GET /a%2Cb*/_search?q=x%20y HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}" +
    "POST /_search HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" +
    "1\r\n1\r\n0\r\n\r\n";
  const answers = (await exchange(server.port, request)).split("HTTP/1.1 200 OK\r\n").slice(1);
  expect(answers.map((answer) => answer.split("\r\n\r\n")[1])).toEqual([
    '{"topics":"a,b*","parameters":"q=x%20y","body":"{}"}',
    '{"parameters":"","body":"1"}',
  ]);
});

test("http: counts, several searches and the list of topics have their paths", async () => {
  const search: SearchBackend = {
    search: async ({ api = "search", topics = "all" }) => ({
      status: 200,
      body: encode(JSON.stringify({ api, topics })),
    }),
  };
  const topic = { topicId: "id", name: "orders", partitionCount: 2, recordCount: 5 };
  const { url } = await start({ search, topics: () => [topic] });
  const json = async (path: string, body?: string) => {
    const headers = { "Content-Type": "application/x-ndjson" };
    const request = body === undefined ? {} : { method: "POST", body, headers };
    return await (await fetch(url + path, request)).json();
  };
  expect(await json("/_count")).toEqual({ api: "count", topics: "all" });
  expect(await json("/a,b/_count")).toEqual({ api: "count", topics: "a,b" });
  expect(await json("/a/_msearch", '{"index":"b"}\n{}\n{}\n{}\n')).toMatchObject({
    responses: [
      { api: "search", topics: "b", status: 200 },
      { api: "search", topics: "a", status: 200 },
    ],
  });
  expect((await fetch(`${url}/_msearch`, { method: "POST", body: "x" })).status).toBe(400);
  expect(await (await fetch(`${url}/_cat/indices?h=index,pri`)).text()).toBe("orders 2\n");
  expect(await json("/_cat/indices/orders?format=json&h=docs.count")).toEqual([
    { "docs.count": "5" },
  ]);
  expect((await fetch(`${url}/_cat/indices/nope`)).status).toBe(404);
  expect((await fetch(`${url}/_cat/nope`)).status).toBe(404);
});

test("http: health, readiness, metrics and the list of paths", async () => {
  let isReady = false;
  const { url } = await start({ isReady: () => isReady });
  expect(await (await fetch(`${url}/health`)).json()).toEqual({ status: "ok" });
  expect((await fetch(`${url}/ready`)).status).toBe(503);
  expect((await fetch(`${url}/_search`)).status).toBe(503);
  isReady = true;
  expect((await fetch(`${url}/ready`)).status).toBe(200);
  expect(await (await fetch(url)).json()).toMatchObject({ name: "chronik", version: "1.2.3" });
  const metrics = await fetch(`${url}/metrics`);
  expect(metrics.headers.get("content-type")).toStartWith("text/plain; version=0.0.4");
  expect(await metrics.text()).toContain(
    'chronik_http_requests_total{route="/_search",status="503"} 1',
  );
  const head = await fetch(`${url}/metrics`, { method: "HEAD" });
  expect(await head.text()).toBe("");
});

test.each([
  ["GET", "/nothing", 404, "resource_not_found_exception"],
  ["GET", "/a/b/_search", 404, "resource_not_found_exception"],
  ["GET", "/constructor", 404, "resource_not_found_exception"],
  ["DELETE", "/_search", 405, "method_not_allowed_exception"],
  ["POST", "/metrics", 405, "method_not_allowed_exception"],
  ["GET", "/%zz/_search", 400, "illegal_argument_exception"],
])("http: %s %s answers %i in Elasticsearch's shape", async (method, path, status, type) => {
  const { url } = await start();
  const answer = await fetch(url + path, { method });
  expect(answer.status).toBe(status);
  expect(answer.headers.has("allow")).toBe(status === 405);
  expect(await answer.json()).toMatchObject({ status, error: { type, root_cause: [{ type }] } });
});

test("http: an error of the search keeps its fields; an unforeseen one tells nothing", async () => {
  let thrown: Error = topicNotFoundError("gone");
  const { url } = await start({ search: { search: () => Promise.reject(thrown) } });
  expect(await (await fetch(`${url}/gone/_search`)).json()).toEqual({
    error: {
      root_cause: [
        {
          type: "index_not_found_exception",
          reason: "no such index [gone]",
          "resource.type": "index_or_alias",
          "resource.id": "gone",
          index: "gone",
        },
      ],
      type: "index_not_found_exception",
      reason: "no such index [gone]",
      "resource.type": "index_or_alias",
      "resource.id": "gone",
      index: "gone",
    },
    status: 404,
  });
  thrown = new Error("secret");
  const answer = await fetch(`${url}/_search`);
  expect(answer.status).toBe(500);
  expect(await answer.text()).not.toContain("secret");
});

test("http: too large a body is 413 although the client is still sending", async () => {
  const { url, server } = await start();
  const answer = await fetch(`${url}/_search`, { method: "POST", body: "x".repeat(5_000_000) });
  expect(answer.status).toBe(413);
  expect(await answer.json()).toMatchObject({ error: { type: "content_too_long_exception" } });
  const announced = "POST /_search HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n";
  expect(await exchange(server.port, announced)).toStartWith("HTTP/1.1 413 ");
});

test("http: another content type is 406", async () => {
  const { url } = await start();
  const headers = { "Content-Type": "application/cbor" };
  const answer = await fetch(`${url}/_search`, { method: "POST", body: "x", headers });
  expect(answer.status).toBe(406);
});

test("http: garbage is 400 and ends that connection only", async () => {
  const { url, server } = await start();
  expect(await exchange(server.port, "\u0000\u0001 garbage\r\n\r\n")).toStartWith("HTTP/1.1 400 ");
  expect((await fetch(`${url}/health`)).status).toBe(200);
});

test("http: searches beyond the limit are 429 until one has ended", async () => {
  const gates: (() => void)[] = [];
  const search: SearchBackend = {
    search: async () => {
      await new Promise<void>((resolve) => gates.push(resolve));
      return { status: 200, body: encode("{}") };
    },
  };
  const { url } = await start({ search });
  const running = [fetch(`${url}/_search`), fetch(`${url}/_search`)];
  while (gates.length < 2) await Bun.sleep(1);
  const refused = await fetch(`${url}/_search`);
  expect(refused.status).toBe(429);
  expect(await refused.json()).toMatchObject({
    error: { type: "es_rejected_execution_exception" },
  });
  for (const open of gates) open();
  expect((await Promise.all(running)).map((answer) => answer.status)).toEqual([200, 200]);
});

test("http: a large answer reaches a client that reads slowly", async () => {
  const body = new Uint8Array(8_000_000).fill(65);
  const { server } = await start({ search: { search: async () => ({ status: 200, body }) } });
  const { promise, resolve } = Promise.withResolvers<number>();
  let receivedBytes = 0;
  await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: {
      open: (socket) =>
        void socket.write("GET /_search HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
      data: (socket, chunk) => {
        receivedBytes += chunk.length;
        socket.pause();
        systemClock.after(1, () => socket.resume());
      },
      close: () => resolve(receivedBytes),
    },
  });
  expect(await promise).toBeGreaterThan(8_000_000);
});

test("http: connections beyond the limit are closed", async () => {
  const { server } = await start({ connectionsMax: 1 });
  const held = await Bun.connect({
    hostname: "127.0.0.1",
    port: server.port,
    socket: { data: () => {} },
  });
  expect(await exchange(server.port, "GET /health HTTP/1.1\r\nHost: x\r\n\r\n")).toBe("");
  held.end();
});

test("http: a client that never finishes its request is cut off", async () => {
  let nowMs = 0;
  const timers: (() => void)[] = [];
  const clock = {
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: (_delayMs: number, action: () => void) => {
      timers.push(action);
      return () => {};
    },
  };
  const { server } = await start({ clock });
  const answer = exchange(server.port, "GET /health HTTP/1.1\r\nHo");
  while (timers.length === 0) await Bun.sleep(1);
  await Bun.sleep(5);
  nowMs = 75_000;
  timers.shift()?.();
  expect(await answer).toBe("");
});

test("http: stop lets a running search be answered", async () => {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let isRunning = false;
  const search: SearchBackend = {
    search: async () => {
      isRunning = true;
      await gate;
      return { status: 200, body: encode("{}") };
    },
  };
  const { url, server } = await start({ search });
  const answer = fetch(`${url}/_search`);
  while (!isRunning) await Bun.sleep(1);
  const stopped = server.stop();
  open();
  expect((await answer).status).toBe(200);
  await stopped;
  expect(fetch(`${url}/health`)).rejects.toThrow();
});
