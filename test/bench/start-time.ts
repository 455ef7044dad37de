/** Starts a broker and asks it for ApiVersions until it answers, as a client that cannot wait would. */
import type { Broker } from "../conformance/broker.ts";

/** Size 10, key 18, version 0, correlation id 1, no client id. */
const API_VERSIONS_REQUEST = Uint8Array.of(0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255);
/** After the size: correlation id 1, error code 0. */
const ANSWER_START = [0, 0, 0, 1, 0, 0];
const SIZE_BYTES = 4;
const RETRY_MS = 1;
const TIMEOUT_MS = 120_000;

export interface StartTime {
  /** From just before `exec` to the whole head of the first answer. */
  readonly answeredMs: number;
  /** What Chronik's ready line says; undefined for Kafka, which says nothing. */
  readonly printedMs: number | undefined;
}

export async function startAndAsk(broker: Broker): Promise<StartTime> {
  const startedMs = performance.now();
  const started = broker.start(); // Spawns before it returns.
  const answeredMs = (await firstAnswerMs(broker.addresses.kafkaPort)) - startedMs;
  await started;
  const printed = /^chronik ready in (\d+) ms/m.exec(broker.log())?.[1];
  return { answeredMs, printedMs: printed === undefined ? undefined : Number(printed) };
}

async function firstAnswerMs(port: number): Promise<number> {
  const deadlineMs = performance.now() + TIMEOUT_MS;
  while (performance.now() < deadlineMs) {
    try {
      return await askOnce(port);
    } catch {
      await Bun.sleep(RETRY_MS); // Refused or closed: not ready yet.
    }
  }
  throw new Error(`Port ${port} did not answer in time.`);
}

async function askOnce(port: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const received: number[] = [];
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data: (_, chunk) => {
        received.push(...chunk);
        const head = received.slice(SIZE_BYTES, SIZE_BYTES + ANSWER_START.length);
        if (head.length < ANSWER_START.length) return;
        if (Bun.deepEquals(head, ANSWER_START)) resolve(performance.now());
        else reject(new Error(`The answer starts with ${head.join(" ")}.`));
      },
      close: () => reject(new Error("The connection was closed.")),
    },
  });
  socket.write(API_VERSIONS_REQUEST);
  try {
    return await promise;
  } finally {
    socket.terminate();
  }
}
