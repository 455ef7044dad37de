/** Assertions that stay on in production: they state what this program, not its input, got wrong. */

/** A broken invariant: a fault of this program, never of a peer, a disk or a setting. */
export class AssertionError extends Error {
  override readonly name = "AssertionError";
}

/** Stops on a programmer error. Peer input and disk faults are not assertions: throw `KafkaError`. */
export function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new AssertionError(message);
}

/** The end of an exhaustive `switch`: reached only if a case was forgotten. */
export function assertNever(value: never): never {
  throw new AssertionError(`unexpected value ${JSON.stringify(value)}`);
}
