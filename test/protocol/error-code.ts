/** What code an action fails with. */
import { type ErrorCode, KafkaError } from "../../src/protocol/errors.ts";

/** The code of the `KafkaError` that `action` throws, undefined if none. Any other error is a failure of the test. */
export function codeOf(action: () => unknown): ErrorCode | undefined {
  try {
    action();
  } catch (thrown) {
    if (thrown instanceof KafkaError) return thrown.code;
    throw thrown;
  }
  return undefined;
}
