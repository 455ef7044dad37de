/**
 * Reads what the other clients wrote, in each codec: the strict Java client reads all of it, each other client
 * what its neighbour in the table wrote.
 */
import { CLIENTS, type Client } from "../clients.ts";
import { type Bench, NotApplicable, type Scenario } from "../scenario.ts";
import { acksFromZero, verifyRecords } from "../verify.ts";
import { CODECS, PARTITIONS, recordsOf, recordsTopicOf } from "./records.ts";

export const readingOthers: Scenario = {
  name: "reading-others",
  title: "reads what other clients wrote, in each codec",
  run: async (bench) => await readOthers(bench),
};

/** Runs after everything else, when the broker was killed and restarted several times. */
export const readingAfterKills: Scenario = {
  name: "reading-after-kills",
  title: "the strict Java client reads everything again, after all the kills",
  run: async (bench) => await readOthers(bench),
};

async function readOthers(bench: Bench): Promise<string> {
  const found = await bench.agent.run("listTopics");
  const existing = new Set(found["topics"] as string[]);
  const authors: string[] = [];
  for (const author of authorsFor(bench.client)) {
    const sent = recordsOf({ client: author });
    for (const codec of CODECS) {
      const topic = recordsTopicOf(author.name, codec);
      if (!existing.has(topic)) continue;
      const read = await bench.consume(topic, PARTITIONS, sent.length);
      verifyRecords({ sent, acks: acksFromZero(sent), read });
      if (!authors.includes(author.name)) authors.push(author.name);
    }
  }
  if (authors.length === 0) throw new NotApplicable("no other client has written");
  return `of ${authors.join(", ")}`;
}

function authorsFor(reader: Client): readonly Client[] {
  const others = CLIENTS.filter((client) => client !== reader);
  if (reader.name === "java") return others;
  const next = CLIENTS[(CLIENTS.indexOf(reader) + 1) % CLIENTS.length];
  return next ? [next] : [];
}
