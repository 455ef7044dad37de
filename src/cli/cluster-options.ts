/** Where the broker is: options that several subcommands share. */

import type { OptionSpec } from "./arguments.ts";

export const BOOTSTRAP_DEFAULT = "127.0.0.1:9092";

export const BOOTSTRAP_OPTION: OptionSpec = {
  kind: "text",
  short: "b",
  value: "HOST:PORT",
  help: `Brokers, separated by commas [default ${BOOTSTRAP_DEFAULT}].`,
};

export const HTTP_DEFAULT = "http://127.0.0.1:6092";

export const HTTP_OPTION: OptionSpec = {
  kind: "text",
  value: "URL",
  help: `The broker's HTTP port [default ${HTTP_DEFAULT}].`,
};
