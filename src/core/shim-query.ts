/**
 * The search requests that the Rust shim understands, as JSON; `ffi/src/query.rs` is the other side.
 *
 * Fields. `_topic`, `_topic_id`: exact strings. `_partition`, `_offset`, `_timestamp` (ms): integers. `_key`,
 * `_value`, `_headers`: text, each lower-cased and split at what is neither letter nor digit (a CJK character is
 * a word of its own). A header is the text of its name, then of its value. Any other name is a path into JSON
 * values (`user.id`; arrays count as their elements; a dot inside a name is a step like any other), each leaf
 * typed by what it is: number, boolean, date (a string in RFC 3339), string. `path.keyword` means the whole
 * string and nothing else. Strings of more than 256 bytes or 7 blanks are prose: their words are known, not the
 * whole, and a term of prose asks for its words in a row. A field that no record has matches nothing.
 *
 * | kind | on `_key` | on `_value`, `_headers` | on a JSON path | on the others |
 * |---|---|---|---|---|
 * | match, match_phrase | words | words | words of strings; numbers, booleans, dates by value | as term |
 * | term, terms | the whole key | one word, as indexed | the whole string or one word; value by type | exact |
 * | prefix, wildcard | the whole key | words | words or the whole string | strings: the whole one |
 * | range | the whole key | not allowed | numbers, dates, whole strings | values |
 * | exists | key is not null | value is not null; any header | a leaf at or below the path | always |
 *
 * What a query can't mean (a range on `_value`, text for `_offset`) is a `NativeError` that says so.
 */

/** A leaf's value. Dates are strings in RFC 3339, or numbers of milliseconds where the field is `_timestamp`. */
export type ShimValue = string | number | boolean;

/** "2", "-1", "75%", "-25%" or Elasticsearch's conditional "3<90%"; numbers as strings are the same. */
export type ShimMinimumShouldMatch = number | string;

interface ShimQueryBase {
  /** Multiplies the score; 1 unless given. */
  readonly boost?: number;
}

export interface ShimAllQuery extends ShimQueryBase {
  readonly kind: "all" | "none";
}

export interface ShimMatchQuery extends ShimQueryBase {
  readonly kind: "match";
  readonly field: string;
  readonly text: string;
  /** "or" unless given. */
  readonly operator?: "or" | "and";
  readonly minimumShouldMatch?: ShimMinimumShouldMatch;
}

export interface ShimMatchPhraseQuery extends ShimQueryBase {
  readonly kind: "match_phrase";
  readonly field: string;
  readonly text: string;
  /** How many positions the words may be moved in all; 0 unless given. */
  readonly slop?: number;
  /** The last word may go on: Elasticsearch's `match_phrase_prefix`. Not together with `slop`. */
  readonly isPrefix?: boolean;
}

export interface ShimTermQuery extends ShimQueryBase {
  readonly kind: "term";
  readonly field: string;
  readonly value: ShimValue;
}

export interface ShimTermsQuery extends ShimQueryBase {
  readonly kind: "terms";
  readonly field: string;
  readonly values: readonly ShimValue[];
}

/** At least one bound. Bounds of one range are of one type. */
export interface ShimRangeQuery extends ShimQueryBase {
  readonly kind: "range";
  readonly field: string;
  readonly gt?: number | string;
  readonly gte?: number | string;
  readonly lt?: number | string;
  readonly lte?: number | string;
}

/** As in Elasticsearch: `should` counts as required only where neither `must` nor `filter` is given. */
export interface ShimBoolQuery extends ShimQueryBase {
  readonly kind: "bool";
  readonly must?: readonly ShimQuery[];
  readonly should?: readonly ShimQuery[];
  readonly mustNot?: readonly ShimQuery[];
  /** Required, without a part in the score. */
  readonly filter?: readonly ShimQuery[];
  readonly minimumShouldMatch?: ShimMinimumShouldMatch;
}

/** Any of `queries`; the score is the best one's plus `tieBreaker` times the others'. For several fields. */
export interface ShimDisMaxQuery extends ShimQueryBase {
  readonly kind: "dis_max";
  readonly queries: readonly ShimQuery[];
  /** 0 unless given. */
  readonly tieBreaker?: number;
}

/** Matches as `query` does; the score is `boost`. */
export interface ShimConstantScoreQuery extends ShimQueryBase {
  readonly kind: "constant_score";
  readonly query: ShimQuery;
}

