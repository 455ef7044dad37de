/** How far the search index is behind the log, in bytes and in time. */

import { type WalAddress, walBytesBetween } from "../wal/wal-address.ts";

/** Moments that are remembered; above it, every second one is forgotten. */
const SAMPLES_MAX = 1024;

interface Sample {
  /** Durable since `sinceMs`. */
  readonly address: WalAddress;
  readonly sinceMs: number;
}

/** Remembers since when which address is durable. */
export class IndexingLag {
  readonly #walFileBytes: number;
  /** Addresses and times rise; all addresses lie beyond what is indexed. */
  #samples: Sample[] = [];
  #durableAddress: WalAddress;
  #indexedAddress: WalAddress;

  constructor(options: { readonly walFileBytes: number; readonly address: WalAddress }) {
    this.#walFileBytes = options.walFileBytes;
    this.#durableAddress = options.address;
    this.#indexedAddress = options.address;
  }

  /** @param nowMs monotonic */
  onDurable(address: WalAddress, nowMs: number): void {
    this.#durableAddress = address;
    if (address <= this.#indexedAddress) return;
    this.#samples.push({ address, sinceMs: nowMs });
    // Of two neighbours the later address with the earlier time stays: lag is never told too small.
    if (this.#samples.length <= SAMPLES_MAX) return;
    const samples = this.#samples;
    this.#samples = samples.flatMap((sample, index) => {
      if (index % 2 === 0) return [];
      const { sinceMs } = samples[index - 1] ?? sample;
      return [{ address: sample.address, sinceMs }];
    });
  }

  onIndexed(address: WalAddress): void {
    this.#indexedAddress = address;
    const first = this.#samples.findIndex((sample) => sample.address > address);
    this.#samples.splice(0, first < 0 ? this.#samples.length : first);
  }

  bytes(): number {
    const behind = walBytesBetween(this.#indexedAddress, this.#durableAddress, this.#walFileBytes);
    return Math.max(0, behind);
  }

  /** Age of the oldest durable record that is no hit yet. */
  seconds(nowMs: number): number {
    const oldest = this.#samples[0];
    return oldest === undefined ? 0 : (nowMs - oldest.sinceMs) / 1000;
  }
}
