/** Counts the segments that Workers index at the same time, from what is said to them and by them. */

export class SegmentCounter {
  /** The most that there were. */
  most = 0;
  #now = 0;

  /** Each Worker carries out one command at a time. */
  watch(worker: Worker): void {
    const post = worker.postMessage.bind(worker);
    worker.postMessage = (command: { kind?: string }, ...rest: [object?]) => {
      post(command, ...rest);
      if (command.kind !== "indexSegment") return;
      this.#now += 1;
      this.most = Math.max(this.most, this.#now);
      const done = (): void => {
        this.#now -= 1;
      };
      worker.addEventListener("message", done, { once: true });
    };
  }
}
