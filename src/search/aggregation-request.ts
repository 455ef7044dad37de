/**
 * Elasticsearch's aggregations, as far as they are spoken here (source: Elasticsearch reference,
 * "Aggregations"). What is not spoken is a 400 with the reason: nothing is read and ignored.
 *
 * Spoken: terms, histogram, date_histogram, range, date_range, filter, filters, missing; avg, min, max, sum,
 * value_count, stats, extended_stats, percentiles, cardinality, top_hits; all but the latter ones with
 * sub-aggregations.
 */

import type {
  AggregationContext,
  AggregationNode,
  AggregationOrder,
  AggregationSet,
} from "./aggregation.ts";
import { argumentError, parsingError } from "./elasticsearch-error.ts";
import { parseFilter, parseFilters, parseMissing } from "./filter-aggregation.ts";
import { parseDateHistogram, parseHistogram } from "./histogram-aggregation.ts";
import { isObject, type JsonObject, objectOf } from "./json-reader.ts";
import { parseMetric, parsePercentiles } from "./metric-aggregation.ts";
import { parseDateRange, parseRange } from "./range-aggregation.ts";
import { parseTerms } from "./terms-aggregation.ts";
import { parseTopHits } from "./top-hits.ts";

/** Aggregations of one request, all levels together; each filter and range counts. */
const AGGREGATIONS_MAX = 256;
/** Aggregations within aggregations. */
const AGGREGATION_DEPTH_MAX = 8;
const NAME_LENGTH_MAX = 256;

/** What one request has used up of its limits. */
interface Parsing {
  readonly context: AggregationContext;
  count: number;
}

export type Parser = (
  body: JsonObject,
  children: AggregationSet,
  context: AggregationContext,
) => AggregationNode;

const BUCKETS: ReadonlyMap<string, Parser> = new Map([
  ["terms", parseTerms],
  ["histogram", parseHistogram],
  ["date_histogram", parseDateHistogram],
  ["range", parseRange],
  ["date_range", parseDateRange],
  ["filters", parseFilters],
  ["missing", parseMissing],
]);

const METRICS: ReadonlyMap<string, Parser> = new Map<string, Parser>([
  ...["avg", "min", "max", "sum", "value_count", "stats", "extended_stats", "cardinality"].map(
    (name): [string, Parser] => [name, (body) => parseMetric(name, body)],
  ),
  ["percentiles", parsePercentiles],
  ["top_hits", parseTopHits],
]);

/** The aggregations that `json`, the value of "aggs", stands for. @throws SearchError 400 */
export function aggregationsOf(json: unknown, context: AggregationContext): AggregationSet {
  return parseSet(json, { context, count: 0 }, 1);
}

function parseSet(json: unknown, parsing: Parsing, depth: number): AggregationSet {
  if (depth > AGGREGATION_DEPTH_MAX) {
    throw argumentError(`aggregations are nested deeper than ${AGGREGATION_DEPTH_MAX}`);
  }
  const nodes = Object.entries(objectOf(json, "[aggs]")).map(([name, body]) => {
    if (name === "" || name.length > NAME_LENGTH_MAX || /[[\]>]/.test(name)) {
      throw parsingError(
        `Invalid aggregation name [${name.slice(0, 100)}]. ` +
          "Aggregation names can contain any character except '[', ']', and '>'",
      );
    }
    const { node, meta } = parseNode(name, body, { parsing, depth });
    return { name, node, meta };
  });
  return new NodeSet(nodes);
}

