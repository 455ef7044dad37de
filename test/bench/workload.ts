/** What every workload gets and gives. */
import type { BrokerKind } from "../conformance/broker.ts";
import type { Row } from "./row.ts";

export interface Context {
  /** Measured pairs, or measured starts; a first one that does not count comes on top. */
  readonly pairCount: number;
  /** Factor on record counts and durations. */
  readonly scale: number;
  /** For data directories; its content goes with the run. */
  readonly directory: string;
  /** For data that takes long to load; its content stays. Undefined: it goes with the run, too. */
  readonly keep: string | undefined;
  readonly chronik: (...flags: readonly string[]) => BrokerKind;
  /** One line for the person who watches. */
  readonly tell: (line: string) => void;
}

export interface Outcome {
  readonly rows: readonly Row[];
  /** Every single run, for the file of results. */
  readonly runs: readonly unknown[];
}

export interface Workload {
  /** Used with `--only`. */
  readonly name: string;
  readonly run: (context: Context) => Promise<Outcome>;
}

/** A record count or duration at the run's scale, at least 1. */
export function scaled(value: number, { scale }: Context): number {
  return Math.max(1, Math.round(value * scale));
}
