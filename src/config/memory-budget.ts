/**
 * How `memoryMaxBytes` is shared. The limit is meant for the whole process (RSS), so the runtime with its
 * Workers, the library and the garbage that has not been collected yet is set aside first:
 *
 *   runtime reserve   fixed + 1/8 of the limit     main thread, three Workers, the index writer's heap
 *   rest              1/4 WAL slab (a power of two), 5/16 requests and responses in flight, 1/4 live index,
 *                     1/16 cache of what is read from archives, 1/8 topic reads over HTTP
 *
 * What the roundings leave over stays unused, as room for the allocator.
 */

const MIB = 2 ** 20;
const RUNTIME_FIXED_BYTES = 128 * MIB;
const SLAB_BYTES_MIN = 8 * MIB;
const SLAB_BYTES_MAX = 64 * MIB;

/** The settings that share the memory limit. */
export interface MemoryShares {
  readonly walSlabBytes: number;
  readonly inFlightBytesMax: number;
  readonly liveIndexBytesMax: number;
}

/** The shares that no setting chooses. */
export interface FixedShares {
  readonly archiveCacheBytesMax: number;
  readonly topicReadBytesMax: number;
}

/** What is left of `memoryMaxBytes` for all shares. */
export function sharedBytesOf(memoryMaxBytes: number): number {
  return memoryMaxBytes - RUNTIME_FIXED_BYTES - Math.floor(memoryMaxBytes / 8);
}

export function fixedSharesOf(memoryMaxBytes: number): FixedShares {
  const shared = sharedBytesOf(memoryMaxBytes);
  return {
    archiveCacheBytesMax: wholeMebibytes(shared / 16),
    topicReadBytesMax: wholeMebibytes(shared / 8),
  };
}

/** What is left for the shares that settings may choose. */
export function choosableBytesOf(memoryMaxBytes: number): number {
  const { archiveCacheBytesMax, topicReadBytesMax } = fixedSharesOf(memoryMaxBytes);
  return sharedBytesOf(memoryMaxBytes) - archiveCacheBytesMax - topicReadBytesMax;
}

/**
 * The shares of `memoryMaxBytes`; values in `chosen` that are not 0 are kept as they are. The slab divides
 * `walFileBytes` (both are powers of two). The sum may exceed `choosableBytesOf` only through `chosen`.
 */
export function memorySharesOf(
  memoryMaxBytes: number,
  chosen: MemoryShares & { readonly walFileBytes: number },
): MemoryShares {
  const shared = sharedBytesOf(memoryMaxBytes);
  const slab = Math.min(
    Math.max(powerOfTwoAtMost(shared / 4), SLAB_BYTES_MIN),
    SLAB_BYTES_MAX,
    chosen.walFileBytes,
  );
  return {
    walSlabBytes: chosen.walSlabBytes || slab,
    inFlightBytesMax: chosen.inFlightBytesMax || wholeMebibytes((shared * 5) / 16),
    liveIndexBytesMax: chosen.liveIndexBytesMax || wholeMebibytes(shared / 4),
  };
}

/** Whether `value` is 1, 2, 4, 8, … */
export function isPowerOfTwo(value: number): boolean {
  return Number.isInteger(Math.log2(value));
}

function powerOfTwoAtMost(value: number): number {
  return 2 ** Math.floor(Math.log2(value));
}

function wholeMebibytes(bytes: number): number {
  return Math.floor(bytes / MIB) * MIB;
}
