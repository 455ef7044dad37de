/**
 * The loop that both Node agents share: commands as JSON lines on standard input, each run as its own promise;
 * answers as JSON lines, any number of `{id, event, ...}` and then one `{id, result}` or `{id, error}`.
 * What an agent does with a record is to carry it: it decides nothing about right and wrong.
 */
import { createWriteStream, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const CHUNK = 500;
const STREAM_CHUNK = 50;
const STREAM_PAUSE_MS = 25;

/** Obeys until standard input ends. `operations[op](call)` returns the result. */
export function serve(operations) {
  const calls = new Map();
  createInterface({ input: process.stdin }).on("line", async (line) => {
    const command = JSON.parse(line);
    if (command.op === "stop") {
      const target = calls.get(command.target);
      target.isStopped = true;
      target.onStop?.();
      write({ id: command.id, result: {} });
      return;
    }
    const call = { ...command, isStopped: false, event: eventWriter(command.id) };
    calls.set(command.id, call);
    try {
      const operation = operations[command.op];
      const result = operation ? await operation(call) : { unsupported: true };
      write({ id: command.id, result: result ?? {} });
    } catch (error) {
      process.stderr.write(`${error.stack}\n`);
      write({ id: command.id, error: `${error.name}: ${error.message}` });
    }
  });
}

/**
 * Sends the records of `call.input`, a chunk at a time, each after the other's acknowledgement.
 * `send(records)` resolves to the base offset of each partition: a Map.
 */
export async function produceAll(call, send) {
  const records = readRecords(call.input);
  const failures = [];
  for (let start = 0; start < records.length; start += CHUNK) {
    await sendChunk(call, failures, send, records.slice(start, start + CHUNK), start);
  }
  return { failures };
}

/** Sends numbered records at a steady pace until stopped. */
export async function streamAll(call, send) {
  const failures = [];
  let index = 0;
  while (!call.isStopped) {
    const records = Array.from({ length: STREAM_CHUNK }, (_, at) => ({
      partition: (index + at) % call.partitions,
      value: Buffer.from(String(index + at)),
      headers: [],
    }));
    await sendChunk(call, failures, send, records, index);
    index += records.length;
    await sleep(STREAM_PAUSE_MS);
  }
  return { sent: index, failures };
}

async function sendChunk(call, failures, send, records, start) {
  try {
    const nextOffsets = await send(records);
    const acks = records.map(({ partition }, at) => {
      const offset = nextOffsets.get(partition);
      nextOffsets.set(partition, offset + 1);
      return [start + at, partition, offset];
    });
    call.event("acks", { acks });
  } catch (error) {
    process.stderr.write(`${error.stack}\n`);
    for (const at of records.keys()) failures.push([start + at, error.message]);
  }
}

/** A file of received records. */
export class RecordWriter {
  count = 0;
  #stream;

  constructor(path) {
    this.#stream = createWriteStream(path);
  }

  write({ partition, offset, timestamp, key, value, headers }) {
    const record = {
      p: partition,
      o: Number(offset),
      t: Number(timestamp),
      k: textOf(key),
      v: textOf(value),
      h: headers.map(([name, content]) => [String(name), textOf(content)]),
    };
    this.#stream.write(`${JSON.stringify(record)}\n`);
    this.count += 1;
  }

  async close() {
    await new Promise((resolve) => this.#stream.end(resolve));
  }
}

function readRecords(path) {
  const lines = readFileSync(path, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => {
    const { p, t, k, v, h } = JSON.parse(line);
    const headers = h.map(([name, content]) => [name, bytesOf(content)]);
    return { partition: p, timestamp: t, key: bytesOf(k), value: bytesOf(v), headers };
  });
}

function bytesOf(text) {
  return text === null ? null : Buffer.from(text, "base64");
}

function textOf(bytes) {
  return bytes === null || bytes === undefined ? null : Buffer.from(bytes).toString("base64");
}

function eventWriter(id) {
  return (event, fields) => write({ id, event, ...fields });
}

function write(answer) {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
