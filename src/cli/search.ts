/** `chronik-server search`: finds records by their text, newest first. */

import { systemClock } from "../core/clock.ts";
import { logPositionOf } from "../http/log-position.ts";
import { SearchError } from "../search/elasticsearch-error.ts";
import { type Arguments, type Usage, UsageError } from "./arguments.ts";
import { HTTP_DEFAULT, HTTP_OPTION } from "./cluster-options.ts";
import { fetchJson } from "./http-client.ts";
import { dateText } from "./record-format.ts";
import type { Subcommand } from "./subcommands.ts";
import type { Terminal } from "./terminal.ts";

const SIZE_DEFAULT = 10;

const USAGE: Usage = {
  forms: ["TEXT [--topic NAME] [--from TIME] [--to TIME] [--size N] [--json]"],
  options: {
    http: HTTP_OPTION,
    topic: {
      kind: "text",
      short: "t",
      value: "NAME",
      help: "Only there; names and patterns (orders-*), separated by commas.",
    },
    from: { kind: "text", short: "o", value: "TIME", help: "Only records at or after this time." },
    to: { kind: "text", value: "TIME", help: "Only records before this time." },
    size: { kind: "text", short: "n", value: "N", help: `Hits at most [default ${SIZE_DEFAULT}].` },
    json: { kind: "flag", short: "J", help: "One JSON object a line." },
  },
  notes: `TEXT: words that must all occur in key, value or headers; "a phrase", a OR b, NOT c, wild*, field:value as in
customer.city:paris, field:>5, (groups). It may be several arguments.

TIME: in UTC as in 2026-01-31T10:00, in ms since 1970, or so long ago: -15m, -2h, -1d.

A hit is one line: time, topic/partition/offset, key, value. A record is found about a second after it was written.
`,
};

const SIZE_MAX = 1_000_000;
/** Line feeds and other control characters would break the line, or the terminal. */
const CONTROL_CHARACTERS = /\p{Cc}+/gu;

/** A record as a search shows it. */
interface Source {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestamp: number;
  readonly key: string | null;
  readonly value: string | null;
}

/** What is used of the answer to a search. */
interface SearchAnswer {
  readonly _shards: { readonly failed: number };
  readonly hits: {
    readonly total: { readonly value: number };
    readonly hits: readonly { readonly _source: Source }[];
  };
}

export const searchCommand: Subcommand = {
  usage: USAGE,
  run: async (args, terminal) => {
    const text = args.words.join(" ");
    if (text.trim() === "") throw new UsageError("The text to look for is missing.");
    const topic = args.text("topic");
    const place = topic === undefined ? "" : `/${encodeURIComponent(topic)}`;
    const url = `${urlOf(args.text("http") ?? HTTP_DEFAULT)}${place}/_search`;
    const body = {
      query: { bool: { must: queryOf(text), filter: rangeOf(args) } },
      sort: [{ _timestamp: "desc" }],
      size: args.count("size", { min: 0, max: SIZE_MAX }) ?? SIZE_DEFAULT,
      track_total_hits: true,
    };
    const { hits, _shards: shards } = (await fetchJson(url, body)) as SearchAnswer; // A broker of this version.
    for (const { _source: source } of hits.hits) {
      const line = args.has("json") ? JSON.stringify(source) : hitLine(source, terminal);
      await terminal.write(`${line}\n`);
    }
    await terminal.flush();
    const { value: total } = hits.total;
    if (total > hits.hits.length) {
      terminal.tell(`${hits.hits.length} of ${total} hits, the newest; --size N shows more.`);
    }
    if (shards.failed > 0) {
      terminal.tell(`Parts of the index can't be read (${shards.failed}): there may be more hits.`);
    }
    return 0;
  },
};

function queryOf(text: string): object {
  return { query_string: { query: text, default_operator: "and" } };
}

function rangeOf(args: Arguments): object[] {
  const [from, to] = [timeOf(args, "from"), timeOf(args, "to")];
  if (from === undefined && to === undefined) return [];
  const bounds = {
    ...(from === undefined ? {} : { gte: from }),
    ...(to === undefined ? {} : { lt: to }),
  };
  return [{ range: { _timestamp: bounds } }];
}

function timeOf(args: Arguments, name: string): number | undefined {
  const text = args.text(name);
  if (text === undefined) return undefined;
  try {
    const position = logPositionOf(text, systemClock.nowMs());
    if (position.kind === "time") return position.timestampMs;
  } catch (thrown) {
    if (!(thrown instanceof SearchError)) throw thrown;
  }
  throw new UsageError(`--${name} does not understand "${text}"; --help lists what it takes.`);
}

/** Without a slash at the end. */
function urlOf(text: string): string {
  const url = text.includes("://") ? text : `http://${text}`;
  if (!URL.canParse(url)) throw new UsageError(`"${text}" is no URL.`);
  return url.replace(/\/+$/, "");
}

/** One line, cut to the terminal's width if there is one. */
function hitLine(source: Source, { columns }: Terminal): string {
  const { topic, partition, offset, timestamp, key, value } = source;
  const parts = [dateText(timestamp), `${topic}/${partition}/${offset}`];
  if (key !== null) parts.push(key);
  if (value !== null) parts.push(value);
  const line = parts.join("  ").replaceAll(CONTROL_CHARACTERS, " ");
  return columns === undefined ? line : Bun.sliceAnsi(line, 0, columns);
}
