/** A connection answers what came before a bad request, counts what it holds, and never throws at its socket. */

import { expect, test } from "bun:test";
import { Dispatcher } from "../../src/api/dispatcher.ts";
import { type AnyHandler, type BegunRequest, NO_RESPONSE } from "../../src/api/handler.ts";
import { BufferPool } from "../../src/core/buffer-pool.ts";
import { createLogger } from "../../src/core/logger.ts";
import { type ByteSocket, Connection } from "../../src/network/connection.ts";
import { IntakeBudget } from "../../src/network/intake-budget.ts";
import { ApiKey } from "../../src/protocol/generated/api-keys.ts";
import { writeRequestHeader } from "../../src/protocol/request-header.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { ManualClock, settle } from "../manual-clock.ts";

const BAD_LENGTH = new Uint8Array(4).fill(0xff);
const FRAME_BYTES_LIMIT = 2 ** 20;
const ENDING_MS_MAX = 10_000;
const BODY_BYTES = 8;
const LARGE_BYTES = 8 * 2 ** 20;

/** A request of the test's own API; what it does is decided by the test, by correlation id. */
type Begin = (correlationId: number) => BegunRequest<unknown>;

class Stage implements ByteSocket {
  readonly clock = new ManualClock();
  readonly intake = new IntakeBudget(FRAME_BYTES_LIMIT, this.clock);
  readonly lines: string[] = [];
  readonly sent: number[] = [];
  /** Size of the buffer behind the last write. */
  bufferBytes = 0;
  readonly connection: Connection;
  isPaused = false;
  isShutDown = false;
  isTerminated = false;
  /** What the socket takes of a write. */
  takesBytes = Number.POSITIVE_INFINITY;

  constructor(begin: Begin) {
    const { clock, intake } = this;
    const logger = createLogger("info", (line) => this.lines.push(line));
    const handler: AnyHandler = {
      apiKey: ApiKey.produce,
      minVersion: 0,
      maxVersion: 13,
      readRequest: () => undefined,
      writeResponse: (writer, response) => {
        if (response === "unwritable") throw new Error("cannot be written");
        writer.writeRaw(new Uint8Array(response === "large" ? LARGE_BYTES : BODY_BYTES));
      },
      begin: ({ correlationId }) => begin(correlationId),
    };
    const observe = (): void => {};
    const dispatcher = new Dispatcher({ handlers: [handler], clock, logger, observe });
    const ends = { id: 1, remoteAddress: "client", localAddress: "broker", localPort: 9092 };
    this.connection = new Connection(this, ends, {
      ...{ dispatcher, intake, clock, logger, frameBytesLimit: FRAME_BYTES_LIMIT },
      bufferPool: new BufferPool(),
      inFlightRequestsMax: 8,
      onUnsentChange: () => {},
    });
  }

  write(bytes: Uint8Array): number {
    if (this.isShutDown) throw new Error("written after the end");
    this.bufferBytes = bytes.buffer.byteLength;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = 0; at < bytes.length && this.takesBytes > 0; at += 4 + view.getInt32(at)) {
      this.sent.push(view.getInt32(at + 4));
    }
    return Math.min(bytes.length, this.takesBytes);
  }
  pause(): void {
    this.isPaused = true;
  }
  resume(): void {
    this.isPaused = false;
  }
  shutdown(): void {
    this.isShutDown = true;
  }
  terminate(): void {
    this.isTerminated = true;
  }
}

function request(correlationId: number, bodyBytes = BODY_BYTES): Uint8Array {
  const writer = new Writer();
  writer.writeInt32(0);
  const { produce: apiKey } = ApiKey;
  writeRequestHeader(writer, { apiKey, apiVersion: 3, correlationId, clientId: "test" });
  writer.writeRaw(new Uint8Array(bodyBytes));
  writer.setInt32At(0, writer.position - 4);
  return writer.bytesWritten().slice();
}

