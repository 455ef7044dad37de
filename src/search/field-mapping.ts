/**
 * `_mapping`: the fields of topics as a tree (source: Elasticsearch reference, "Get mapping API"). A field whose
 * values have several types shows the one that fits most queries, and the others in `meta.other_types`.
 */

import {
  type FieldType,
  fieldTypesOf,
  hasWholeValues,
  RECORD_FIELDS,
  type TopicFields,
} from "./field-types.ts";

/** No topic is hidden, and nobody else is asked: only the first three matter. */
export const MAPPING_PARAMETERS: readonly string[] = [
  ...["ignore_unavailable", "allow_no_indices", "pretty"],
  ...["expand_wildcards", "local", "master_timeout"],
];

/** A step of a path: what is there, and what lies below. */
interface Step {
  types: readonly FieldType[];
  readonly below: Map<string, Step>;
}

/** The answer, by topic. */
export function mappingsOf(topics: readonly TopicFields[]): object {
  const shown = topics.map(({ topic, fields }) => {
    const root: Step = { types: [], below: new Map() };
    for (const [path, types] of Object.entries(fields)) {
      stepAt(root, path.split(".")).types = fieldTypesOf(types);
    }
    // A field of that name in a JSON value is not what searches take it for.
    for (const [name, type] of RECORD_FIELDS) stepAt(root, [name]).types = [type];
    return [topic.name, { mappings: { properties: propertiesOf(root) } }] as const;
  });
  return Object.fromEntries(shown);
}

function stepAt(root: Step, names: readonly string[]): Step {
  let step = root;
  for (const name of names) {
    let next = step.below.get(name);
    if (next === undefined) {
      next = { types: [], below: new Map() };
      step.below.set(name, next);
    }
    step = next;
  }
  return step;
}

function propertiesOf({ below }: Step): object {
  const names = [...below.keys()].sort();
  return Object.fromEntries(names.map((name) => [name, propertyOf(name, below.get(name))]));
}

function propertyOf(name: string, step: Step | undefined): object {
  if (step === undefined) return {};
  const [type, ...others] = step.types;
  return {
    ...(type === undefined ? {} : { type }),
    ...(type === "text" && hasWholeValues(name)
      ? { fields: { keyword: { type: "keyword" } } }
      : {}),
    ...(others.length === 0 ? {} : { meta: { other_types: others.join(",") } }),
    ...(step.below.size === 0 ? {} : { properties: propertiesOf(step) }),
  };
}
