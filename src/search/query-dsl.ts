/**
 * Elasticsearch's query DSL, as far as it is spoken here, made into queries for the shim (source:
 * Elasticsearch reference, "Query DSL"). What is not spoken (a query type, an option) is a 400 with the
 * reason: nothing is read and ignored.
 *
 * Spoken: match_all, match_none, match, match_phrase, match_phrase_prefix, multi_match, term, terms, range,
 * exists, prefix, wildcard, bool, dis_max, constant_score, query_string.
 */

import type { ShimQuery, ShimValue } from "../core/shim-query.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import {
  booleanOf,
  checkKeys,
  countOf,
  isObject,
  type JsonObject,
  kindOf,
  numberOf,
  objectOf,
  soleEntryOf,
  stringOf,
} from "./json-reader.ts";
import {
  ALL_FIELDS,
  boostOf,
  fieldOf,
  type MatchOptions,
  matchQuery,
  overFields,
  phraseQuery,
  prefixQuery,
  type QueryContext,
  rangeQuery,
  termQuery,
  termsQuery,
  wildcardQuery,
} from "./leaf-query.ts";
import { parseQueryString } from "./query-string.ts";

/** Clauses of one request, all levels together. */
export const CLAUSES_MAX = 1024;
/** Queries within queries. */
const DEPTH_MAX = 30;
const TERMS_MAX = 65_536;
const DATE_FORMATS = ["epoch_millis", "strict_date_optional_time", "date_optional_time"];

/** What one request has used up of its limits. */
interface Parsing extends QueryContext {
  clauseCount: number;
}

/** The query that `json`, the value of "query", stands for. @throws SearchError 400 */
export function queryOf(json: unknown, context: QueryContext): ShimQuery {
  return parseQuery(json, { ...context, clauseCount: 0 }, 1);
}

type Parser = (body: unknown, parsing: Parsing, depth: number) => ShimQuery;

const PARSERS: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ["match_all", (body) => ({ kind: "all", ...emptyBodyOf(body, "match_all") })],
  ["match_none", (body) => ({ kind: "none", ...emptyBodyOf(body, "match_none") })],
  ["match", parseMatch],
  ["match_phrase", (body, parsing) => parsePhrase(body, parsing, "match_phrase")],
  ["match_phrase_prefix", (body, parsing) => parsePhrase(body, parsing, "match_phrase_prefix")],
  ["multi_match", parseMultiMatch],
  ["term", parseTerm],
  ["terms", parseTerms],
  ["range", parseRange],
  ["exists", parseExists],
  ["prefix", (body) => parsePattern(body, "prefix")],
  ["wildcard", (body) => parsePattern(body, "wildcard")],
  ["bool", parseBool],
  ["dis_max", parseDisMax],
  ["constant_score", parseConstantScore],
  ["query_string", parseQueryStringQuery],
]);

function parseQuery(json: unknown, parsing: Parsing, depth: number): ShimQuery {
  if (depth > DEPTH_MAX) throw argumentError(`queries are nested deeper than ${DEPTH_MAX}`);
  parsing.clauseCount += 1;
  if (parsing.clauseCount > CLAUSES_MAX) {
    throw argumentError(`the query has more than ${CLAUSES_MAX} clauses`);
  }
  const [name, body] = soleEntryOf(json, "[query]");
  const parser = PARSERS.get(name);
  if (parser === undefined) throw parsingError(`unknown query [${name.slice(0, 100)}]`);
  return parser(body, parsing, depth);
}

function emptyBodyOf(body: unknown, name: string): { readonly boost?: number } {
  const options = objectOf(body, `[${name}]`);
  checkKeys(options, ["boost"], `[${name}]`);
  return boostIn(options, name);
}

