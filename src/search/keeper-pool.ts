/**
 * The keepers that give segments their indexes, several at a time where there are cores for it. The first one is the
 * indexer's own, which freezes and drops generations, too; the others are there only while there is work for them.
 */

import type { KeepCommand, KeepReport } from "./indexer-messages.ts";
import { KeeperClient, type KeeperClientOptions } from "./keeper-client.ts";

/** Owns all but the first. */
export class KeeperPool {
  readonly #keepers: readonly KeeperClient[];

  constructor(first: KeeperClient, options: KeeperClientOptions, size: number) {
    const more = Array.from({ length: size - 1 }, () => new KeeperClient(options));
    this.#keepers = [first, ...more];
  }

  /** Commands that can be carried out at the same time. */
  get size(): number {
    return this.#keepers.length;
  }

  /** Has the keeper with the least to do carry it out. Resolves with its report; never if it is stopped before. */
  run(command: KeepCommand): Promise<KeepReport> {
    const least = this.#keepers.reduce((one, other) =>
      // Of those with nothing to do the last one: the first has other work, too.
      other.taskCount <= one.taskCount ? other : one,
    );
    return least.run(command);
  }

  /** Resolves when all that was given to them is carried out; never if they are stopped before. */
  async whenIdle(): Promise<void> {
    const busy = this.#keepers.filter(({ taskCount }) => taskCount > 0);
    const nothing = { kind: "drop", directory: "", ranges: [], indexNumbers: [] } as const;
    await Promise.all(busy.map((keeper) => keeper.run(nothing)));
  }

  stop(): void {
    for (const keeper of this.#keepers) keeper.stop();
  }
}
