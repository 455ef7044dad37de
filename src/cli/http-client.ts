/** Asks the broker's HTTP port, for subcommands: JSON both ways, errors as sentences. */

/** @throws Error with what the broker said, or why it could not be asked */
export async function fetchJson(url: string, body?: object): Promise<unknown> {
  const { origin } = new URL(url);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      signal: AbortSignal.timeout(ANSWER_MS_MAX),
      ...(body === undefined
        ? {}
        : {
            method: "POST",
            headers: { "Content-Type": "application/json" },
            body: JSON.stringify(body),
          }),
    });
    text = await response.text();
  } catch (cause) {
    throw new Error(`No broker answers at ${origin} (${failureOf(cause)}).`, { cause });
  }
  const answer = parsed(text);
  if (!response.ok) throw new Error(reasonIn(answer) ?? `${origin} answers ${response.status}.`);
  if (answer === undefined) throw new Error(`${origin} does not answer with JSON.`);
  return answer;
}

const ANSWER_MS_MAX = 60_000;

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The reason of an error answer, of a search or of another path. */
function reasonIn(answer: unknown): string | undefined {
  for (const candidate of [field(answer, "error"), answer]) {
    const reason = field(candidate, "reason");
    if (typeof reason === "string") return reason;
  }
  return undefined;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

function failureOf(thrown: unknown): string {
  const code = field(thrown, "code");
  if (code === "ECONNREFUSED") return "connection refused";
  if (code === "ENOTFOUND") return "there is no such host";
  if (thrown instanceof Error && thrown.name === "TimeoutError") return "timeout";
  return thrown instanceof Error ? thrown.message : String(thrown);
}
