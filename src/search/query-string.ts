/**
 * The query language of `?q=` and `query_string` (source: Elasticsearch reference, "Query string syntax"):
 *
 *   sequence := clause ((AND | OR | && | || | nothing) clause)*      nothing means the default operator
 *   clause   := (+ | - | ! | NOT)* [field:] (word | "phrase"[~slop] | range | (sequence)) [^boost]
 *   range    := [low TO high] | {low TO high} | >low | >=low | <high | <=high      * is an open end
 *
 * Words may hold * and ?; a backslash takes the next character literally. NOT binds tighter than AND,
 * AND tighter than OR.
 *
 * Deviations: a word that is split by the analysis (order-17) is searched as a phrase, not as any of its
 * parts; a slash is text, since there are no regular expressions; words match in any case everywhere.
 */

import type { ShimQuery } from "../core/shim-query.ts";
import { parsingError } from "./elasticsearch-error.ts";
import {
  type Bounds,
  boostOf,
  fieldOf,
  overFields,
  phraseQuery,
  prefixQuery,
  type QueryContext,
  rangeQuery,
  wildcardQuery,
} from "./leaf-query.ts";

export interface QueryStringOptions extends QueryContext {
  /** Where words without a field are looked for. */
  readonly defaultFields: readonly string[];
  readonly defaultOperator: "or" | "and";
  /** Words, phrases and ranges together. */
  readonly clausesMax: number;
}

/** The query that `text` stands for; an empty one matches nothing. @throws SearchError 400 */
export function parseQueryString(text: string, options: QueryStringOptions): ShimQuery {
  return new QueryStringParser(text, options).parse();
}