/** Requests that wait until the test answers them. */
class Answers {
  readonly #resolvers = new Map<number, PromiseWithResolvers<string>>();
  readonly begin: Begin = (correlationId) => {
    const resolver = Promise.withResolvers<string>();
    this.#resolvers.set(correlationId, resolver);
    return { effectsDone: undefined, response: resolver.promise };
  };
  get begunCount(): number {
    return this.#resolvers.size;
  }
  async give(correlationId: number, response = "answer"): Promise<void> {
    this.#resolvers.get(correlationId)?.resolve(response);
    await settle();
  }
  async fail(correlationId: number): Promise<void> {
    this.#resolvers.get(correlationId)?.reject(new Error("planned"));
    await settle();
  }
}

test("connection: a bad length after good requests: they are answered, then it ends", async () => {
  const answers = new Answers();
  const stage = new Stage(answers.begin);
  stage.connection.onData(Buffer.concat([request(1), request(2), BAD_LENGTH]));
  await settle();
  expect([stage.isShutDown, stage.isTerminated, stage.isPaused]).toEqual([false, false, true]);
  await answers.give(2);
  expect(stage.sent).toEqual([]);
  await answers.give(1);
  expect(stage.sent).toEqual([1, 2]);
  expect([stage.isShutDown, stage.isTerminated, stage.isPaused]).toEqual([true, false, false]);
  expect(stage.connection.hasRequests).toBe(false);
  await stage.clock.advance(ENDING_MS_MAX);
  expect(stage.isTerminated).toBe(true);
  expect(stage.clock.timerCount).toBe(0);
  expect(stage.lines.filter((line) => line.includes("connection_closed"))).toHaveLength(1);
});

test("connection: a bad length while a request is busy harms nothing until it is reached", async () => {
  const effects = Promise.withResolvers<void>();
  const stage = new Stage(() => ({
    effectsDone: effects.promise,
    response: effects.promise.then(() => "answer"),
  }));
  stage.connection.onData(Buffer.concat([request(1), BAD_LENGTH]));
  stage.connection.onData(BAD_LENGTH);
  await settle();
  expect(stage.isTerminated).toBe(false);
  effects.resolve();
  await settle();
  expect([stage.sent, stage.isShutDown]).toEqual([[1], true]);
});

test("connection: one that ends is closed after a time, whatever its requests wait for", async () => {
  const stage = new Stage(new Answers().begin);
  stage.connection.onData(Buffer.concat([request(1), BAD_LENGTH]));
  await stage.clock.advance(ENDING_MS_MAX - 1);
  expect(stage.isTerminated).toBe(false);
  await stage.clock.advance(1);
  expect(stage.isTerminated).toBe(true);
});

test("connection: one that ends waits for its last answer to be taken", async () => {
  const answers = new Answers();
  const stage = new Stage(answers.begin);
  stage.connection.onData(Buffer.concat([request(1), BAD_LENGTH]));
  stage.takesBytes = 0;
  await answers.give(1);
  expect([stage.isShutDown, stage.isPaused]).toEqual([false, true]);
  stage.takesBytes = Number.POSITIVE_INFINITY;
  stage.connection.onDrain();
  expect([stage.sent, stage.isShutDown, stage.isPaused]).toEqual([[1], true, false]);
});

test("connection: what comes after the end is dropped, up to a limit", () => {
  const stage = new Stage(new Answers().begin);
  stage.connection.onData(BAD_LENGTH);
  expect(stage.isShutDown).toBe(true);
  stage.connection.onData(request(1));
  expect([stage.isTerminated, stage.connection.hasRequests]).toEqual([false, false]);
  for (let count = 0; count < 32; count += 1) stage.connection.onData(new Uint8Array(65_536));
  expect(stage.isTerminated).toBe(true);
  expect(stage.intake.usedBytes).toBe(0);
});

