/**
 * `GET /_cat/indices`: the topics as Elasticsearch lists its indexes (source: Elasticsearch reference, "cat
 * indices API"). What a topic does not have is empty.
 */

import { argumentError } from "../search/elasticsearch-error.ts";
import { flagOf, parametersOf } from "../search/search-request.ts";
import { selectTopics } from "../search/topic-selection.ts";

/** A topic as it is listed. */
export interface TopicSummary {
  readonly topicId: string;
  readonly name: string;
  readonly partitionCount: number;
  /** Between the logs' starts and ends. */
  readonly recordCount: number;
}

export interface CatListing {
  readonly isJson: boolean;
  readonly text: string;
}

const PARAMETERS = ["format", "v", "h", "s", "pretty", "ignore_unavailable", "allow_no_indices"];

type Row = Readonly<Record<string, string | null>>;

/** @param expression names and patterns; undefined for all topics. @throws SearchError 400, 404 */
export function catIndices(
  expression: string | undefined,
  query: string,
  topics: Iterable<TopicSummary>,
): CatListing {
  const parameters = parametersOf(query, PARAMETERS);
  const format = parameters.get("format") ?? "text";
  if (format !== "text" && format !== "json") {
    throw argumentError(`[format] is [text] or [json], not [${format.slice(0, 100)}]`);
  }
  const all = [...topics];
  const selected = selectTopics(expression, all, {
    ignoresMissing: flagOf(parameters, "ignore_unavailable", false),
    allowsNone: flagOf(parameters, "allow_no_indices", true),
  });
  const rows = all
    .filter(({ topicId }) => selected.has(topicId))
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .map(rowOf);
  const columns = columnsOf(parameters.get("h"));
  const sort = parameters.get("s") ?? "index";
  if (sort !== "index") throw argumentError("[s] is [index]: topics are listed by name");
  if (format === "json") {
    const shown = rows.map((row) =>
      Object.fromEntries(columns.map((column) => [column, row[column] ?? null])),
    );
    const indent = flagOf(parameters, "pretty", false) ? 2 : undefined;
    return { isJson: true, text: `${JSON.stringify(shown, undefined, indent)}\n` };
  }
  const cells = rows.map((row) => columns.map((column) => row[column] ?? ""));
  return {
    isJson: false,
    text: table(flagOf(parameters, "v", false) ? [columns, ...cells] : cells),
  };
}

function rowOf({ name, topicId, partitionCount, recordCount }: TopicSummary): Row {
  return {
    health: "green",
    status: "open",
    index: name,
    uuid: topicId,
    pri: String(partitionCount),
    rep: "0",
    "docs.count": String(recordCount),
    "docs.deleted": "0",
    "store.size": null,
    "pri.store.size": null,
  };
}

const COLUMNS = Object.keys(rowOf({ topicId: "", name: "", partitionCount: 0, recordCount: 0 }));

function columnsOf(names: string | undefined): readonly string[] {
  if (names === undefined) return COLUMNS;
  const columns = names.split(",");
  const unknown = columns.find((column) => !COLUMNS.includes(column));
  if (unknown !== undefined) {
    throw argumentError(`[h] knows ${COLUMNS.join(", ")}, not [${unknown.slice(0, 100)}]`);
  }
  return columns;
}

/** Columns of equal width. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_cell, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map(
      (row) =>
        `${row
          .map((cell, column) => cell.padEnd(widths[column] ?? 0))
          .join(" ")
          .trimEnd()}\n`,
    )
    .join("");
}
