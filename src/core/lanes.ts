/** Work on several things at a time. */

/**
 * Works on each of `items`, on `laneCount` at a time. After a failure, or when `isStopped`, none is begun, and those
 * under way are waited for. Rejects with the first failure.
 */
export async function eachAtATime<T>(
  items: readonly T[],
  { laneCount, isStopped }: { readonly laneCount: number; readonly isStopped: () => boolean },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const waiting = items.values();
  let hasFailed = false;
  const lane = async (): Promise<void> => {
    for (const item of waiting) {
      if (hasFailed || isStopped()) return;
      await work(item);
    }
  };
  const lanes = Array.from({ length: laneCount }, () =>
    lane().catch((thrown: unknown) => {
      hasFailed = true;
      throw thrown;
    }),
  );
  for (const outcome of await Promise.allSettled(lanes)) {
    if (outcome.status === "rejected") throw outcome.reason;
  }
}
