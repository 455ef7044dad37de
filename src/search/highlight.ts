/**
 * Fragments of a record's texts with what a query matches in tags. The shim says what matches, by the rules by
 * which it was found (`ffi/src/highlight.rs`); here texts are cut.
 *
 * A fragment is about `fragmentSize` characters around one match or several, cut at blanks where one is near, and
 * never inside a character. Of texts longer than 1 MiB only the beginning is looked at.
 */

import { highlightMarks } from "../core/native.ts";
import type { ShimQuery } from "../core/shim-query.ts";
import type { Highlight, HighlightField, HighlightRule } from "./highlight-request.ts";

/** A record's texts by field. A header is its name and its value. */
export type HighlightTexts = Readonly<Record<HighlightField, readonly string[]>>;

/** Part of a text, in UTF-16 units; `end` exclusive. */
interface Span {
  readonly start: number;
  readonly end: number;
}

interface Fragment extends Span {
  readonly marks: readonly Span[];
}

/** How far a cut may move to a blank. */
const BLANK_DISTANCE_MAX = 20;
const ENCODER = new TextEncoder();

/** The fragments to show by the rules' names; names without any are left out. */
export function highlightsOf(
  texts: HighlightTexts,
  highlight: Highlight,
  query: ShimQuery,
): Record<string, readonly string[]> {
  const shown: Record<string, readonly string[]> = {};
  for (const rule of highlight.rules) {
    const fragments = texts[rule.field].flatMap((text) =>
      fragmentsOf(text, rule, query).map((fragment) => ({
        shown: shownOf(text, fragment, rule, highlight.isHtml),
        score: fragment.marks.length,
      })),
    );
    if (rule.isByScore) fragments.sort((left, right) => right.score - left.score);
    const limit = rule.fragmentCount === 0 ? fragments.length : rule.fragmentCount;
    if (fragments.length > 0) {
      shown[rule.name] = fragments.slice(0, limit).map((fragment) => fragment.shown);
    }
  }
  return shown;
}

function fragmentsOf(text: string, rule: HighlightRule, query: ShimQuery): readonly Fragment[] {
  const marks = marksOf(text, rule, query);
  if (marks.length === 0) {
    if (rule.noMatchSize === 0 || text === "") return [];
    return [{ start: 0, end: cut(text, rule.noMatchSize, -1), marks: [] }];
  }
  if (rule.fragmentCount === 0) return [{ start: 0, end: text.length, marks }];
  const fragments = aroundMarks(text, marks, rule.fragmentSize);
  if (fragments.length <= rule.fragmentCount) return fragments;
  // The best ones, in the order of the text.
  const best = new Set(
    [...fragments]
      .sort((left, right) => right.marks.length - left.marks.length)
      .slice(0, rule.fragmentCount),
  );
  return fragments.filter((fragment) => best.has(fragment));
}

function marksOf(text: string, rule: HighlightRule, query: ShimQuery): readonly Span[] {
  const bytes = ENCODER.encode(text);
  const { field, isAnyField } = rule;
  const found = highlightMarks(bytes, { query: rule.query ?? query, field, isAnyField });
  const positionOf = bytes.length === text.length ? undefined : positionsIn(text);
  const marks: Span[] = [];
  for (let index = 0; index + 1 < found.length; index += 2) {
    const [start = 0, end = 0] = [found[index], found[index + 1]];
    marks.push(
      positionOf === undefined
        ? { start, end }
        : { start: positionOf(start), end: positionOf(end) },
    );
  }
  return marks;
}

/** Where the bytes of a text are in it; to be asked in ascending order. */
function positionsIn(text: string): (byte: number) => number {
  let position = 0;
  let passed = 0;
  return (byte) => {
    while (passed < byte && position < text.length) {
      const code = text.codePointAt(position) ?? 0;
      passed += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
      position += code < 0x10000 ? 1 : 2;
    }
    return position;
  };
}

/** Fragments that hold all marks, apart from each other. */
function aroundMarks(text: string, marks: readonly Span[], size: number): readonly Fragment[] {
  const fragments: Fragment[] = [];
  let index = 0;
  let endBefore = 0;
  for (let first = marks[index]; first !== undefined; first = marks[index]) {
    const inside = [first];
    index += 1;
    for (let next = marks[index]; next !== undefined; next = marks[index]) {
      if (next.end - first.start > size) break;
      inside.push(next);
      index += 1;
    }
    const last = inside.at(-1) ?? first;
    const room = Math.max(0, size - (last.end - first.start));
    const start = Math.max(endBefore, first.start - Math.ceil(room / 2));
    const end = Math.min(
      text.length,
      marks[index]?.start ?? text.length,
      start + Math.max(size, last.end - start),
    );
    const fragment = {
      start: start === endBefore ? start : Math.min(cut(text, start, 1), first.start),
      end: end === text.length ? end : Math.max(cut(text, end, -1), last.end),
      marks: inside,
    };
    fragments.push(fragment);
    endBefore = fragment.end;
  }
  return fragments;
}

/** A place near `position` where a text may be cut, in direction 1 or -1: behind or before a blank. */
function cut(text: string, position: number, direction: 1 | -1): number {
  if (position >= text.length) return text.length;
  for (let distance = 0; distance <= BLANK_DISTANCE_MAX; distance += 1) {
    const near = position + direction * distance;
    if (near <= 0 || near >= text.length) return near <= 0 ? 0 : text.length;
    if (/\s/.test(text.charAt(direction === 1 ? near - 1 : near))) return near;
  }
  const isInside = /[\udc00-\udfff]/.test(text.charAt(position));
  return isInside ? position + direction : position;
}

function shownOf(text: string, fragment: Fragment, rule: HighlightRule, isHtml: boolean): string {
  const part = (start: number, end: number): string => {
    const plain = text.slice(start, end);
    return isHtml ? escaped(plain) : plain;
  };
  let shown = "";
  let position = fragment.start;
  for (const mark of fragment.marks) {
    shown += part(position, mark.start) + rule.preTag + part(mark.start, mark.end) + rule.postTag;
    position = mark.end;
  }
  return shown + part(position, fragment.end);
}

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#x27;",
};

function escaped(text: string): string {
  return text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}
