/** A broker in this process, over a directory of its own that goes with it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, startBroker } from "../../src/broker.ts";
import { loadConfig } from "../../src/config.ts";
import { type Clock, systemClock } from "../../src/core/clock.ts";
import { type Disk, systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";

export class RunningBroker {
  readonly dataDir: string;
  /** What the broker said when it could not go on. */
  failure: unknown;
  readonly #disk: Disk;
  readonly #clock: Clock;
  #broker: Broker | undefined;

  private constructor(dataDir: string, disk: Disk, clock: Clock) {
    this.dataDir = dataDir;
    this.#disk = disk;
    this.#clock = clock;
  }

  static start(...flags: readonly string[]): Promise<RunningBroker> {
    return RunningBroker.startOn(systemDisk, ...flags);
  }

  static async startOn(disk: Disk, ...flags: readonly string[]): Promise<RunningBroker> {
    return await RunningBroker.startWith({ disk, clock: systemClock }, ...flags);
  }

  static async startWith(
    { disk, clock }: { readonly disk: Disk; readonly clock: Clock },
    ...flags: readonly string[]
  ): Promise<RunningBroker> {
    const dataDir = await mkdtemp(join(tmpdir(), "chronik-broker-"));
    const running = new RunningBroker(dataDir, disk, clock);
    await running.start(...flags);
    return running;
  }

  get kafkaPort(): number {
    return this.#broker?.kafkaPort ?? 0;
  }

  get httpPort(): number {
    return this.#broker?.httpPort ?? 0;
  }

  async start(...flags: readonly string[]): Promise<void> {
    const ports = ["--kafka-port", "0", "--http-port", "0"];
    const { config } = await loadConfig({
      argv: ["--data-dir", this.dataDir, ...ports, ...flags],
      env: {},
      readFile: async () => "",
    });
    this.#broker = await startBroker({
      config,
      disk: this.#disk,
      clock: this.#clock,
      logger: silentLogger,
      version: "test",
      onFailure: (reason) => {
        this.failure = reason;
      },
    });
  }

  async stop(): Promise<void> {
    await this.#broker?.stop(this.failure === undefined);
    this.#broker = undefined;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
