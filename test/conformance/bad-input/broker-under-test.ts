/**
 * The broker that hostile bytes are thrown at: Chronik from the source tree, so that `bun test` needs no build, or
 * what `CONFORMANCE_BROKER` names: `compiled` for `dist/chronik-server`, `kafka` for Apache Kafka 4.3.1 (which
 * `bun test/conformance/setup.ts java` must have installed). Both must give the same answers.
 */
import { afterAll, beforeAll, expect } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { batchOfValues, RawKafkaClient } from "../../smoke/kafka-client.ts";
import { Broker, type BrokerKind } from "../broker.ts";
import { chronik, kafka } from "../broker-kinds.ts";

const MIB = 2 ** 20;
const CHOSEN = Bun.env["CONFORMANCE_BROKER"] ?? "source";
export const isPeer = CHOSEN === "kafka";

/** What the broker may keep of all the hostile bytes together. */
const GROWTH_BYTES_MAX = 96 * MIB;
const TICKS_PER_SECOND = 100;

function chosenKind(): BrokerKind {
  return isPeer ? kafka({ heap: "512M" }) : chronik({ source: CHOSEN === "source" });
}

/** One broker for a test file, and a client that was there before and must not notice anything. */
export class BrokerUnderTest {
  #broker: Broker | undefined;
  #bystander: RawKafkaClient | undefined;
  #bystanderOffset = 0;

  constructor() {
    const directory = mkdtempSync(join(tmpdir(), "chronik-bad-input-"));
    beforeAll(async () => {
      this.#broker = await Broker.start(chosenKind(), directory);
      this.#bystander = await RawKafkaClient.connect(this.port);
      await this.createTopic("bystander");
    });
    afterAll(async () => {
      await this.#broker?.kill();
      rmSync(directory, { recursive: true, force: true });
    });
  }

  get port(): number {
    return this.#running.addresses.kafkaPort;
  }

  async connect(): Promise<RawKafkaClient> {
    return await RawKafkaClient.connect(this.port);
  }

  /** Creates a topic by asking for it, and waits until its partition 0 takes records: Kafka answers earlier. */
  async createTopic(topic: string): Promise<void> {
    const client = await this.connect();
    let offset = -1;
    await client.touchTopic(topic);
    for (let tries = 0; tries < 100 && offset !== 0; tries += 1) {
      const answer = await client.fetch(topic, 0);
      offset = answer.errorCode === 0 ? answer.highWatermark : -1;
      if (offset !== 0) await Bun.sleep(20);
    }
    client.close();
    expect(offset).toBe(0);
  }

  /** The connection that was open before is served as ever, and new ones are taken. */
  async expectOthersUnharmed(): Promise<void> {
    const answer = await this.#bystander?.produce("bystander", batchOfValues(["all is well"]));
    expect(answer).toMatchObject({ errorCode: 0, baseOffset: this.#bystanderOffset });
    this.#bystanderOffset += 1;
    const client = await this.connect();
    const fetched = await client.fetch("bystander", this.#bystanderOffset - 1);
    expect(fetched.highWatermark).toBe(this.#bystanderOffset);
    client.close();
  }

  /** Runs `work` and checks that the broker's memory has hardly grown. The peer's heap has a fixed size. */
  async expectNoGrowth(work: () => Promise<void>, bytesMax = GROWTH_BYTES_MAX): Promise<void> {
    const beforeBytes = this.residentBytes();
    await work();
    const grownBytes = this.residentBytes() - beforeBytes;
    if (!isPeer) expect(grownBytes).toBeLessThan(bytesMax);
  }

  residentBytes(): number {
    const status = readFileSync(`/proc/${this.#running.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
  }

  openFileCount(): number {
    return readdirSync(`/proc/${this.#running.pid}/fd`).length;
  }

  /** Processor time used so far, in seconds. */
  cpuSeconds(): number {
    const stat = readFileSync(`/proc/${this.#running.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
  }

  get #running(): Broker {
    if (!this.#broker) throw new Error("The broker is not started.");
    return this.#broker;
  }
}
