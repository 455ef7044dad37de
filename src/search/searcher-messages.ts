/** What the main thread and the search Worker tell each other. */

import type { IndexDamage } from "./damaged-indexes.ts";
import type { NamedTopic } from "./indexer-messages.ts";
import type { QueryBounds } from "./query-bounds.ts";
import type { SearchApi } from "./search-input.ts";
import type { SearchPlan } from "./search-plan.ts";

/** A record that is wanted back. */
export interface RecordPlace {
  readonly topicId: string;
  readonly partition: number;
  readonly offset: number;
}

/** A stored batch that holds one or more of the places that were asked for. */
export interface ReadBatch {
  readonly topicId: string;
  readonly partition: number;
  readonly bytes: Uint8Array;
}

/** How much a search may take and give. */
export interface SearchLimits {
  /** Largest from + size. */
  readonly resultWindowMax: number;
  /** Of the answer. */
  readonly responseBytesMax: number;
  /** Buckets of all its aggregations. */
  readonly bucketsMax: number;
  /** Memory for its aggregations. */
  readonly aggregationBytesMax: number;
}

/** To the Worker. */
export type SearcherCommand =
  /** A search. Answered by questions and one answer, all with its `id`. */
  | {
      readonly kind: "search";
      readonly id: number;
      readonly api: SearchApi;
      /** Those that are meant, by name, where fields are asked for. */
      readonly topics: readonly NamedTopic[];
      readonly parameters: string;
      readonly body: Uint8Array;
      /** Wall time at which the search came in, for `took`. */
      readonly startMs: number;
      /** Wall time at which nobody waits for it any more. */
      readonly deadlineMs: number;
      readonly limits: SearchLimits;
    }
  /** Answers "plan": what to search now. */
  | { readonly kind: "plan"; readonly id: number; readonly plan: SearchPlan }
  /**
   * Answers "read": batches that hold the places, but for those that are pending and have to be asked for again;
   * what the batches do not hold does not exist.
   */
  | {
      readonly kind: "batches";
      readonly id: number;
      readonly batches: readonly ReadBatch[];
      readonly pending: readonly RecordPlace[];
    }
  /** Nobody waits for this search any more. */
  | { readonly kind: "cancel"; readonly id: number }
  /** These segments are gone: their files are not to be kept open. */
  | { readonly kind: "forget"; readonly segmentIds: readonly string[] };

/** From the Worker. */
export type SearcherReport =
  /** Indexes of segments that the Worker has open from now on, all of them; whoever survives it closes them. */
  | { readonly kind: "open"; readonly indexNumbers: readonly number[] }
  /** What is to be searched? `bounds`: of all hits. */
  | { readonly kind: "plan"; readonly id: number; readonly bounds: QueryBounds }
  /** The index of a segment cannot be read. */
  | { readonly kind: "damaged"; readonly damage: IndexDamage }
  /** Places are sorted by topic, partition and offset. */
  | { readonly kind: "read"; readonly id: number; readonly places: readonly RecordPlace[] }
  | {
      readonly kind: "answer";
      readonly id: number;
      readonly status: number;
      readonly body: Uint8Array;
    };