test("connection: a handler that throws is logged with its stack; answers before it are sent", async () => {
  const answers = new Answers();
  const stage = new Stage((correlationId) => {
    if (correlationId === 2) throw new TypeError("planned fault");
    return answers.begin(correlationId);
  });
  stage.connection.onData(Buffer.concat([request(1), request(2), request(3)]));
  await answers.give(1);
  expect([stage.sent, answers.begunCount, stage.isShutDown]).toEqual([[1], 1, true]);
  const failed = stage.lines.filter((line) => line.includes("request_failed"));
  expect(failed).toHaveLength(1);
  expect(failed[0]).toContain("planned fault");
  expect(failed[0]).toContain("connection.test.ts");
});

test("connection: a request that fails later takes along what came after it, not before it", async () => {
  const answers = new Answers();
  const stage = new Stage(answers.begin);
  stage.connection.onData(Buffer.concat([request(1), request(2), request(3)]));
  await answers.give(3);
  await answers.fail(2);
  expect([stage.sent, stage.isShutDown]).toEqual([[], false]);
  await answers.give(1);
  expect([stage.sent, stage.isShutDown]).toEqual([[1], true]);
});

test("connection: an answer that cannot be encoded leaves those before it whole", async () => {
  const answers = new Answers();
  const stage = new Stage(answers.begin);
  stage.connection.onData(Buffer.concat([request(1), request(2), request(3)]));
  await answers.give(3);
  await answers.give(2, "unwritable");
  await answers.give(1);
  expect([stage.sent, stage.isShutDown]).toEqual([[1], true]);
  expect(stage.lines.filter((line) => line.includes("response_not_encoded"))).toHaveLength(1);
});

test("connection: a drained one starts nothing more, and answers what runs", async () => {
  const answers = new Answers();
  const stage = new Stage(answers.begin);
  stage.connection.onData(request(1));
  stage.connection.drain();
  stage.connection.onData(request(2));
  await answers.give(1);
  expect([stage.sent, answers.begunCount]).toEqual([[1], 1]);
  expect(stage.connection.hasRequests).toBe(false);
});

test("connection: a frame that is held counts as memory until it is done with", async () => {
  const effects = Promise.withResolvers<void>();
  const response = NO_RESPONSE;
  const stage = new Stage(() => ({ effectsDone: effects.promise, response }));
  const frame = request(1, 500_000);
  stage.connection.onData(frame);
  expect(stage.intake.usedBytes).toBe(frame.length);
  effects.resolve();
  await settle();
  expect(stage.intake.usedBytes).toBe(0);
});

test("connection: one that waits for us does not lose its turn to read", async () => {
  const effects = Promise.withResolvers<void>();
  const stage = new Stage(() => ({ effectsDone: effects.promise, response: NO_RESPONSE }));
  stage.intake.change(2 * FRAME_BYTES_LIMIT);
  stage.connection.onData(Buffer.concat([request(1), request(2, 10_000)]));
  const other = { receivedBytes: 0, resumeIntake: () => {}, onStalled: () => {} };
  expect(stage.intake.mayRead(other)).toBe(true);
  await stage.clock.advance(10_000);
  expect([stage.isTerminated, stage.isPaused]).toEqual([false, true]);
  effects.resolve();
  await settle();
  expect(stage.isPaused).toBe(false);
});

test("connection: one that stalls in a request while memory is short is closed", async () => {
  const stage = new Stage(new Answers().begin);
  stage.intake.change(2 * FRAME_BYTES_LIMIT);
  stage.connection.onData(request(1, 10_000).subarray(0, 9000));
  const other = { receivedBytes: 0, resumeIntake: () => {}, onStalled: () => {} };
  expect(stage.intake.mayRead(other)).toBe(false);
  await stage.clock.advance(2000);
  expect(stage.isTerminated).toBe(true);
  expect(stage.intake.mayRead(other)).toBe(true);
});

test("connection: the memory of a large answer is given back", async () => {
  const answers = new Answers();
  const stage = new Stage(answers.begin);
  stage.connection.onData(Buffer.concat([request(1), request(2)]));
  await answers.give(1, "large");
  expect(stage.bufferBytes).toBeGreaterThan(LARGE_BYTES);
  await answers.give(2);
  expect(stage.bufferBytes).toBeLessThan(2 ** 20);
});
