/** What lies where in a broker's data directory. */

/** Paths of the files and directories in it. */
export interface DataDirectoryPaths {
  /** Locked while a broker runs. */
  readonly lock: string;
  readonly wal: string;
  readonly segments: string;
  readonly metaCheckpoint: string;
  readonly logCheckpoint: string;
  readonly segmentIndex: string;
}

export function pathsOf(dataDir: string): DataDirectoryPaths {
  return {
    lock: `${dataDir}/lock`,
    wal: `${dataDir}/wal`,
    segments: `${dataDir}/segments`,
    metaCheckpoint: `${dataDir}/meta.checkpoint`,
    logCheckpoint: `${dataDir}/logs.checkpoint`,
    segmentIndex: `${dataDir}/segments.index`,
  };
}
