//! Which parts of a text a query matches: its words, phrases and patterns, by the rules by which they were found.
//!
//! A query on a path into JSON values counts for `_value`, where its words are seen.

use crate::field::Target;
use crate::glob::Glob;
use crate::guard::Outcome;
use crate::query::{MatchPhrase, QueryAst, Scalar};
use crate::words::{WordTokenizer, words_of};
use serde::Deserialize;
use tantivy::tokenizer::{Token, TokenStream, Tokenizer};
use tantivy_fst::Automaton;

/// Longer texts are looked at so far only.
const TEXT_BYTES_MAX: usize = 1 << 20;
const MARKS_MAX: usize = 10_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HighlightRequest {
    query: QueryAst,
    /// `_key`, `_value` or `_headers`: where the text is from.
    field: String,
    /// Whether queries on other fields count too.
    #[serde(default)]
    is_any_field: bool,
}

/// What is looked for in a text.
#[derive(Default)]
struct Patterns {
    words: Vec<String>,
    word_globs: Vec<Glob>,
    /// Words in a row; the flag says that the last one may go on.
    phrases: Vec<(Vec<String>, bool)>,
    wholes: Vec<String>,
    whole_globs: Vec<Glob>,
}

/// Start and end of each match, in bytes, in order and apart from each other.
pub fn marks(request: &HighlightRequest, text: &str) -> Outcome<Vec<(u32, u32)>> {
    let mut patterns = Patterns::default();
    patterns.add(&request.query, request)?;
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    Ok(patterns.marks(&text[..end]))
}

impl Patterns {
    fn add(&mut self, query: &QueryAst, request: &HighlightRequest) -> Outcome<()> {
        let all = |patterns: &mut Patterns, queries: &[QueryAst]| {
            queries.iter().try_for_each(|query| patterns.add(query, request))
        };
        match query {
            QueryAst::Match(query) if counts(&query.field, request) => {
                self.words.extend(words_of(&query.text));
            }
            QueryAst::MatchPhrase(query) if counts(&query.field, request) => self.add_phrase(query),
            QueryAst::Term(query) if counts(&query.field, request) => {
                self.add_term(&query.field, &query.value);
            }
            QueryAst::Terms(query) if counts(&query.field, request) => {
                query.values.iter().for_each(|value| self.add_term(&query.field, value));
            }
            QueryAst::Prefix(query) if counts(&query.field, request) => {
                let is_folded = query.is_case_insensitive;
                self.add_glob(&query.field, &query.value, &|text| Glob::prefix(text, is_folded))?;
            }
            QueryAst::Wildcard(query) if counts(&query.field, request) => {
                let is_folded = query.is_case_insensitive;
                self.add_glob(&query.field, &query.pattern, &|text| Glob::new(text, is_folded))?;
            }
            QueryAst::Bool(query) => {
                all(self, &query.must)?;
                all(self, &query.should)?;
                all(self, &query.filter)?;
            }
            QueryAst::DisMax(query) => all(self, &query.queries)?,
            QueryAst::ConstantScore(query) => self.add(&query.query, request)?,
            _ => {}
        }
        Ok(())
    }

    fn add_phrase(&mut self, query: &MatchPhrase) {
        let words = words_of(&query.text);
        // Words that may be moved are marked wherever they are.
        if query.slop > 0 {
            self.words.extend(words);
        } else if !words.is_empty() {
            self.phrases.push((words, query.is_prefix));
        }
    }

    fn add_term(&mut self, field: &str, value: &Scalar) {
        match Target::of(field) {
            Target::Words(_) => self.words.push(value.text()),
            Target::Json(_) => self.phrases.push((words_of(&value.text()), false)),
            _ => self.wholes.push(value.text()),
        }
    }

    fn add_glob(&mut self, field: &str, text: &str, glob_of: &dyn Fn(&str) -> Outcome<Glob>) -> Outcome<()> {
        match Target::of(field) {
            Target::Words(_) | Target::Json(_) => self.word_globs.push(glob_of(&text.to_lowercase())?),
            _ => self.whole_globs.push(glob_of(text)?),
        }
        Ok(())
    }

    fn marks(&self, text: &str) -> Vec<(u32, u32)> {
        let is_whole = self.wholes.iter().any(|whole| whole == text)
            || self.whole_globs.iter().any(|glob| is_match(glob, text));
        if is_whole {
            return vec![(0, text.len() as u32)];
        }
        let mut marks = Vec::new();
        let mut phrases: Vec<Progress> = self.phrases.iter().map(Progress::new).collect();
        let mut tokenizer = WordTokenizer::default();
        let mut tokens = tokenizer.token_stream(text);
        while marks.len() < MARKS_MAX && tokens.advance() {
            let token = tokens.token();
            let is_word = self.words.contains(&token.text)
                || self.word_globs.iter().any(|glob| is_match(glob, &token.text));
            if is_word {
                marks.push((token.offset_from as u32, token.offset_to as u32));
            }
            phrases.iter_mut().for_each(|phrase| phrase.read(token, &mut marks));
        }
        marks.sort_unstable();
        let mut last_end = 0;
        // A phrase is found at its last word, and words may be part of several.
        marks.retain(|(start, end)| {
            let is_apart = *start >= last_end;
            last_end = last_end.max(*end);
            is_apart
        });
        marks
    }
}

