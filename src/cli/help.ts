/** The texts of `--help` and `--version`, and the README's table; all from the one table of settings. */

import { kebabOf } from "../config/setting-spelling.ts";
import { SETTING_NAMES, type SettingName, settingOf } from "../config/settings.ts";
import { formatBytes } from "../config/units.ts";
import { formatValue } from "../config/values.ts";
import { SUBCOMMANDS } from "./subcommands.ts";

const INTRODUCTION = `chronik-server: a Kafka-compatible broker whose records are searchable a second after they are written.

Usage: chronik-server [flags] [command]
       chronik-server SUBCOMMAND ...     (SUBCOMMAND --help tells more)

Commands:
  standalone   Run one broker with everything in it (the default).
  help         Print this text.
  version      Print the version.

Subcommands:
${SUBCOMMANDS.map(({ name, summary }) => `  ${name.padEnd(10)}   ${summary}`).join("\n")}

Flags:
  -h, --help
  -V, --version
  -c, --config FILE
        A TOML file with settings, for example: kafka_port = 9092
`;

const CLOSING = `
Every flag --some-name is also the variable CHRONIK_SOME_NAME and the TOML key some_name. A flag wins over a
variable, a variable over the file. KAFKA_LISTENERS, KAFKA_ADVERTISED_LISTENERS and KAFKA_<KEY> of the settings
that name a Kafka key are understood as well. Sizes take K, M, G and T (powers of 1024), times ms, s, m, h and d.
`;

/** The whole help text. */
export function helpText(): string {
  return INTRODUCTION + SETTING_NAMES.map(flagText).join("") + CLOSING;
}

/** The settings as a Markdown table. */
export function settingsTable(): string {
  const rows = SETTING_NAMES.map((name) => {
    const setting = settingOf(name);
    const cells = [`\`--${kebabOf(name)}\``, defaultOf(name), boundsOf(name), setting.help];
    return `| ${cells.join(" | ")} |\n`;
  });
  return `| flag | default | bounds | what it does |\n|---|---|---|---|\n${rows.join("")}`;
}

function flagText(name: SettingName): string {
  const setting = settingOf(name);
  const spelling = kebabOf(name);
  const flag =
    setting.kind === "boolean" ? `--[no-]${spelling}` : `--${spelling} ${placeholderOf(name)}`;
  const facts = [`default ${defaultOf(name) || "none"}`, boundsOf(name)];
  if (setting.kafkaKey !== undefined) facts.push(`Kafka's ${setting.kafkaKey}`);
  return `  ${flag}\n        ${setting.help}\n        [${facts.filter(Boolean).join("; ")}]\n`;
}

function placeholderOf(name: SettingName): string {
  const setting = settingOf(name);
  switch (setting.kind) {
    case "duration":
      return setting.unit.toUpperCase();
    case "bytes":
      return "SIZE";
    case "count":
      return "N";
    case "address":
      return "HOST[:PORT]";
    default:
      return name === "dataDir" ? "DIR" : name.endsWith("Addr") ? "ADDRESS" : "NAME";
  }
}

function boundsOf(name: SettingName): string {
  const setting = settingOf(name);
  switch (setting.kind) {
    case "choice":
      return setting.values.join(", ");
    case "bytes":
      return `${formatBytes(setting.min)} to ${formatBytes(setting.max)}`;
    case "count":
    case "duration":
      return `${setting.min} to ${setting.max}`;
    default:
      return "";
  }
}

function defaultOf(name: SettingName): string {
  const setting = settingOf(name);
  if (setting.kind === "bytes" && setting.derived) return "a share of memory-max";
  return formatValue(setting, setting.default);
}
