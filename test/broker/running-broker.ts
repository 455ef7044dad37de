/** A broker in this process, over a directory of its own that goes with it. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Broker, startBroker } from "../../src/broker.ts";
import { loadConfig } from "../../src/config.ts";
import { systemClock } from "../../src/core/clock.ts";
import { systemDisk } from "../../src/core/disk.ts";
import { silentLogger } from "../../src/core/logger.ts";

export class RunningBroker {
  readonly dataDir: string;
  #broker: Broker | undefined;

  private constructor(dataDir: string) {
    this.dataDir = dataDir;
  }

  static async start(...flags: readonly string[]): Promise<RunningBroker> {
    const running = new RunningBroker(await mkdtemp(join(tmpdir(), "chronik-broker-")));
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
      disk: systemDisk,
      clock: systemClock,
      logger: silentLogger,
      version: "test",
      onFailure: (reason) => {
        throw reason;
      },
    });
  }

  async stop(): Promise<void> {
    await this.#broker?.stop();
    this.#broker = undefined;
  }

  async remove(): Promise<void> {
    await this.stop();
    await rm(this.dataDir, { recursive: true, force: true });
  }
}