/// Whether a query on `field` says something of the text.
fn counts(field: &str, request: &HighlightRequest) -> bool {
    request.is_any_field
        || field.strip_suffix(".keyword").unwrap_or(field) == request.field
        || (request.field == "_value" && matches!(Target::of(field), Target::Json(_)))
}

fn is_match(glob: &Glob, text: &str) -> bool {
    let mut state = glob.start();
    for byte in text.bytes() {
        state = glob.accept(&state, byte);
        if !glob.can_match(&state) {
            return false;
        }
    }
    glob.is_match(&state)
}

/// How far the last words of a text are the words of a phrase.
struct Progress<'p> {
    words: &'p [String],
    is_prefix: bool,
    /// For each beginning of the phrase that the text may be in the middle of: the words that were seen.
    open: Vec<Vec<(u32, u32)>>,
}

impl<'p> Progress<'p> {
    fn new((words, is_prefix): &'p (Vec<String>, bool)) -> Progress<'p> {
        Progress { words, is_prefix: *is_prefix, open: Vec::new() }
    }

    fn read(&mut self, token: &Token, marks: &mut Vec<(u32, u32)>) {
        let place = (token.offset_from as u32, token.offset_to as u32);
        let last = self.words.len().saturating_sub(1);
        self.open.push(Vec::new());
        for seen in std::mem::take(&mut self.open) {
            let Some(word) = self.words.get(seen.len()) else { continue };
            let is_next = token.text == *word
                || (self.is_prefix && seen.len() == last && token.text.starts_with(word.as_str()));
            if !is_next {
                continue;
            }
            let mut seen = seen;
            seen.push(place);
            if seen.len() == self.words.len() { marks.extend(seen) } else { self.open.push(seen) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(query: &str, field: &str, text: &str) -> String {
        let request = format!(r#"{{"query":{query},"field":"{field}"}}"#);
        let mut shown = text.to_owned();
        for (start, end) in marks(&serde_json::from_str(&request).unwrap(), text).unwrap().into_iter().rev() {
            shown.insert(end as usize, ']');
            shown.insert(start as usize, '[');
        }
        shown
    }

    #[test]
    fn words_phrases_and_patterns_are_marked() {
        let text = "The lost order, lost ORDER-17; größe";
        let value = |query: &str| marked(query, "_value", text);
        assert_eq!(
            value(r#"{"kind":"match","field":"_value","text":"LOST größe"}"#),
            "The [lost] order, [lost] ORDER-17; [größe]"
        );
        assert_eq!(
            value(r#"{"kind":"match_phrase","field":"_value","text":"lost order 1","isPrefix":true}"#),
            "The lost order, [lost] [ORDER]-[17]; größe"
        );
        assert_eq!(
            value(r#"{"kind":"wildcard","field":"_value","pattern":"or?er"}"#),
            "The lost [order], lost [ORDER]-17; größe"
        );
        assert_eq!(
            value(
                r#"{"kind":"bool","must":[{"kind":"term","field":"note","value":"lost order"}],
                "mustNot":[{"kind":"match","field":"_value","text":"the"}],
                "filter":[{"kind":"match","field":"_key","text":"the"}]}"#
            ),
            "The [lost] [order], [lost] [ORDER]-17; größe"
        );
        assert_eq!(value(r#"{"kind":"all"}"#), text);
    }

    #[test]
    fn keys_are_marked_whole_or_by_words() {
        let key = |query: &str| marked(query, "_key", "k-1");
        assert_eq!(key(r#"{"kind":"term","field":"_key","value":"k-1"}"#), "[k-1]");
        assert_eq!(key(r#"{"kind":"prefix","field":"_key","value":"k"}"#), "[k-1]");
        assert_eq!(key(r#"{"kind":"term","field":"_key","value":"k"}"#), "k-1");
        assert_eq!(key(r#"{"kind":"match","field":"_key","text":"K"}"#), "[k]-1");
        assert_eq!(key(r#"{"kind":"match","field":"_value","text":"k"}"#), "k-1");
    }

    #[test]
    fn overlapping_phrases_are_found() {
        let query = r#"{"kind":"match_phrase","field":"_value","text":"a a b"}"#;
        assert_eq!(marked(query, "_value", "a a a b a"), "a [a] [a] [b] a");
    }
}