function parseNode(
  name: string,
  json: unknown,
  { parsing, depth }: { readonly parsing: Parsing; readonly depth: number },
): { readonly node: AggregationNode; readonly meta: JsonObject | undefined } {
  const { aggs, aggregations, meta, ...types } = objectOf(json, `[aggs] [${name}]`);
  if (aggs !== undefined && aggregations !== undefined) {
    throw parsingError(`Found two sub aggregation definitions under [${name}]`);
  }
  const [type, ...others] = Object.keys(types);
  if (type === undefined) throw parsingError(`Missing definition for aggregation [${name}]`);
  if (others.length > 0) {
    throw parsingError(
      `Found two aggregation type definitions in [${name}]: [${type}] and [${others[0]}]`,
    );
  }
  const inner = aggs ?? aggregations;
  const children = inner === undefined ? new NodeSet([]) : parseSet(inner, parsing, depth + 1);
  const metric = METRICS.get(type);
  if (metric !== undefined && Object.keys(children.request).length > 0) {
    throw argumentError(`Aggregator [${name}] of type [${type}] cannot accept sub-aggregations`);
  }
  const node = parseTyped(type, types[type], { children, context: parsing.context });
  parsing.count += node.requests.length;
  if (parsing.count > AGGREGATIONS_MAX) {
    throw argumentError(`the request has more than ${AGGREGATIONS_MAX} aggregations`);
  }
  return { node, meta: meta === undefined ? undefined : objectOf(meta, `[${name}] [meta]`) };
}

function parseTyped(
  type: string,
  body: unknown,
  options: { readonly children: AggregationSet; readonly context: AggregationContext },
): AggregationNode {
  const { children, context } = options;
  // Its body is a query.
  if (type === "filter") return parseFilter(body, children, context);
  const parser = BUCKETS.get(type) ?? METRICS.get(type);
  if (parser === undefined) throw parsingError(`Unknown aggregation type [${type.slice(0, 100)}]`);
  return parser(objectOf(body, `[${type}]`), children, context);
}

/** The aggregations of one level. */
class NodeSet implements AggregationSet {
  readonly request: JsonObject;
  readonly #nodes: readonly {
    readonly name: string;
    readonly node: AggregationNode;
    readonly meta: JsonObject | undefined;
  }[];

  constructor(
    nodes: readonly {
      readonly name: string;
      readonly node: AggregationNode;
      readonly meta: JsonObject | undefined;
    }[],
  ) {
    this.#nodes = nodes;
    this.request = Object.fromEntries(
      nodes.flatMap(({ node }, index) =>
        node.requests.map((request, part) => [ownName(index, part), request]),
      ),
    );
  }

  show(
    results: Parameters<AggregationSet["show"]>[0],
    bucket: Parameters<AggregationSet["show"]>[1],
  ): JsonObject {
    return Object.fromEntries(
      this.#nodes.map(({ name, node, meta }, index) => {
        const own = node.requests.map((_request, part) => {
          const result = results?.[ownName(index, part)];
          return isObject(result) ? result : undefined;
        });
        const shown = node.show(own, bucket);
        return [name, meta === undefined ? shown : { meta, ...shown }];
      }),
    );
  }

  orderOf(path: string): AggregationOrder {
    const index = this.#nodes.findIndex(({ name }) => path === name || path.startsWith(`${name}.`));
    const found = this.#nodes[index];
    const property = found === undefined ? "" : path.slice(found.name.length + 1);
    const allowed = found?.node.orderedBy ?? [];
    const isSingle = allowed[0] === "value";
    const value = property === "" && isSingle ? "value" : property;
    if (!allowed.includes(value)) {
      throw argumentError(
        `Invalid aggregation order path [${path.slice(0, 100)}]: ` +
          (found === undefined
            ? "there is no such sub-aggregation"
            : allowed.length === 0
              ? "buckets can't be ordered by it"
              : `it needs one of: ${allowed.join(", ")}`),
      );
    }
    const name = ownName(index, 0);
    return {
      path: isSingle ? name : `${name}.${value}`,
      valueOf: (bucket) => {
        const result = bucket[name];
        const number = isObject(result) ? result[value] : null;
        return typeof number === "number" ? number : null;
      },
    };
  }
}

/** No dots: the shim takes what follows one for a value. */
function ownName(index: number, part: number): string {
  return `a${index}_${part}`;
}
