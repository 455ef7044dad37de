/** What a check of a data directory tells, one line each. */

export interface Finding {
  /** A fault is damage or loss; a note is what a crash leaves and a start puts in order. */
  readonly kind: "fault" | "note";
  /** Of the file or directory that it is about. */
  readonly path: string;
  /** A clause: it begins small and has no full stop. */
  readonly reason: string;
}

export type OnFinding = (finding: Finding) => void;

/** What an error says. */
export function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