/** The one field of a query, and its options; a bare value stands for the option `shorthand`. */
function fieldBodyOf(
  body: unknown,
  name: string,
  { shorthand, allowed }: { readonly shorthand: string; readonly allowed: readonly string[] },
): { readonly field: string; readonly options: JsonObject } {
  const [fieldName, value] = soleEntryOf(body, `[${name}]`);
  const field = fieldOf(fieldName);
  const options = isObject(value) ? value : { [shorthand]: value };
  checkKeys(options, [shorthand, "boost", ...allowed], `[${name}]`);
  if (options[shorthand] === undefined) throw parsingError(`[${name}] needs [${shorthand}]`);
  return { field, options };
}

function parseMatch(body: unknown, parsing: Parsing): ShimQuery {
  const allowed = ["operator", "minimum_should_match"];
  const { field, options } = fieldBodyOf(body, "match", { shorthand: "query", allowed });
  const text = scalarOf(options["query"], "[match]");
  const matchOptions = { ...matchOptionsOf(options, "match"), nowMs: parsing.nowMs };
  return overFields([field], (one) => matchQuery(one, text, matchOptions));
}

function matchOptionsOf(options: JsonObject, name: string): MatchOptions {
  const operator = options["operator"];
  const minimum = options["minimum_should_match"];
  return {
    ...(operator === undefined ? {} : { operator: operatorOf(operator, name) }),
    ...(minimum === undefined ? {} : { minimumShouldMatch: minimumOf(minimum, name) }),
    ...boostIn(options, name),
  };
}

function parsePhrase(body: unknown, parsing: Parsing, name: string): ShimQuery {
  const isPrefix = name === "match_phrase_prefix";
  const allowed = isPrefix ? [] : ["slop"];
  const { field, options } = fieldBodyOf(body, name, { shorthand: "query", allowed });
  const text = scalarOf(options["query"], `[${name}]`);
  const slop = options["slop"] === undefined ? 0 : countOf(options["slop"], `[${name}] slop`);
  const phraseOptions = { nowMs: parsing.nowMs, slop, isPrefix, ...boostIn(options, name) };
  return overFields([field], (one) => phraseQuery(one, text, phraseOptions));
}

function parseMultiMatch(body: unknown, parsing: Parsing): ShimQuery {
  const name = "multi_match";
  const options = objectOf(body, `[${name}]`);
  const allowed = ["query", "fields", "type", "operator", "minimum_should_match", "boost"];
  checkKeys(options, allowed, `[${name}]`);
  const text = scalarOf(options["query"], `[${name}]`);
  const type = options["type"] ?? "best_fields";
  const matchOptions = { ...matchOptionsOf(options, name), nowMs: parsing.nowMs };
  const fields = fieldsOf(options["fields"], name);
  if (type === "phrase") {
    return boosted(fields, (one, boost) =>
      phraseQuery(one, text, { nowMs: parsing.nowMs, boost: boost * (matchOptions.boost ?? 1) }),
    );
  }
  if (type !== "best_fields") throw parsingError(`[${name}] does not support type ${kindOf(type)}`);
  return boosted(fields, (one, boost) =>
    matchQuery(one, text, { ...matchOptions, boost: boost * (matchOptions.boost ?? 1) }),
  );
}

/** Names with boosts, such as `title^2`; the default fields when there are none. */
function fieldsOf(value: unknown, name: string): ReadonlyMap<string, number> {
  const names = value === undefined ? [ALL_FIELDS] : Array.isArray(value) ? value : [value];
  const boosts = new Map<string, number>();
  for (const entry of names) {
    const text = stringOf(entry, `[${name}] fields`);
    const [, field = text, boost = "1"] = /^(.*)\^([\d.]+)$/.exec(text) ?? [];
    boosts.set(fieldOf(field === "*" ? ALL_FIELDS : field), numberOf(boost, `[${name}] fields`));
  }
  return boosts;
}

function boosted(
  fields: ReadonlyMap<string, number>,
  build: (field: string, boost: number) => ShimQuery,
): ShimQuery {
  const allBoost = fields.get(ALL_FIELDS) ?? 1;
  return overFields([...fields.keys()], (field) => build(field, fields.get(field) ?? allBoost));
}

