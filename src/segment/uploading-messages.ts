/** What the uploading Worker is asked for, and what it answers: one piece of work at a time. */

import type { ObjectStoreFindings } from "./object-store-probe.ts";
import type { ObjectStoreLocation } from "./object-store-url.ts";

export type UploadWork =
  | { readonly kind: "probe" }
  /** All keys that begin with `prefix`. */
  | { readonly kind: "list"; readonly prefix: string }
  /** The first `sizeBytes` of a file. */
  | {
      readonly kind: "put";
      readonly key: string;
      readonly path: string;
      readonly sizeBytes: number;
    }
  | { readonly kind: "delete"; readonly keys: readonly string[] };

export interface UploadCommand {
  readonly location: ObjectStoreLocation;
  readonly work: UploadWork;
}

/** Requests of one kind with one answer; status 0 stands for none. */
export interface RequestCount {
  readonly operation: string;
  readonly status: number;
  readonly count: number;
  readonly sentBytes: number;
}

export interface UploadResult {
  /** Of `probe`. */
  readonly findings?: ObjectStoreFindings;
  /** Of `list`. */
  readonly keys?: readonly string[];
}

export type UploadReport = { readonly requests: readonly RequestCount[] } & (
  | { readonly kind: "done"; readonly result: UploadResult }
  | { readonly kind: "failed"; readonly reason: string }
);
