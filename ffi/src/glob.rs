//! Wildcard patterns as an automaton over UTF-8 bytes, for the walk through a sorted dictionary.
//!
//! A pattern is cut at its `*` into segments. Segments match one after the other, each as early as possible:
//! what an earlier `*` could still reach, the later one reaches too. So the state is the place within one
//! segment, a set of at most [`SEGMENT_BYTES_MAX`] positions.

use crate::guard::Outcome;
use tantivy_fst::Automaton;

/// Longest run between two `*`, in bytes.
pub const SEGMENT_BYTES_MAX: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Element {
    Byte(u8),
    AnyCharacter,
}

/// A compiled pattern, behind a literal (the path of a JSON field within the dictionary).
pub struct Glob {
    literal: Vec<u8>,
    segments: Vec<Vec<Element>>,
    starts_with_any: bool,
    ends_with_any: bool,
    is_case_insensitive: bool,
}

/// Positions of one segment that are reached: bit `i` says that `i` elements matched.
type Positions = [u64; 4];

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GlobState {
    Literal(usize),
    Segment {
        index: usize,
        positions: Positions,
    },
    /// The rest does not matter.
    Done,
    Dead,
}

impl Glob {
    /// `*`, `?` and `\` as in [`crate::query`]. Case is ignored for ASCII letters only.
    pub fn new(pattern: &str, is_case_insensitive: bool) -> Outcome<Glob> {
        let mut segments = vec![Vec::new()];
        let mut characters = pattern.chars();
        let (mut starts_with_any, mut ends_with_any) = (false, false);
        while let Some(character) = characters.next() {
            if character == '*' {
                starts_with_any |= segments.len() == 1 && segments[0].is_empty();
                if segments.last().is_some_and(|segment| !segment.is_empty()) {
                    segments.push(Vec::new());
                }
                ends_with_any = true;
                continue;
            }
            ends_with_any = false;
            let Some(segment) = segments.last_mut() else { break };
            match character {
                '?' => segment.push(Element::AnyCharacter),
                '\\' => push_literal(segment, characters.next().unwrap_or('\\')),
                _ => push_literal(segment, character),
            }
            if segment.len() > SEGMENT_BYTES_MAX {
                return Err(format!("A pattern has more than {SEGMENT_BYTES_MAX} bytes between two stars."));
            }
        }
        if segments.last().is_some_and(Vec::is_empty) {
            segments.pop();
        }
        Ok(Glob { literal: Vec::new(), segments, starts_with_any, ends_with_any, is_case_insensitive })
    }

    /// What starts with `prefix`.
    pub fn prefix(prefix: &str, is_case_insensitive: bool) -> Outcome<Glob> {
        let mut glob = Glob::new("", is_case_insensitive)?;
        for chunk in prefix.as_bytes().chunks(SEGMENT_BYTES_MAX) {
            glob.segments.push(chunk.iter().map(|byte| Element::Byte(*byte)).collect());
        }
        if glob.segments.len() > 1 {
            return Err(format!("A prefix has more than {SEGMENT_BYTES_MAX} bytes."));
        }
        glob.ends_with_any = true;
        glob.starts_with_any = prefix.is_empty();
        Ok(glob)
    }

    /// The same pattern behind `literal`.
    pub fn behind(mut self, literal: &[u8]) -> Glob {
        self.literal = literal.to_vec();
        self
    }

    fn segment_start(&self, index: usize) -> GlobState {
        let mut positions = [0; 4];
        positions[0] = 1;
        match self.segments.get(index) {
            Some(_) => GlobState::Segment { index, positions },
            None if self.ends_with_any => GlobState::Done,
            // No segment and no star: the empty pattern, which matches the empty string.
            None => GlobState::Segment { index, positions },
        }
    }

    fn step(&self, index: usize, positions: &Positions, byte: u8) -> GlobState {
        let Some(segment) = self.segments.get(index) else {
            return GlobState::Dead;
        };
        let is_floating = index > 0 || self.starts_with_any;
        let is_continuation = byte & 0xc0 == 0x80;
        let mut next = [0; 4];
        if is_floating {
            set(&mut next, 0);
        }
        for (i, element) in segment.iter().enumerate() {
            let reached = has(positions, i);
            let matches = match *element {
                Element::Byte(wanted) => reached && self.equals(wanted, byte),
                // The bytes of one character: the first moves on, the others stay behind it.
                Element::AnyCharacter => {
                    if is_continuation {
                        has(positions, i + 1)
                    } else {
                        reached
                    }
                }
            };
            if matches {
                set(&mut next, i + 1);
            }
        }
        let is_last = index + 1 == self.segments.len();
        if has(&next, segment.len()) && (!is_last || self.ends_with_any) {
            // Behind `?` the character may go on: the star that follows takes its other bytes.
            return if is_last { GlobState::Done } else { self.segment_start(index + 1) };
        }
        if next == [0; 4] { GlobState::Dead } else { GlobState::Segment { index, positions: next } }
    }

