/** The process: command line in, broker up, signals to a clean stop, failures to one line and an exit code. */

import { type Broker, startBroker } from "./broker.ts";
import { type Invocation, readInvocation, readyLine } from "./cli/command-line.ts";
import { SUBCOMMANDS, type SubcommandEntry, subcommandOf } from "./cli/subcommands.ts";
import { effectiveSettings } from "./config.ts";
import { keepProcessAlive, systemClock } from "./core/clock.ts";
import { readWholeFile, systemDisk } from "./core/disk.ts";
import { createLogger, type LogLevel } from "./core/logger.ts";
import { VERSION } from "./version.ts";

/** Exit code of a broker that could not start, or had to stop. */
const EXIT_CODE_FAILURE = 1;

async function main(): Promise<void> {
  const [name = "", ...args] = process.argv.slice(2);
  const isHelp = name === "help";
  const subcommand = subcommandOf(isHelp ? (args[0] ?? "") : name);
  if (subcommand !== undefined) return runInstead(subcommand, isHelp ? ["--help"] : args);
  const invocation = await readInvocation(
    {
      argv: process.argv.slice(2),
      subcommands: SUBCOMMANDS.map((entry) => entry.name),
      // biome-ignore lint/style/noProcessEnv: the one place where the environment comes in.
      env: process.env,
      readFile: readTextFile,
    },
    VERSION,
  );
  switch (invocation.kind) {
    case "print":
      process.stdout.write(invocation.text);
      return;
    case "refuse":
      process.stderr.write(invocation.text);
      process.exit(invocation.exitCode);
      return;
    case "run":
      await run(invocation);
  }
}

/** Runs a subcommand, whose program is loaded only now, instead of the broker. */
async function runInstead(subcommand: SubcommandEntry, args: readonly string[]): Promise<void> {
  const { runSubcommand } = await import("./cli/run-subcommand.ts");
  keepProcessAlive(); // What a subcommand waits for may be timers alone.
  process.exit(await runSubcommand(subcommand, args));
}

/** Runs the broker until a signal or a failure ends it. */
async function run({ config, warnings }: Extract<Invocation, { kind: "run" }>): Promise<void> {
  const logger = createLogger(config.logLevel as LogLevel, (line) => process.stderr.write(line));
  logger.info("broker_config", effectiveSettings(config));
  for (const warning of warnings) logger.warn("broker_config_warning", { warning });
  let broker: Broker | undefined;
  let isStopping = false;
  const stop = async (exitCode: number): Promise<void> => {
    if (isStopping) return;
    isStopping = true;
    keepProcessAlive(); // Until the last line: what is waited for may be timers alone.
    try {
      await broker?.stop(exitCode === 0);
    } catch (thrown) {
      logger.error("broker_stop_failed", { reason: reasonOf(thrown) });
      process.exit(EXIT_CODE_FAILURE);
    }
    process.exit(exitCode);
  };
  const onFailure = (reason: unknown): void => {
    if (broker === undefined && !isStopping) refuseStart(reason);
    logger.error("broker_failed", { reason: stackOf(reason) });
    void stop(EXIT_CODE_FAILURE); // Ends the process.
  };
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      logger.info("broker_stopping", { signal });
      void stop(0); // Ends the process.
    });
  }
  process.on("uncaughtException", onFailure);
  process.on("unhandledRejection", onFailure);
  try {
    broker = await startBroker({
      config,
      disk: systemDisk,
      clock: systemClock,
      logger,
      version: VERSION,
      onFailure,
    });
  } catch (thrown) {
    refuseStart(thrown);
  }
  const { kafkaPort, httpPort } = broker;
  const addresses = { host: config.bindAddr, kafkaPort, httpPort, dataDir: config.dataDir };
  process.stdout.write(readyLine(addresses, systemClock.monotonicMs()));
}

/** One line for the person who started it, and the end. */
function refuseStart(reason: unknown): never {
  process.stderr.write(`chronik-server: ${reasonOf(reason)}\n`);
  process.exit(EXIT_CODE_FAILURE);
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

function stackOf(thrown: unknown): string {
  return thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
}

async function readTextFile(path: string): Promise<string> {
  const bytes = await readWholeFile(systemDisk, path);
  if (bytes === undefined) throw new Error(`${path} does not exist.`);
  return new TextDecoder().decode(bytes);
}

await main();