function parseTerm(body: unknown, parsing: Parsing): ShimQuery {
  const { field, options } = fieldBodyOf(body, "term", { shorthand: "value", allowed: [] });
  const value = scalarOf(options["value"], "[term]");
  const termOptions = { nowMs: parsing.nowMs, ...boostIn(options, "term") };
  return overFields([field], (one) => termQuery(one, value, termOptions));
}

function parseTerms(body: unknown, parsing: Parsing): ShimQuery {
  const { boost, ...fields } = objectOf(body, "[terms]");
  const [name, values] = soleEntryOf(fields, "[terms]");
  if (!Array.isArray(values)) throw parsingError(`[terms] expects an array for [${name}]`);
  if (values.length > TERMS_MAX) throw argumentError(`[terms] takes at most ${TERMS_MAX} values`);
  const fitted = values.map((value) => scalarOf(value, "[terms]"));
  const options = { nowMs: parsing.nowMs, ...boostIn({ boost }, "terms") };
  return overFields([fieldOf(name)], (one) => termsQuery(one, fitted, options));
}

function parseRange(body: unknown, parsing: Parsing): ShimQuery {
  const [name, value] = soleEntryOf(body, "[range]");
  const options = objectOf(value, "[range]");
  checkKeys(options, ["gt", "gte", "lt", "lte", "boost", "format"], "[range]");
  if (options["format"] !== undefined) {
    // All of these are understood always; another would change what a bound means.
    for (const format of stringOf(options["format"], "[range] format").split("||")) {
      if (!DATE_FORMATS.includes(format)) {
        throw parsingError(`[range] does not support format [${format}]`);
      }
    }
  }
  const bounds = {
    gt: options["gt"],
    gte: options["gte"],
    lt: options["lt"],
    lte: options["lte"],
  };
  const rangeOptions = { nowMs: parsing.nowMs, ...boostIn(options, "range") };
  return overFields([fieldOf(name)], (one) => rangeQuery(one, bounds, rangeOptions));
}

function parseExists(body: unknown): ShimQuery {
  const options = objectOf(body, "[exists]");
  checkKeys(options, ["field", "boost"], "[exists]");
  const field = fieldOf(stringOf(options["field"], "[exists] field"));
  const boost = boostIn(options, "exists");
  return overFields([field], (one) => ({ kind: "exists", field: one, ...boost }));
}

function parsePattern(body: unknown, name: "prefix" | "wildcard"): ShimQuery {
  const { field, options } = fieldBodyOf(body, name, {
    shorthand: "value",
    allowed: ["case_insensitive"],
  });
  const value = stringOf(options["value"], `[${name}]`);
  const patternOptions = {
    isCaseInsensitive: booleanOf(options["case_insensitive"] ?? false, `[${name}]`),
    ...boostIn(options, name),
  };
  const build = name === "prefix" ? prefixQuery : wildcardQuery;
  return overFields([field], (one) => build(one, value, patternOptions));
}

function parseBool(body: unknown, parsing: Parsing, depth: number): ShimQuery {
  const options = objectOf(body, "[bool]");
  const keys = ["must", "should", "must_not", "filter", "minimum_should_match", "boost"];
  checkKeys(options, keys, "[bool]");
  const clausesOf = (key: string): ShimQuery[] => {
    const value = options[key] ?? [];
    const clauses = Array.isArray(value) ? value : [value];
    return clauses.map((clause) => parseQuery(clause, parsing, depth + 1));
  };
  const [must, should, mustNot, filter] = [
    clausesOf("must"),
    clausesOf("should"),
    clausesOf("must_not"),
    clausesOf("filter"),
  ];
  if (must.length + should.length + mustNot.length + filter.length === 0) {
    return { kind: "all", ...boostIn(options, "bool") };
  }
  const minimum = options["minimum_should_match"];
  return {
    kind: "bool",
    ...(must.length === 0 ? {} : { must }),
    ...(should.length === 0 ? {} : { should }),
    ...(mustNot.length === 0 ? {} : { mustNot }),
    ...(filter.length === 0 ? {} : { filter }),
    ...(minimum === undefined ? {} : { minimumShouldMatch: minimumOf(minimum, "bool") }),
    ...boostIn(options, "bool"),
  };
}

