/** Values that are no text, large, or of very many fields: found all the same, in the live index and in segments. */

import { expect, setDefaultTimeout, test } from "bun:test";
import { SearchFixture, type TestRecord } from "./search-fixture.ts";

setDefaultTimeout(60_000);

const NOISE = Uint8Array.of(0x6e, 0x6f, 0x69, 0x73, 0x65, 0x20, 0xff, 0xfe, 0x00, 0xc3);
const LARGE = JSON.stringify({ size: "large", text: `${"filler ".repeat(150_000)} needle` });
const ROUNDS = 10;
const ROUND_RECORDS = 10;
const RECORD_PATHS = 1_000;
/** Of one topic, in one part of the index. */
const PATHS_MAX = 1_000;

/** Records none of whose fields any other has. */
function wideRecords(round: number): TestRecord[] {
  return Array.from({ length: ROUND_RECORDS }, (_, record) => {
    const paths = Array.from({ length: RECORD_PATHS }, (_, path) => [
      `p${round}_${record}_${path}`,
      1,
    ]);
    return { value: JSON.stringify({ ...Object.fromEntries(paths), word: `w${round}x${record}` }) };
  });
}

async function expectFound(broker: SearchFixture, rounds: number): Promise<void> {
  const noise = await broker.search({ query: { match: { _value: "noise" } } });
  expect(noise.hits.hits).toMatchObject([
    { _source: { value_base64: Buffer.from(NOISE).toString("base64") } },
  ]);
  const needle = { match_phrase: { text: "filler needle" } };
  const large = await broker.search({
    query: { bool: { must: [needle, { term: { size: "large" } }] } },
  });
  expect(large.hits.hits).toMatchObject([{ _id: "odd/0/1", _source: { value: LARGE } }]);
  // By its words each is found, whatever fields it has.
  for (let round = 0; round < rounds; round += 1) {
    const ids = await broker.idsOf({ match: { _value: `w${round}x${ROUND_RECORDS - 1}` } });
    expect(ids).toEqual([`wide/0/${(round + 1) * ROUND_RECORDS - 1}`]);
  }
}

async function fieldCount(broker: SearchFixture): Promise<number> {
  const body = new Uint8Array();
  const asked = { api: "fieldCaps", topics: "wide", parameters: "fields=p*", body } as const;
  const output = await broker.searcher.search(asked);
  return Object.keys(JSON.parse(new TextDecoder().decode(output.body)).fields).length;
}

test("limits: noise, a megabyte and 100,000 fields are found, and what they take is bounded", async () => {
  expect(LARGE.length).toBeGreaterThan(1_000_000);
  await using broker = await SearchFixture.open();
  await broker.produce("odd", [{ value: NOISE }, { value: LARGE }]);
  await broker.produce("wide", wideRecords(0));
  await expectFound(broker, 1);
  expect(await fieldCount(broker)).toBe(PATHS_MAX);
  for (let round = 1; round <= ROUNDS; round += 1) {
    (await broker.seal())();
    await broker.search({ size: 0 });
    await broker.whenLogged("segment_indexed", round);
    if (round < ROUNDS) await broker.produce("wide", wideRecords(round));
  }
  await broker.search({ size: 0 });
  expect(broker.segments.index.stats().segmentCount).toBe(ROUNDS);
  await expectFound(broker, ROUNDS);
  // `word` takes a path where there still is one.
  const count = await fieldCount(broker);
  expect(count).toBeGreaterThan((ROUNDS - 1) * PATHS_MAX);
  expect(count).toBeLessThanOrEqual(ROUNDS * PATHS_MAX);
});
