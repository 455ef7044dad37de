/** What the APIs of configs have in common: kinds of resources, and that each resource is changed, and fails, alone. */

import type { TopicAdmin } from "../../meta/topic-admin.ts";
import type { ConfigValues } from "../../meta/topic-configs.ts";
import { ErrorCode, KafkaError } from "../../protocol/errors.ts";
import { duplicatesOf } from "./duplicates.ts";

/** Kinds of resources on the wire. */
export const TOPIC_RESOURCE = 2;
export const BROKER_RESOURCE = 4;

/** A resource whose configs are to change. */
export interface AlteredResource {
  readonly resourceType: number;
  readonly resourceName: string;
  readonly configs: readonly {
    readonly name: string;
    readonly value: string | null;
    /** Only where changes are incremental. */
    readonly configOperation?: number;
  }[];
}

export interface AlteredResult {
  readonly errorCode: number;
  readonly errorMessage: string | null;
  readonly resourceType: number;
  readonly resourceName: string;
}

/** How a request changes topics. */
export interface Alteration<R extends AlteredResource> {
  readonly topicAdmin: TopicAdmin;
  readonly isTrial: boolean;
  /** Whether a config of the resource may come without a value. */
  readonly allowsNull: (config: R["configs"][number]) => boolean;
  /** The topic's own configs after the change. */
  readonly change: (own: ConfigValues, resource: R) => ConfigValues;
}

/** Changes each resource, and tells what became of it. */
export async function alterEach<R extends AlteredResource>(
  resources: readonly R[],
  alteration: Alteration<R>,
): Promise<AlteredResult[]> {
  const duplicates = duplicatesOf(resources.map(keyOf));
  return await Promise.all(
    resources.map(async (resource): Promise<AlteredResult> => {
      const { resourceType, resourceName } = resource;
      try {
        if (duplicates.has(keyOf(resource))) {
          throw invalidRequest("Each resource must appear at most once.");
        }
        await alterOne(resource, alteration);
        return { errorCode: ErrorCode.none, errorMessage: null, resourceType, resourceName };
      } catch (thrown) {
        if (!(thrown instanceof KafkaError)) throw thrown;
        const { code: errorCode, message: errorMessage } = thrown;
        return { errorCode, errorMessage, resourceType, resourceName };
      }
    }),
  );
}

/** For every resource, when the whole request failed. */
export function failedAlterations(
  resources: readonly AlteredResource[],
  errorCode: number,
): AlteredResult[] {
  return resources.map(({ resourceType, resourceName }) => ({
    ...{ errorCode, errorMessage: null, resourceType, resourceName },
  }));
}

async function alterOne<R extends AlteredResource>(
  resource: R,
  { topicAdmin, isTrial, allowsNull, change }: Alteration<R>,
): Promise<void> {
  const { resourceType, resourceName, configs } = resource;
  const names = configs.map(({ name }) => name);
  if (duplicatesOf(names).size > 0) throw invalidRequest("Error due to duplicate config keys");
  const withoutValue = configs.filter((config) => config.value === null && !allowsNull(config));
  if (withoutValue.length > 0) {
    const found = withoutValue.map(({ name }) => name).join(", ");
    throw invalidRequest(`Null value not supported for : ${found}`);
  }
  if (resourceType === TOPIC_RESOURCE) {
    if (resourceName === "") throw invalidRequest("Default topic resources are not allowed.");
    await topicAdmin.changeConfigs(resourceName, (own) => change(own, resource), { isTrial });
  } else if (resourceType === BROKER_RESOURCE) {
    // Its settings are told when it starts.
    if (names.length === 0) return;
    throw invalidRequest(`Cannot update these configs dynamically: ${names.join(", ")}`);
  } else {
    throw invalidRequest(`Unsupported resource type: ${resourceType}`);
  }
}

function keyOf({ resourceType, resourceName }: AlteredResource): string {
  return `${resourceType}/${resourceName}`;
}

function invalidRequest(message: string): KafkaError {
  return new KafkaError(ErrorCode.invalidRequest, message);
}
