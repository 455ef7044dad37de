/** The known name that somebody who mistyped probably meant. */

/** The closest of `known` to `name`, or undefined when nothing is close enough to suggest. */
export function nearestOf(name: string, known: readonly string[]): string | undefined {
  let nearest: string | undefined;
  let distanceMin = Math.max(2, Math.ceil(name.length * 0.45)) + 1;
  for (const candidate of known) {
    const extendsIt = name.startsWith(candidate) || candidate.startsWith(name);
    const distance = extendsIt ? 1 : editDistanceOf(name.toLowerCase(), candidate.toLowerCase());
    if (distance < distanceMin) {
      distanceMin = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

/** Insertions, deletions and replacements between two words (Levenshtein). */
function editDistanceOf(from: string, to: string): number {
  let previous = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const replaced = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const removed = (previous[column] ?? 0) + 1;
      const inserted = (current[column - 1] ?? 0) + 1;
      current.push(Math.min(replaced, removed, inserted));
    }
    previous = current;
  }
  return previous[to.length] ?? 0;
}
