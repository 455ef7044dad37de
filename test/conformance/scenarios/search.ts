/** 100 records by kafka-python, intact, and each a hit of a full-text query a moment later. Chronik alone. */

import type { WireRecord } from "../records.ts";
import { NotApplicable, type Scenario } from "../scenario.ts";
import { expectEqual, verifyRecords } from "../verify.ts";

const COUNT = 100;
const PARTITIONS = 3;
const PATIENCE_MS = 5_000;
const POLL_MS = 50;

interface SearchAnswer {
  readonly hits: {
    readonly total: { readonly value: number };
    readonly hits: readonly { readonly _id: string }[];
  };
}

export const search: Scenario = {
  name: "search",
  title: "100 records, all intact, then found by full-text search",
  run: async (bench) => {
    if (bench.broker.kind.name !== "chronik") throw new NotApplicable("Kafka has no search");
    const topic = bench.topicOf("search");
    await bench.createTopic(topic, PARTITIONS);
    const sent: WireRecord[] = Array.from({ length: COUNT }, (_, index) => ({
      p: index % PARTITIONS,
      t: Date.now(),
      k: null,
      v: Buffer.from(`The ${index}th quokka smiles at the camera`).toString("base64"),
      h: [],
    }));
    const acks = await bench.produce({ topic, records: sent });
    const ackedMs = performance.now();
    const url = `${bench.broker.httpUrl}/${topic}/_search?q=quokka&size=${COUNT}`;
    let answer = await searchOnce(url);
    while (answer.hits.total.value < COUNT && performance.now() - ackedMs < PATIENCE_MS) {
      await Bun.sleep(POLL_MS);
      answer = await searchOnce(url);
    }
    const foundMs = Math.round(performance.now() - ackedMs);
    expectEqual(answer.hits.total.value, COUNT, "hits");
    const ids = answer.hits.hits.map((hit) => hit._id).sort();
    const expected = acks.map(([, partition, offset]) => `${topic}/${partition}/${offset}`).sort();
    expectEqual(ids, expected, "ids of the hits");
    verifyRecords({ sent, acks, read: await bench.consume(topic, PARTITIONS, COUNT) });
    return `found ${foundMs} ms after the last acknowledgement`;
  },
};

async function searchOnce(url: string): Promise<SearchAnswer> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  return (await response.json()) as SearchAnswer;
}
