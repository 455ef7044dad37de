/**
 * What processes and the machine use, from `/proc` (proc(5)). CPU times come in ticks of 10 ms, far finer than the
 * seconds that a run takes.
 */
import { readdirSync, readFileSync } from "node:fs";

/** `getconf CLK_TCK`; it is 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;
const KIB = 1024;

/** CPU time of a process and its threads since its start, those that have ended included. */
export function cpuSecondsOf(pid: number): number {
  return readStat(`/proc/${pid}/stat`).cpuSeconds;
}

/** CPU time of the threads that live and are as urgent as the process: Chronik's search index lowers its own. */
function foregroundCpuSecondsOf(pid: number): number {
  const processNice = readStat(`/proc/${pid}/stat`).nice;
  let sumSeconds = 0;
  for (const thread of readdirSync(`/proc/${pid}/task`)) {
    try {
      const { cpuSeconds, nice } = readStat(`/proc/${pid}/task/${thread}/stat`);
      if (nice <= processNice) sumSeconds += cpuSeconds;
    } catch {
      // It has just ended.
    }
  }
  return sumSeconds;
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
  readonly #foregroundStart: number;
  readonly #machineStart = machineCpuSeconds();
  readonly #ownStart = ownCpuSeconds();

  /** @param pid of a broker that runs; without, what it uses counts like a client's. */
  constructor(pid?: number) {
    this.#pid = pid;
    this.#brokerStart = pid === undefined ? 0 : cpuSecondsOf(pid);
    this.#foregroundStart = pid === undefined ? 0 : foregroundCpuSecondsOf(pid);
  }

  /** @param clientCpuSeconds of clients that have ended since the start */
  stop(clientCpuSeconds: number): Usage {
    const pid = this.#pid;
    const wallSeconds = (performance.now() - this.#startMs) / 1000;
    const brokerCpuSeconds = pid === undefined ? 0 : cpuSecondsOf(pid) - this.#brokerStart;
    const foregroundCpuSeconds =
      pid === undefined ? 0 : foregroundCpuSecondsOf(pid) - this.#foregroundStart;
    const ownSeconds = ownCpuSeconds() - this.#ownStart;
    const machineSeconds = machineCpuSeconds() - this.#machineStart;
    const othersSeconds = machineSeconds - brokerCpuSeconds - clientCpuSeconds - ownSeconds;
    const othersCores = Math.max(0, othersSeconds / wallSeconds);
    return { wallSeconds, brokerCpuSeconds, foregroundCpuSeconds, othersCores };
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