    fn equals(&self, wanted: u8, byte: u8) -> bool {
        if self.is_case_insensitive { wanted.eq_ignore_ascii_case(&byte) } else { wanted == byte }
    }
}

impl Automaton for Glob {
    type State = GlobState;

    fn start(&self) -> GlobState {
        if self.literal.is_empty() { self.segment_start(0) } else { GlobState::Literal(0) }
    }

    fn is_match(&self, state: &GlobState) -> bool {
        match state {
            GlobState::Done => true,
            GlobState::Segment { index, positions } => {
                let length = self.segments.get(*index).map_or(0, Vec::len);
                *index + 1 >= self.segments.len() && !self.ends_with_any && has(positions, length)
            }
            GlobState::Literal(_) | GlobState::Dead => false,
        }
    }

    fn can_match(&self, state: &GlobState) -> bool {
        *state != GlobState::Dead
    }

    fn will_always_match(&self, state: &GlobState) -> bool {
        *state == GlobState::Done
    }

    fn accept(&self, state: &GlobState, byte: u8) -> GlobState {
        match state {
            GlobState::Done => GlobState::Done,
            GlobState::Dead => GlobState::Dead,
            GlobState::Literal(position) if self.literal.get(*position) == Some(&byte) => {
                let next = position + 1;
                if next == self.literal.len() { self.segment_start(0) } else { GlobState::Literal(next) }
            }
            GlobState::Literal(_) => GlobState::Dead,
            GlobState::Segment { index, positions } => self.step(*index, positions, byte),
        }
    }
}

fn push_literal(segment: &mut Vec<Element>, character: char) {
    let mut buffer = [0; 4];
    segment.extend(character.encode_utf8(&mut buffer).bytes().map(Element::Byte));
}

fn has(positions: &Positions, position: usize) -> bool {
    positions[position / 64] >> (position % 64) & 1 == 1
}

fn set(positions: &mut Positions, position: usize) {
    positions[position / 64] |= 1 << (position % 64);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(glob: &Glob, text: &str) -> bool {
        let end = text.bytes().fold(glob.start(), |state, byte| glob.accept(&state, byte));
        glob.is_match(&end)
    }

    /// The definition, by trying every split.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| reference(rest, &text[skipped..])),
            Some(('?', rest)) => !text.is_empty() && reference(rest, &text[1..]),
            Some((wanted, rest)) => text.first() == Some(wanted) && reference(rest, &text[1..]),
        }
    }

    /// Every word of up to `length` letters.
    fn words(letters: &[char], length: usize) -> Vec<Vec<char>> {
        let mut words = vec![vec![]];
        let mut last = words.clone();
        for _ in 0..length {
            last = last
                .iter()
                .flat_map(|word| letters.iter().map(|letter| [word.as_slice(), &[*letter]].concat()))
                .collect();
            words.extend(last.clone());
        }
        words
    }

    #[test]
    fn every_short_pattern_matches_as_defined() {
        let texts = words(&['a', 'ä', 'b'], 4);
        for pattern in words(&['a', 'ä', '?', '*'], 5) {
            let glob = Glob::new(&pattern.iter().collect::<String>(), false).unwrap();
            for text in &texts {
                let word: String = text.iter().collect();
                assert_eq!(matches(&glob, &word), reference(&pattern, text), "{pattern:?} {word:?}");
            }
        }
    }

    #[test]
    fn escapes_case_and_literals() {
        assert!(matches(&Glob::new(r"a\*\?\\", false).unwrap(), r"a*?\"));
        assert!(!matches(&Glob::new(r"a\*", false).unwrap(), "ab"));
        assert!(matches(&Glob::new("ORDER-*7", true).unwrap(), "order-1237"));
        assert!(matches(&Glob::new("x*", false).unwrap().behind(b"path\0s"), "path\0sxyz"));
        assert!(!matches(&Glob::new("x*", false).unwrap().behind(b"path\0s"), "other\0sx"));
        assert!(matches(&Glob::prefix("a*", false).unwrap(), "a*b"));
        assert!(!matches(&Glob::prefix("a*", false).unwrap(), "ab"));
        assert!(matches(&Glob::prefix("", false).unwrap(), ""));
        assert!(Glob::new(&"x".repeat(256), false).is_err());
        assert!(Glob::new(&"x*".repeat(1000), false).is_ok());
    }
}
