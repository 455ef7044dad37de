/** Client programs as children: bounded in time, with the CPU time they took. None outlives this process. */

export interface Finished {
  readonly output: string;
  readonly cpuSeconds: number;
}

const running = new Set<Bun.Subprocess>();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});

/** @throws with its output if it fails or takes longer than `timeoutMs` */
export async function runToEnd(
  command: readonly string[],
  { timeoutMs }: { timeoutMs: number },
): Promise<Finished> {
  const child = Bun.spawn([...command], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  running.add(child);
  const deadline = setTimeout(() => child.kill("SIGKILL"), timeoutMs);
  try {
    const [output, errors, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    if (code !== 0) {
      const reason = child.signalCode === "SIGKILL" ? `after ${timeoutMs} ms` : `with ${code}`;
      throw new Error(`${command.at(0)} ended ${reason}:\n${output}${errors}`.slice(0, 4000));
    }
    const microseconds = Number(child.resourceUsage()?.cpuTime.total ?? 0);
    return { output, cpuSeconds: microseconds / 1e6 };
  } finally {
    clearTimeout(deadline);
    running.delete(child);
  }
}