export interface ShimExistsQuery extends ShimQueryBase {
  readonly kind: "exists";
  readonly field: string;
}

export interface ShimPrefixQuery extends ShimQueryBase {
  readonly kind: "prefix";
  readonly field: string;
  readonly value: string;
  /** For whole strings; words are always compared in lower case. */
  readonly isCaseInsensitive?: boolean;
}

export interface ShimWildcardQuery extends ShimQueryBase {
  readonly kind: "wildcard";
  readonly field: string;
  /** `*` is any run of characters, `?` any one, `\` takes the next one literally. */
  readonly pattern: string;
  readonly isCaseInsensitive?: boolean;
}

export type ShimQuery =
  | ShimAllQuery
  | ShimMatchQuery
  | ShimMatchPhraseQuery
  | ShimTermQuery
  | ShimTermsQuery
  | ShimRangeQuery
  | ShimBoolQuery
  | ShimDisMaxQuery
  | ShimConstantScoreQuery
  | ShimExistsQuery
  | ShimPrefixQuery
  | ShimWildcardQuery;

export interface ShimSort {
  readonly by: "score" | "timestamp" | "offset" | "field";
  readonly order: "asc" | "desc";
  /** For "field": one that has a column, so neither `_key`, `_value` nor `_headers`. */
  readonly field?: string;
  /** Whether records without a value come first; they come last unless given. */
  readonly isMissingFirst?: boolean;
}

/** A number, a date (ms), a boolean (0, 1) or a string of a field; null where there is none. */
export type ShimSortValue = number | string | null;

/** Offsets of one partition that may be hits: `start` inclusive, `end` exclusive. */
export interface ShimOffsetRange {
  readonly topicId: string;
  readonly partition: number;
  readonly start?: number;
  readonly end?: number;
}

/** What may be a hit at all, whatever the query says. Without a part in the score. */
export interface ShimFilter {
  /** Only these topics. */
  readonly topicIds?: readonly string[];
  /** None of these: deleted topics. */
  readonly excludedTopicIds?: readonly string[];
  readonly partitions?: readonly number[];
  /** `_timestamp`, inclusive. */
  readonly timestampMsMin?: number;
  readonly timestampMsMax?: number;
  /** For the partitions named here, only these offsets (log start offset, last stable offset). */
  readonly offsetRanges?: readonly ShimOffsetRange[];
}

/** Where the page before ended: the values of its last hit, in the order of the request's `sort`. */
export interface ShimSearchAfter {
  readonly values: readonly ShimSortValue[];
  /** Without it, all hits that are sorted as the last one was are passed over. */
  readonly topicId?: string;
  readonly partition?: number;
  readonly offset?: number;
}

export interface ShimSearchRequest {
  readonly query: ShimQuery;
  readonly filter?: ShimFilter;
  /** By score, best first, unless given. Equal ones follow by topic id, partition and offset, ascending. */
  readonly sort?: readonly ShimSort[];
  readonly from?: number;
  readonly size: number;
  /** Only hits behind this one; the total counts all. */
  readonly searchAfter?: ShimSearchAfter;
  /** A search that collects hits for longer is given up with a `NativeError`. */
  readonly timeoutMs?: number;
  /** Tantivy's JSON, with sources for fields: see `ffi/src/aggregate.rs`. Over all that matches. */
  readonly aggregations?: Readonly<Record<string, unknown>>;
  /** A search whose aggregations need more memory is given up with a `NativeError`. */
  readonly aggregationBytesMax?: number;
}

export interface ShimHit {
  readonly topicId: string;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  /** Null unless the request sorts by it. */
  readonly score: number | null;
  /** Where the request sorts by a field: a value for each sort, null for other ones. */
  readonly sortValues?: readonly ShimSortValue[];
}

/** An index (number) that could not be read. */
export interface ShimFailure {
  readonly index: number;
  readonly reason: string;
}

export interface ShimSearchResult {
  /** Exact, over all indexes that were asked. */
  readonly total: number;
  readonly hits: readonly ShimHit[];
  /** Integers beyond 2^53 are kept as they are, as `JSON.rawJSON`. */
  readonly aggregations?: Readonly<Record<string, unknown>>;
  /** The types of values that there are of each field that aggregations name. */
  readonly fieldTypes?: Readonly<Record<string, readonly string[]>>;
  /** Indexes in archives that turned out to be damaged: all else is over the others. */
  readonly failures?: readonly ShimFailure[];
}