const DEPTH_MAX = 30;
const FUZZY = /~[\d.]*(?=[\s)]|$)/y;
const SLOP = /~(\d{1,4})?/y;
const BOOST = /\^(\d+(?:\.\d+)?)/y;
const CONNECTOR = /(AND|OR)(?=[\s("]|$)|&&|\|\|/y;
const NEGATION = /NOT(?=[\s("]|$)/y;
const RANGE_TO = /\s+TO\s+/y;
const COMPARISON = /[<>]=?/y;

type Occur = "default" | "must" | "mustNot";

interface Clause {
  readonly occur: Occur;
  readonly query: ShimQuery;
}

/** A word as read: `pattern` keeps its wildcards, and takes everything else literally. */
interface Word {
  readonly text: string;
  readonly pattern: string;
  readonly hasWildcard: boolean;
}

class QueryStringParser {
  readonly #text: string;
  readonly #options: QueryStringOptions;
  #position = 0;
  #clauseCount = 0;

  constructor(text: string, options: QueryStringOptions) {
    this.#text = text;
    this.#options = options;
  }

  parse(): ShimQuery {
    const query = this.#sequence(this.#options.defaultFields, 0);
    if (this.#position < this.#text.length) throw this.#fault("unexpected [)]");
    return query;
  }

  /** Everything up to the end or the bracket that closes this level. */
  #sequence(fields: readonly string[], depth: number): ShimQuery {
    if (depth > DEPTH_MAX) throw this.#fault(`brackets are nested deeper than ${DEPTH_MAX}`);
    /** Clauses that AND holds together; OR is between the groups. */
    const groups: Clause[][] = [];
    let isJoined = false;
    for (;;) {
      this.#skipSpaces();
      if (this.#isAtEnd()) break;
      const clause = this.#clause(fields, depth);
      const last = groups.at(-1);
      if (isJoined && last !== undefined) last.push(clause);
      else groups.push([clause]);
      this.#skipSpaces();
      const connector = this.#take(CONNECTOR)?.[0];
      isJoined =
        connector === undefined
          ? this.#options.defaultOperator === "and"
          : connector === "AND" || connector === "&&";
      if (connector === undefined) continue;
      this.#skipSpaces();
      if (this.#isAtEnd()) throw this.#fault(`nothing follows [${connector}]`);
    }
    return joined(groups);
  }

  #isAtEnd(): boolean {
    return this.#position >= this.#text.length || this.#peek() === ")";
  }

  #clause(fields: readonly string[], depth: number): Clause {
    let occur: Occur = "default";
    for (;;) {
      this.#skipSpaces();
      const sign = this.#peek();
      if (this.#take(NEGATION) !== undefined) {
        occur = occur === "mustNot" ? "default" : "mustNot";
      } else if ((sign === "-" || sign === "!") && this.#isSign()) {
        this.#position += 1;
        occur = "mustNot";
      } else if (sign === "+" && this.#isSign()) {
        this.#position += 1;
        occur = "must";
      } else break;
    }
    const query = this.#primary(fields, depth);
    const boost = this.#take(BOOST)?.[1];
    if (boost === undefined) return { occur, query };
    return { occur, query: { kind: "bool", must: [query], ...boostOf(Number(boost)) } };
  }

  /** Whether the character here is followed by what it is a sign of; a lone one is text. */
  #isSign(): boolean {
    const next = this.#text[this.#position + 1];
    return next !== undefined && !/\s/.test(next);
  }

  /** One word, phrase, range or group, with its field. */
  #primary(fields: readonly string[], depth: number): ShimQuery {
    const character = this.#peek();
    if (character === "(") return this.#group(fields, depth);
    if (character === '"') return this.#phrase(fields);
    if (character === "[" || character === "{") return this.#bracketRange(fields);
    const start = this.#position;
    const word = this.#word();
    if (this.#peek() !== ":") {
      if (word.pattern === "") throw this.#fault(`unexpected [${character ?? "end"}]`, start);
      return this.#wordQuery(word, fields);
    }
    this.#position += 1;
    return this.#fieldValue(word, depth);
  }

  /** What follows `field:`. */
  #fieldValue(name: Word, depth: number): ShimQuery {
    const character = this.#peek();
    if (character === undefined || /\s|\)/.test(character)) {
      throw this.#fault(`nothing follows [${name.text}:]`);
    }
    if (name.pattern === "*") {
      const value = this.#word();
      if (value.pattern !== "*") throw this.#fault("a pattern of field names is not supported");
      return { kind: "all" };
    }
    if (name.hasWildcard) throw this.#fault("a pattern of field names is not supported");
    if (name.text === "_exists_")
      return this.#counted({ kind: "exists", field: fieldOf(this.#word().text) });
    const fields = [fieldOf(name.text)];
    if (character === "(") return this.#group(fields, depth);
    if (character === '"') return this.#phrase(fields);
    if (character === "[" || character === "{") return this.#bracketRange(fields);
    const comparison = this.#take(COMPARISON)?.[0];
    if (comparison !== undefined) {
      const bound = this.#rangeEnd();
      const key = { ">": "gt", ">=": "gte", "<": "lt", "<=": "lte" }[comparison] ?? "gt";
      return this.#range(fields, { [key]: bound });
    }
    const word = this.#word();
    if (word.pattern === "") throw this.#fault(`nothing follows [${name.text}:]`);
    return this.#wordQuery(word, fields);
  }

  #group(fields: readonly string[], depth: number): ShimQuery {
    const start = this.#position;
    this.#position += 1;
    const query = this.#sequence(fields, depth + 1);
    if (this.#peek() !== ")") throw this.#fault("this bracket is not closed", start);
    this.#position += 1;
    return query;
  }

  #phrase(fields: readonly string[]): ShimQuery {
    const text = this.#quoted();
    const slop = this.#take(SLOP);
    const options = { nowMs: this.#options.nowMs, slop: Number(slop?.[1] ?? 0) };
    return this.#counted(overFields(fields, (field) => phraseQuery(field, text, options)));
  }

  #wordQuery(word: Word, fields: readonly string[]): ShimQuery {
    if (this.#take(FUZZY) !== undefined) throw this.#fault("fuzzy words (~) are not supported");
    const { nowMs } = this.#options;
    if (!word.hasWildcard) {
      return this.#counted(overFields(fields, (field) => phraseQuery(field, word.text, { nowMs })));
    }
    if (word.pattern === "*") {
      if (fields === this.#options.defaultFields) return this.#counted({ kind: "all" });
      return this.#counted(overFields(fields, (field) => ({ kind: "exists", field })));
    }
    const options = { isCaseInsensitive: true };
    const isPrefix = /^(?:[^*?\\]|\\.)+\*$/u.test(word.pattern);
    return this.#counted(
      overFields(fields, (field) =>
        isPrefix
          ? prefixQuery(field, word.text.slice(0, -1), options)
          : wildcardQuery(field, word.pattern, options),
      ),
    );
  }

  #bracketRange(fields: readonly string[]): ShimQuery {
    const start = this.#position;
    const low = this.#peek() === "[" ? "gte" : "gt";
    this.#position += 1;
    this.#skipSpaces();
    const lowValue = this.#rangeEnd();
    if (this.#take(RANGE_TO) === undefined) throw this.#fault("a range needs [ TO ]", start);
    const highValue = this.#rangeEnd();
    this.#skipSpaces();
    const close = this.#peek();
    if (close !== "]" && close !== "}") throw this.#fault("this range is not closed", start);
    this.#position += 1;
    return this.#range(fields, { [low]: lowValue, [close === "]" ? "lte" : "lt"]: highValue });
  }

  /** One end of a range; undefined for an open one. */
  #rangeEnd(): number | string | undefined {
    if (this.#peek() === '"') return this.#quoted();
    const match = /(?:\\.|[^\s\]}])+/y;
    const raw = this.#take(match)?.[0];
    if (raw === undefined) throw this.#fault("an end of the range is missing");
    if (raw === "*") return undefined;
    const text = raw.replaceAll(/\\(.)/g, "$1");
    return /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(text) ? Number(text) : text;
  }

  #range(fields: readonly string[], bounds: Bounds): ShimQuery {
    if (Object.values(bounds).every((bound) => bound === undefined)) {
      return this.#counted(overFields(fields, (field) => ({ kind: "exists", field })));
    }
    const { nowMs } = this.#options;
    return this.#counted(overFields(fields, (field) => rangeQuery(field, bounds, { nowMs })));
  }

  #quoted(): string {
    const start = this.#position;
    const match = this.#take(/"((?:[^"\\]|\\[\s\S])*)"/y);
    if (match === undefined) throw this.#fault("this quote is not closed", start);
    return (match[1] ?? "").replaceAll(/\\([\s\S])/g, "$1");
  }

  /** Reads up to a space or a character with a meaning of its own. */
  #word(): Word {
    let text = "";
    let pattern = "";
    let hasWildcard = false;
    for (;;) {
      let character = this.#peek();
      if (character === undefined || /[\s():"[\]{}]/.test(character) || this.#isSuffix()) break;
      this.#position += 1;
      if (character === "*" || character === "?") {
        hasWildcard = true;
        pattern += character;
      } else {
        if (character === "\\") {
          character = this.#peek();
          if (character === undefined) throw this.#fault("nothing follows the backslash");
          this.#position += 1;
        }
        pattern += /[*?\\]/.test(character) ? `\\${character}` : character;
      }
      text += character;
    }
    return { text, pattern, hasWildcard };
  }

  /** Whether a boost or a fuzziness ends the word here. */
  #isSuffix(): boolean {
    const regex = this.#peek() === "^" ? BOOST : this.#peek() === "~" ? FUZZY : undefined;
    if (regex === undefined) return false;
    regex.lastIndex = this.#position;
    return regex.test(this.#text);
  }

  #counted(query: ShimQuery): ShimQuery {
    this.#clauseCount += 1;
    if (this.#clauseCount > this.#options.clausesMax)
      throw this.#fault("there are too many clauses");
    return query;
  }

  #peek(): string | undefined {
    return this.#text[this.#position];
  }

  #skipSpaces(): void {
    this.#take(/\s+/y);
  }

  /** Goes past what `regex` (sticky) matches here. */
  #take(regex: RegExp): RegExpExecArray | undefined {
    regex.lastIndex = this.#position;
    const match = regex.exec(this.#text);
    if (match === null) return undefined;
    this.#position += match[0].length;
    return match;
  }

  #fault(reason: string, position = this.#position): Error {
    const shown = this.#text.slice(0, 200);
    return parsingError(`Failed to parse query [${shown}]: ${reason} at position ${position}`);
  }
}

