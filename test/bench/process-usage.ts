/**
 * What processes and the machine use, from `/proc` (proc(5)). CPU times come in ticks of 10 ms, far finer than the
 * seconds that a run takes.
 */
import { readFileSync } from "node:fs";

/** `getconf CLK_TCK`; it is 100 on every Linux that Bun runs on. */
const TICKS_PER_SECOND = 100;
const KIB = 1024;

/** CPU time of a process and its threads since its start. */
export function cpuSecondsOf(pid: number): number {
  // The second field is the program's name in parentheses, which may contain anything.
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
  const [userIndex, systemIndex] = [11, 12];
  return (Number(fields[userIndex]) + Number(fields[systemIndex])) / TICKS_PER_SECOND;
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
  /** Cores in use by anything but the broker, its client and this process, on average; stolen time included. */
  readonly othersCores: number;
}

/** Watches a broker and the machine around it, from `start` to `stop`. */
export class UsageWatch {
  readonly #pid: number | undefined;
  readonly #startMs = performance.now();
  readonly #brokerStart: number;
  readonly #machineStart = machineCpuSeconds();
  readonly #ownStart = ownCpuSeconds();

  /** @param pid of a broker that runs; without, what it uses counts like a client's. */
  constructor(pid?: number) {
    this.#pid = pid;
    this.#brokerStart = this.#brokerSeconds();
  }

  /** @param clientCpuSeconds of clients that have ended since the start */
  stop(clientCpuSeconds: number): Usage {
    const wallSeconds = (performance.now() - this.#startMs) / 1000;
    const brokerCpuSeconds = this.#brokerSeconds() - this.#brokerStart;
    const ownSeconds = ownCpuSeconds() - this.#ownStart;
    const machineSeconds = machineCpuSeconds() - this.#machineStart;
    const othersSeconds = machineSeconds - brokerCpuSeconds - clientCpuSeconds - ownSeconds;
    return { wallSeconds, brokerCpuSeconds, othersCores: Math.max(0, othersSeconds / wallSeconds) };
  }

  #brokerSeconds(): number {
    return this.#pid === undefined ? 0 : cpuSecondsOf(this.#pid);
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