function parseDisMax(body: unknown, parsing: Parsing, depth: number): ShimQuery {
  const options = objectOf(body, "[dis_max]");
  checkKeys(options, ["queries", "tie_breaker", "boost"], "[dis_max]");
  const queries = options["queries"];
  if (!Array.isArray(queries) || queries.length === 0) {
    throw parsingError("[dis_max] requires 'queries' field with at least one clause");
  }
  const tieBreaker = numberOf(options["tie_breaker"] ?? 0, "[dis_max] tie_breaker");
  return {
    kind: "dis_max",
    queries: queries.map((query) => parseQuery(query, parsing, depth + 1)),
    ...(tieBreaker === 0 ? {} : { tieBreaker }),
    ...boostIn(options, "dis_max"),
  };
}

function parseConstantScore(body: unknown, parsing: Parsing, depth: number): ShimQuery {
  const options = objectOf(body, "[constant_score]");
  checkKeys(options, ["filter", "boost"], "[constant_score]");
  const query = parseQuery(options["filter"], parsing, depth + 1);
  return { kind: "constant_score", query, ...boostIn(options, "constant_score") };
}

function parseQueryStringQuery(body: unknown, parsing: Parsing): ShimQuery {
  const name = "query_string";
  const options = objectOf(body, `[${name}]`);
  const allowed = ["query", "default_field", "fields", "default_operator", "boost"];
  checkKeys(options, allowed, `[${name}]`);
  const text = stringOf(options["query"], `[${name}] query`);
  if (options["fields"] !== undefined && options["default_field"] !== undefined) {
    throw parsingError(`[${name}] takes [fields] or [default_field], not both`);
  }
  const fields = fieldsOf(options["fields"] ?? options["default_field"], name);
  if ([...fields.values()].some((boost) => boost !== 1)) {
    throw parsingError(`[${name}] does not support boosts of fields`);
  }
  const query = parseQueryString(text, {
    nowMs: parsing.nowMs,
    defaultFields: [...fields.keys()],
    defaultOperator: operatorOf(options["default_operator"] ?? "or", name),
    clausesMax: CLAUSES_MAX - parsing.clauseCount,
  });
  const { boost } = boostIn(options, name);
  return boost === undefined ? query : { kind: "bool", must: [query], boost };
}

/** "or" or "and", in any case. @throws SearchError 400 */
export function operatorOf(value: unknown, name: string): "or" | "and" {
  const operator = typeof value === "string" ? value.toLowerCase() : value;
  if (operator === "or" || operator === "and") return operator;
  throw parsingError(`[${name}] operator needs to be either 'OR' or 'AND', not ${kindOf(value)}`);
}

const MINIMUM = /^(-?\d+%?|\d+<-?\d+%?( \d+<-?\d+%?)*)$/;

function minimumOf(value: unknown, name: string): number | string {
  if (typeof value === "number" && Number.isSafeInteger(value)) return value;
  if (typeof value === "string" && MINIMUM.test(value)) return value;
  throw parsingError(`[${name}] minimum_should_match does not understand ${kindOf(value)}`);
}

function boostIn(options: JsonObject, name: string): { readonly boost?: number } {
  if (options["boost"] === undefined) return {};
  const boost = numberOf(options["boost"], `[${name}] boost`);
  if (boost < 0) throw argumentError(`[${name}] boost is negative: [${boost}]`);
  return boostOf(boost);
}

function scalarOf(value: unknown, where: string): ShimValue {
  if (typeof value === "string" || typeof value === "number" || typeof value === "boolean") {
    return value;
  }
  throw parsingError(`${where} expects a value but found ${kindOf(value)}`);
}
