/**
 * Records golden protocol bytes: runs the real clients against Apache Kafka through a proxy and keeps one request
 * and its response for each API and version, into `test/fixtures/protocol/`:
 *
 *   bun test/protocol/golden/record.ts [CLIENT]... && biome check --write test/fixtures/protocol
 *
 * `<api>-v<N>.request.hex` and `.response.hex` hold a frame without its length; the first line tells where it comes
 * from. `<api>-v<N>.json` is what the `*JsonConverter` classes of kafka-clients 4.3.1 read in both bodies. What is
 * there already is kept: delete a file to record it anew.
 */
import { join } from "node:path";
import { API_MESSAGES } from "../../../src/protocol/generated/api-keys.ts";
import { kebabCase } from "../../../src/protocol/generator/model.ts";
import { Reader } from "../../../src/protocol/reader.ts";
import { readRequestHeader, readResponseHeader } from "../../../src/protocol/request-header.ts";
import { Broker } from "../../conformance/broker.ts";
import { kafka } from "../../conformance/broker-kinds.ts";
import { CLIENTS } from "../../conformance/clients.ts";
import { CACHE_DIRECTORY } from "../../conformance/paths.ts";
import { Bench, type Scenario } from "../../conformance/scenario.ts";
import { admin } from "../../conformance/scenarios/admin.ts";
import { consoleTools } from "../../conformance/scenarios/console-tools.ts";
import { groups } from "../../conformance/scenarios/groups.ts";
import { setUp } from "../../conformance/setup.ts";
import { JavaOracle, type OracleQuestion } from "../oracle/java-oracle.ts";
import { type Exchange, RecordingProxy } from "./recording-proxy.ts";

const RELEASE = "4.3.1";
const FIXTURES = join(import.meta.dir, "../../fixtures/protocol");
/** Larger frames teach nothing more. */
const FRAME_BYTES_MAX = 1_500;

const only = Bun.argv.slice(2);
const directory = join(CACHE_DIRECTORY, "golden");
await setUp();
const oracle = await JavaOracle.start();
let targetPort = 0;
const proxy = await RecordingProxy.start(() => targetPort);
const broker = await Broker.prepare(kafka({ heap: "512M", advertisedPort: proxy.port }), directory);
targetPort = broker.addresses.kafkaPort;
await broker.start();
try {
  for (const client of CLIENTS) {
    if (only.length > 0 && !only.includes(client.name)) continue;
    const bench = new Bench({ client, broker, directory, bootstrap: proxy.bootstrap });
    const scenarios = client.name === "java" ? [groups, admin, consoleTools] : [groups, admin];
    for (const scenario of scenarios) await attempt(bench, scenario);
    await bench.end();
    await keep(proxy.take(), client.title);
  }
} finally {
  proxy.stop();
  await broker.stop();
  await oracle.stop();
}

/** Runs a scenario for its traffic; whether it passes is not asked here. */
async function attempt(bench: Bench, scenario: Scenario): Promise<void> {
  try {
    await scenario.run(bench);
  } catch (thrown) {
    process.stdout.write(`${bench.client.name}/${scenario.name}: ${String(thrown)}\n`);
  }
}

/** Writes the largest small exchange of each API and version that has none yet. */
async function keep(exchanges: readonly Exchange[], client: string): Promise<void> {
  const best = new Map<string, Exchange>();
  for (const exchange of exchanges) {
    const name = nameOf(exchange);
    const largest = best.get(name);
    if (name === "" || sizeOf(exchange) > FRAME_BYTES_MAX || namesAPath(exchange)) continue;
    if (largest === undefined || sizeOf(exchange) > sizeOf(largest)) best.set(name, exchange);
  }
  for (const [name, exchange] of best) {
    const path = join(FIXTURES, name);
    if (await Bun.file(`${path}.json`).exists()) continue;
    const origin = `# ${client}, Apache Kafka ${RELEASE}, ${new Date().toISOString().slice(0, 10)}`;
    await Bun.write(`${path}.request.hex`, `${origin}\n${hexOf(exchange.request)}\n`);
    await Bun.write(`${path}.response.hex`, `${origin}\n${hexOf(exchange.response)}\n`);
    const bodies = await bodiesAsJson(exchange);
    await Bun.write(`${path}.json`, `${JSON.stringify(bodies, undefined, 2)}\n`);
    process.stdout.write(`${name}: ${client}\n`);
  }
}

/** What Kafka's own classes read in both bodies. */
async function bodiesAsJson({ request, response }: Exchange): Promise<unknown> {
  const reader = new Reader(request);
  const { apiKey, apiVersion } = readRequestHeader(reader);
  const answer = new Reader(response);
  readResponseHeader(answer, apiKey, apiVersion);
  const api = API_MESSAGES.find((candidate) => candidate.apiKey === apiKey)?.name ?? "";
  const question = (kind: string, body: Uint8Array): OracleQuestion => {
    return ["decode", RELEASE, api + kind, apiVersion, Buffer.from(body).toString("base64")];
  };
  const [asked, answered] = await oracle.ask([
    question("Request", request.subarray(reader.position)),
    question("Response", response.subarray(answer.position)),
  ]);
  if (asked?.json === undefined || answered?.json === undefined) {
    throw new Error(`${api} v${apiVersion}: ${asked?.error ?? ""} ${answered?.error ?? ""}`);
  }
  return { request: asked.json, response: answered.json };
}

/** `fetch-v17`; empty for an API that is not known. */
function nameOf({ request }: Exchange): string {
  const { apiKey, apiVersion, headerVersion } = readRequestHeader(new Reader(request));
  const api = API_MESSAGES.find((candidate) => candidate.apiKey === apiKey);
  return api === undefined || headerVersion < 0 ? "" : `${kebabCase(api.name)}-v${apiVersion}`;
}

function sizeOf({ request, response }: Exchange): number {
  return Math.max(request.length, response.length);
}

/** Whether a path of this machine is in it. */
function namesAPath({ response }: Exchange): boolean {
  return Buffer.from(response).includes(directory);
}

function hexOf(bytes: Uint8Array): string {
  return (
    Buffer.from(bytes)
      .toString("hex")
      .match(/.{1,100}/g) ?? []
  ).join("\n");
}
