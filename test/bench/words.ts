/** Words of a made-up language, some common and most rare (Zipf), from a seed: every run has the same. */

const VOCABULARY_SIZE = 20_000;
const SYLLABLES = "ka ro mi ten sal vu der pon ix lor ga thu be nal qui rast om fi".split(" ");

/** By rank: the first is the most common. */
export const VOCABULARY: readonly string[] = Array.from({ length: VOCABULARY_SIZE }, (_, rank) =>
  wordOf(rank),
);

/** The word that a uniform number in [0, 1) chooses; the chance falls with the rank. */
export function wordAt(uniform: number): string {
  return VOCABULARY[Math.floor(VOCABULARY_SIZE ** uniform) - 1] ?? "";
}

export function wordsFrom(random: () => number, count: number): string {
  let text = wordAt(random());
  for (let more = 1; more < count; more += 1) text += ` ${wordAt(random())}`;
  return text;
}

export function oneOf<Value>(values: readonly Value[], random: () => number): Value {
  return values[Math.floor(random() * values.length)] as Value;
}

function wordOf(rank: number): string {
  let word = "";
  for (let rest = rank + SYLLABLES.length; rest > 0; rest = Math.floor(rest / SYLLABLES.length)) {
    word += SYLLABLES[rest % SYLLABLES.length];
  }
  return word;
}