function joined(groups: readonly (readonly Clause[])[]): ShimQuery {
  const clauses = groups.map((group): Clause => {
    const [first, ...rest] = group;
    return first !== undefined && rest.length === 0
      ? first
      : { occur: "default", query: allOf(group) };
  });
  const [only, ...others] = clauses;
  if (only === undefined) return { kind: "none" };
  if (others.length === 0 && only.occur !== "mustNot") return only.query;
  return boolOf({
    must: queriesWith(clauses, "must"),
    should: queriesWith(clauses, "default"),
    mustNot: queriesWith(clauses, "mustNot"),
  });
}

function allOf(group: readonly Clause[]): ShimQuery {
  return boolOf({
    must: group.filter(({ occur }) => occur !== "mustNot").map(({ query }) => query),
    should: [],
    mustNot: queriesWith(group, "mustNot"),
  });
}

function queriesWith(clauses: readonly Clause[], occur: Occur): ShimQuery[] {
  return clauses.filter((clause) => clause.occur === occur).map(({ query }) => query);
}

function boolOf({
  must,
  should,
  mustNot,
}: {
  readonly must: readonly ShimQuery[];
  readonly should: readonly ShimQuery[];
  readonly mustNot: readonly ShimQuery[];
}): ShimQuery {
  return {
    kind: "bool",
    ...(must.length === 0 ? {} : { must }),
    ...(should.length === 0 ? {} : { should }),
    ...(mustNot.length === 0 ? {} : { mustNot }),
  };
}
