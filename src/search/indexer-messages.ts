/**
 * What the main thread and the indexer's Worker tell each other. The Worker has two roles, told apart by the
 * first message: it fills the live index, or it keeps generations (loads, freezes, verifies, drops them).
 */

import type { BusyCell } from "../core/client-traffic.ts";
import type { SegmentFacts } from "../segment/segment-facts.ts";
import type { WalAddress } from "../wal/wal-address.ts";

/** A topic that exists. */
export interface NamedTopic {
  readonly topicId: string;
  readonly name: string;
}

/** A range of the WAL, start inclusive, end exclusive. */
export interface AddressRange {
  readonly startAddress: WalAddress;
  readonly endAddress: WalAddress;
}

/** What is known of a part of the search index, wherever it lies. */
export interface GenerationFacts extends AddressRange {
  readonly documentCount: number;
  readonly sizeBytes: number;
  /** Topics that have records in it. */
  readonly topicIds: readonly string[];
}

/** To the Worker that fills the live index. */
export type IndexCommand =
  | {
      /** The first: index the WAL from `startAddress` on, as far as it is durable. */
      readonly kind: "index";
      readonly walDirectory: string;
      /** Whether clients are busy. */
      readonly busy: BusyCell;
      /** Of each WAL file. */
      readonly walFileBytes: number;
      readonly startAddress: WalAddress;
      readonly durableAddress: WalAddress;
      readonly topics: readonly NamedTopic[];
      /** Index bytes at which a generation is full. */
      readonly generationBytesMax: number;
      /** Whether a full generation is still being frozen. */
      readonly isSealing: boolean;
      /** Where generations are to end, as with "boundary". */
      readonly boundaries: readonly WalAddress[];
    }
  /** A seal takes what lies before `address`: no generation is to reach over it. Told before more is durable. */
  | { readonly kind: "boundary"; readonly address: WalAddress }
  /** Everything before `address` is durable. */
  | { readonly kind: "durable"; readonly address: WalAddress }
  /** What lies before `address` is to be searchable soon, not at the next commit. */
  | { readonly kind: "refresh"; readonly address: WalAddress }
  /** Its batches are indexed from now on. */
  | { readonly kind: "topicAdded"; readonly topic: NamedTopic }
  /** It was deleted, or is not to be searched any more. */
  | { readonly kind: "topicRemoved"; readonly topicId: string }
  /** The full generation is frozen: another one may become full. */
  | { readonly kind: "sealed" };

/** From the Worker that fills the live index. */
export type IndexReport =
  /** There is a new, empty live index for what lies from `startAddress` on. */
  | { readonly kind: "created"; readonly indexNumber: number; readonly startAddress: WalAddress }
  /** Records of these topics are being added, for the first time in this index. Told before they are hits. */
  | {
      readonly kind: "topics";
      readonly indexNumber: number;
      readonly topicIds: readonly string[];
    }
  /** All before `endAddress` is searchable. */
  | {
      readonly kind: "committed";
      readonly indexNumber: number;
      readonly endAddress: WalAddress;
      readonly documentCount: number;
      readonly sizeBytes: number;
    }
  /** The index ends where the last commit said; "created" follows for the next one. */
  | { readonly kind: "full"; readonly indexNumber: number }
  /** A batch that cannot be read was left out. */
  | {
      readonly kind: "skipped";
      readonly topicId: string;
      readonly partition: number;
      readonly baseOffset: number;
      readonly reason: string;
    };

/** To the Worker that keeps generations. Each is answered by one report. */
export type KeepCommand =
  | {
      /** The first: open what is in `directory` and is still needed. */
      readonly kind: "load";
      readonly directory: string;
      readonly walDirectory: string;
      /** What lies before it is found in segments. */
      readonly floorAddress: WalAddress;
      readonly oldestAddress: WalAddress;
      readonly durableAddress: WalAddress;
    }
  | {
      /** Write a full live index to disk, without the records of `excludedTopicIds`. */
      readonly kind: "freeze";
      readonly directory: string;
      readonly walDirectory: string;
      readonly indexNumber: number;
      readonly facts: GenerationFacts;
      readonly excludedTopicIds: readonly string[];
    }
  | {
      /** Give a segment its search index. */
      readonly kind: "indexSegment";
      readonly directory: string;
      readonly segmentPath: string;
      readonly segment: SegmentFacts;
      /** Indexes that hold all records of the segment; undefined: read its batches. */
      readonly indexNumbers: readonly number[] | undefined;
      /** Those that are to be searchable. */
      readonly topics: readonly NamedTopic[];
      /** For an index that is made from batches. */
      readonly memoryBytesMax: number;
    }
  /** Compare every checksum. */
  | { readonly kind: "verify"; readonly directory: string; readonly range: AddressRange }
  /** Remove generations from disk, and close indexes. */
  | {
      readonly kind: "drop";
      readonly directory: string;
      readonly ranges: readonly AddressRange[];
      readonly indexNumbers: readonly number[];
    };

/** A generation on disk that is open. */
export interface LoadedGeneration extends GenerationFacts {
  /** Undefined if it holds no record. */
  readonly indexNumber: number | undefined;
}

/** From the Worker that keeps generations. */
export type KeepReport =
  | {
      readonly kind: "loaded";
      readonly generations: readonly LoadedGeneration[];
      /** Sentences about what was dropped. */
      readonly dropped: readonly string[];
    }
  | { readonly kind: "frozen"; readonly generation: LoadedGeneration; readonly elapsedMs: number }
  | {
      readonly kind: "segmentIndexed";
      readonly segment: SegmentFacts;
      readonly elapsedMs: number;
    }
  | { readonly kind: "segmentNotIndexed"; readonly reason: string }
  | { readonly kind: "verified"; readonly range: AddressRange; readonly fault: string | undefined }
  | { readonly kind: "dropped" };

export type IndexerCommand = IndexCommand | KeepCommand;
