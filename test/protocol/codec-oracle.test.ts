/**
 * Kafka's own classes as the judge, for every message in every version of both releases: they must read our
 * bytes as the same JSON, write the same bytes again, and write the same bytes for our JSON.
 */
import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { systemRandom } from "../../src/core/clock.ts";
import { ALL_MESSAGES, type MessageCodec } from "../../src/protocol/generated/all-messages.ts";
import { RELEASES } from "../../src/protocol/generator/kafka-definitions.ts";
import { Reader } from "../../src/protocol/reader.ts";
import { Writer } from "../../src/protocol/writer.ts";
import { EntropyReader } from "./entropy-reader.ts";
import { JavaOracle, type OracleAnswer } from "./oracle/java-oracle.ts";
import { differences, kafkaJsonText, withoutUnknownFields } from "./oracle/kafka-json.ts";

const MESSAGES_PER_VERSION = 6;
const ENTROPY_BYTES_MAX = 400;
/** Early-access versions of 3.9.1 that later releases gave another form. */
const REDEFINED = new Set(["ReadShareGroupStateSummaryResponse v0"]);

const seed = fc.readConfigureGlobal().seed ?? Math.trunc(systemRandom() * 2 ** 31);

/** One made-up message in one version, as one release is asked about it. */
interface Question {
  readonly release: string;
  readonly version: number;
  readonly message: unknown;
  readonly bytes: Uint8Array;
  /** False where field names differ from those of the release that the codec follows. */
  readonly isJsonComparable: boolean;
}

const oracle = await startOracle();

afterAll(async () => {
  if (oracle instanceof JavaOracle) await oracle.stop();
});

async function startOracle(): Promise<JavaOracle | string> {
  try {
    return await JavaOracle.start();
  } catch (thrown) {
    const reason = String(thrown);
    process.stderr.write(`SKIPPED: codecs are not compared with Kafka's own classes: ${reason}\n`);
    return reason;
  }
}

if (oracle instanceof JavaOracle) {
  test.each(ALL_MESSAGES)("oracle: $name is Kafka's in every version", async (codec) => {
    await compare(oracle, codec);
  });
} else {
  test.skipIf(Bun.env["CI"] !== "true")(`oracle: not available: ${oracle}`, () => {
    throw new Error("With CI=true the comparison must run.");
  });
}

async function compare(oracle: JavaOracle, codec: MessageCodec): Promise<void> {
  const questions = await questionsAbout(oracle, codec);
  const decoded = await oracle.ask(
    questions.map(({ release, version, bytes }) => [
      "decode",
      release,
      codec.name,
      version,
      base64(bytes),
    ]),
  );
  const faults = questions.flatMap((question, i) =>
    decodeFaults(codec, question, decoded[i] ?? {}),
  );
  expect(faults).toEqual([]);
  const comparable = questions.flatMap((question, i) =>
    question.isJsonComparable ? [{ ...question, json: decoded[i]?.json }] : [],
  );
  const encoded = await oracle.ask(
    comparable.map(({ release, version, message, json }) => [
      "encode",
      release,
      codec.name,
      version,
      kafkaJsonText(message, json),
    ]),
  );
  expect(encoded).toEqual(comparable.map(({ bytes }) => ({ encoded: base64(bytes) })));
}

/** Made-up messages for all versions that the releases have; these must be the codec's. */
async function questionsAbout(oracle: JavaOracle, codec: MessageCodec): Promise<Question[]> {
  const ranges = await oracle.ask(RELEASES.map((release) => ["versions", release, codec.name]));
  const asked = new Set<number>();
  const questions: Question[] = [];
  for (const [index, release] of RELEASES.entries()) {
    const { lowest = 0, highest = -1 } = ranges[index] ?? {};
    for (let version = lowest; version <= highest; version += 1) {
      const isOwner = !asked.has(version);
      asked.add(version);
      if (isOwner || !REDEFINED.has(`${codec.name} v${version}`)) {
        questions.push(...questionsFor(codec, version, release, isOwner));
      }
    }
  }
  const count = codec.maxVersion - codec.minVersion + 1;
  const served = Array.from({ length: count }, (_, i) => codec.minVersion + i);
  expect([...asked].sort((a, b) => a - b)).toEqual(served);
  return questions;
}

/** Messages with and without tagged fields that nobody knows; JSON cannot carry them. */
function questionsFor(
  codec: MessageCodec,
  version: number,
  release: string,
  isOwner: boolean,
): Question[] {
  const entropies = fc.sample(fc.uint8Array({ maxLength: ENTROPY_BYTES_MAX, size: "max" }), {
    numRuns: MESSAGES_PER_VERSION,
    seed,
  });
  return [new Uint8Array(0), ...entropies].map((entropy, index) => {
    const whole = codec.read(new EntropyReader(entropy), version);
    const isJsonComparable = isOwner && index % 2 === 0;
    const message = isJsonComparable ? withoutUnknownFields(whole) : whole;
    const writer = new Writer();
    codec.write(writer, message, version);
    return { release, version, message, bytes: writer.bytesWritten(), isJsonComparable };
  });
}

function decodeFaults(codec: MessageCodec, question: Question, answer: OracleAnswer): string[] {
  const { bytes, message, version, release, isJsonComparable } = question;
  const subject = `SEED=${seed}: ${codec.name} v${version} in ${release}`;
  if (answer.error !== undefined) return [`${subject}: ${answer.error}`];
  const faults = isJsonComparable ? differences(answer.json, message) : [];
  if (answer.unread !== 0) faults.push(`${answer.unread} bytes were not read`);
  if (answer.encoded !== base64(bytes)) faults.push(`written again as ${answer.encoded}`);
  if (!Bun.deepEquals(codec.read(new Reader(bytes), version), message)) {
    faults.push("reads back as another message");
  }
  return faults.map((fault) => `${subject}: ${fault}`);
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}
