/**
 * What processes and the machine use, from `/proc` (proc(5)). CPU times come in ticks of 10 ms, far finer than the
 * seconds that a run takes.
 */
import { readdirSync, readFileSync } from "node:fs";

/** `getconf CLK_TCK`; it is 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;
const KIB = 1024;
/** Between two looks at the threads of a process. */
const THREADS_PAUSE_MS = 100;

/** CPU time of a process and its threads since its start, those that have ended included. */
export function cpuSecondsOf(pid: number): number {
  return readStat(`/proc/${pid}/stat`).cpuSeconds;
}

function readStat(file: string): { readonly cpuSeconds: number; readonly nice: number } {
  // The second field is the name in parentheses, which may contain anything; the third is the first after it.
  const text = readFileSync(file, "utf8");
  const fields = text.slice(text.lastIndexOf(") ") + 2).split(" ");
  const [user = 0, system = 0, , , , nice = 0] = fields.slice(11).map(Number);
  return { cpuSeconds: (user + system) / TICKS_PER_SECOND, nice };
}

export interface ResidentMemory {
  readonly nowBytes: number;
  /** Since the start of the process. */
  readonly peakBytes: number;
}

export function residentMemoryOf(pid: number): ResidentMemory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name: string): number => {
    const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1];
    if (value === undefined) throw new Error(`/proc/${pid}/status has no ${name}.`);
    return Number(value) * KIB;
  };
  return { nowBytes: field("VmRSS"), peakBytes: field("VmHWM") };
}

/** The 1-minute load average. */
export function loadAverage(): number {
  return Number(readFileSync("/proc/loadavg", "utf8").split(" ")[0]);
}

export interface Usage {
  readonly wallSeconds: number;
  readonly brokerCpuSeconds: number;
  /** Of these, without threads less urgent than the process. */
  readonly foregroundCpuSeconds: number;
  /** Cores in use by anything but the broker, its client and this process, on average; stolen time included. */
  readonly othersCores: number;
}

/** Watches a broker and the machine around it, from `start` to `stop`. */
export class UsageWatch {
  readonly #pid: number | undefined;
  readonly #startMs = performance.now();
  readonly #brokerStart: number;
  readonly #background: BackgroundThreads | undefined;
  readonly #machineStart = machineCpuSeconds();
  readonly #ownStart = ownCpuSeconds();

  /** @param pid of a broker that runs; without, what it uses counts like a client's. */
  constructor(pid?: number) {
    this.#pid = pid;
    this.#brokerStart = pid === undefined ? 0 : cpuSecondsOf(pid);
    this.#background = pid === undefined ? undefined : new BackgroundThreads(pid);
  }

  /** @param clientCpuSeconds of clients that have ended since the start */
  stop(clientCpuSeconds: number): Usage {
    const pid = this.#pid;
    const wallSeconds = (performance.now() - this.#startMs) / 1000;
    const brokerCpuSeconds = pid === undefined ? 0 : cpuSecondsOf(pid) - this.#brokerStart;
    const foregroundCpuSeconds = brokerCpuSeconds - (this.#background?.stop() ?? 0);
    const ownSeconds = ownCpuSeconds() - this.#ownStart;
    const machineSeconds = machineCpuSeconds() - this.#machineStart;
    const othersSeconds = machineSeconds - brokerCpuSeconds - clientCpuSeconds - ownSeconds;
    const othersCores = Math.max(0, othersSeconds / wallSeconds);
    return { wallSeconds, brokerCpuSeconds, foregroundCpuSeconds, othersCores };
  }
}

/**
 * Watches the threads of a process that are less urgent than itself: Chronik's search index lowers its own. They come
 * and go, and the system forgets what a thread used when it ends; so they are looked at again and again.
 */
class BackgroundThreads {
  readonly #pid: number;
  readonly #processNice: number;
  /** CPU seconds at the start, and when last looked at; those of a thread that came later start at 0. */
  readonly #threads = new Map<string, { readonly start: number; last: number }>();
  readonly #timer: Timer;

  constructor(pid: number) {
    this.#pid = pid;
    this.#processNice = readStat(`/proc/${pid}/stat`).nice;
    this.#look({ isFirst: true });
    this.#timer = setInterval(() => this.#look({ isFirst: false }), THREADS_PAUSE_MS);
    this.#timer.unref();
  }

  /** @returns the CPU seconds that they used since the start */
  stop(): number {
    clearInterval(this.#timer);
    this.#look({ isFirst: false });
    return [...this.#threads.values()].reduce((sum, { start, last }) => sum + last - start, 0);
  }

  #look({ isFirst }: { isFirst: boolean }): void {
    try {
      for (const thread of readdirSync(`/proc/${this.#pid}/task`)) this.#lookAt(thread, isFirst);
    } catch {
      // One has just ended, or the whole process: what was seen of it counts, the next look sees the rest.
    }
  }

  #lookAt(thread: string, isFirst: boolean): void {
    const { cpuSeconds, nice } = readStat(`/proc/${this.#pid}/task/${thread}/stat`);
    if (nice <= this.#processNice) return;
    const known = this.#threads.get(thread);
    if (known) known.last = cpuSeconds;
    else this.#threads.set(thread, { start: isFirst ? cpuSeconds : 0, last: cpuSeconds });
  }
}

/** All that the machine's cores did for anybody, and what its host took from it. */
function machineCpuSeconds(): number {
  const [line = ""] = readFileSync("/proc/stat", "utf8").split("\n");
  const [user = 0, nice = 0, system = 0, , , interrupts = 0, softInterrupts = 0, stolen = 0] = line
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  return (user + nice + system + interrupts + softInterrupts + stolen) / TICKS_PER_SECOND;
}

function ownCpuSeconds(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}
