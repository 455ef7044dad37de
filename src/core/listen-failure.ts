/** Why a port could not be opened, as one sentence for the one who runs the broker. */

/** The error to tell for what `Bun.listen` threw. */
export function listenFailureOf(thrown: unknown, hostname: string, port: number): Error {
  const place = `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  return new Error(`Cannot listen on ${place}: ${reasonOf(thrown)}`, { cause: thrown });
}

function reasonOf(thrown: unknown): string {
  const code = typeof thrown === "object" && thrown !== null && "code" in thrown ? thrown.code : "";
  switch (code) {
    case "EADDRINUSE":
      return "the port is in use.";
    case "EACCES":
      return "this user may not use the port.";
    case "EADDRNOTAVAIL":
      return "this machine does not have the address.";
    default:
      return thrown instanceof Error ? `${thrown.message}.` : String(thrown);
  }
}
