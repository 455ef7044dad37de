//! Queries of one field: term, range, prefix, wildcard.

use crate::field::{JsonPath, Target, date_of};
use crate::glob::Glob;
use crate::glob_query::{ColumnGlobQuery, DictionaryGlobQuery};
use crate::guard::Outcome;
use crate::query::{Prefix, Range, Scalar, Wildcard};
use crate::query_builder::{Built, all_of, any_of, constant, exact_query, none, word_query};
use crate::schema::FIELDS;
use crate::words::{is_prose, words_of};
use std::mem::discriminant;
use std::ops::Bound;
use tantivy::query::{FastFieldRangeQuery, InvertedIndexRangeQuery, PhraseQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DateTime, Term};

pub fn term(name: &str, value: &Scalar) -> Outcome<Built> {
    match Target::of(name) {
        Target::Exact(field) | Target::Key { exact: field, .. } => Ok(exact_query(field, &value.text())),
        Target::Words(field) => Ok(word_query(Term::from_field_text(field, &value.text()))),
        Target::Number { field, is_indexed } => {
            let Some(number) = natural(name, value)? else { return Ok(none()) };
            let term = Term::from_field_u64(field, number);
            Ok(constant(if is_indexed {
                Box::new(TermQuery::new(term, IndexRecordOption::Basic))
            } else {
                between(term.clone(), term)
            }))
        }
        Target::Timestamp(field) => {
            let first = timestamp(field, value, false)?;
            Ok(constant(between(first, timestamp(field, value, true)?)))
        }
        Target::Json(path) => Ok(any_of(json_term(&path, value))),
    }
}

fn json_term(path: &JsonPath, value: &Scalar) -> Vec<Built> {
    let text = value.text();
    let mut queries = Vec::new();
    // A string that is one word as a whole has that word. A column is read whole, however few records are looked at.
    if path.is_keyword || words_of(&text) != [text.as_str()] {
        queries.push(constant(whole_string(path, &text)));
    }
    if !path.is_keyword {
        queries.push(word_query(path.word(&text)));
    }
    queries.extend(typed(path, value));
    queries
}

/// Numbers, booleans and dates that are what `value` is or spells.
pub fn typed(path: &JsonPath, value: &Scalar) -> Vec<Built> {
    let mut queries = Vec::new();
    if let Some(number) = value.number().and_then(|number| path.number(&number)) {
        queries.push(constant(between(number.clone(), number)));
    }
    if let Some(boolean) = value.boolean() {
        let term = TermQuery::new(path.boolean(boolean), IndexRecordOption::Basic);
        queries.push(constant(Box::new(term)));
    }
    if let Scalar::Text(text) = value
        && let (Some(first), Some(last)) = (date_of(text, false), date_of(text, true))
    {
        queries.push(constant(between(path.date(first), path.date(last))));
    }
    queries
}

/// Strings that are `text` as a whole: its words lead to candidates, the column decides. Prose is not in the
/// column: there its words have to follow one another.
fn whole_string(path: &JsonPath, text: &str) -> Built {
    let mut words = words_of(text);
    if is_prose(text) {
        return match words.as_slice() {
            [] => none(),
            [word] => word_query(path.word(word)),
            _ => Box::new(PhraseQuery::new(words.iter().map(|word| path.word(word)).collect())),
        };
    }
    words.sort_unstable();
    words.dedup();
    let mut queries: Vec<Built> = words.iter().map(|word| word_query(path.word(word))).collect();
    queries.push(between(path.text(text), path.text(text)));
    all_of(queries)
}

pub fn range(range: &Range) -> Outcome<Built> {
    let name = &range.field;
    let built = match Target::of(name) {
        Target::Words(_) => return Err(format!("{name} is text: it has no order to search a range in.")),
        Target::Exact(field) | Target::Key { exact: field, .. } => {
            let bounds = bounds(range, |value, _| Ok(Some(Term::from_field_text(field, &value.text()))))?;
            match bounds {
                Some((lower, upper)) => Box::new(InvertedIndexRangeQuery::new(lower, upper)),
                None => none(),
            }
        }
        Target::Number { field, .. } => natural_range(range, field)?,
        Target::Timestamp(field) => {
            let bounds = bounds(range, |value, is_end| timestamp(field, value, is_end).map(Some))?;
            column_range(bounds)
        }
        Target::Json(path) => json_range(range, &path)?,
    };
    Ok(constant(built))
}

type Bounds = (Bound<Term>, Bound<Term>);

/// The range's bounds as terms; `None` where a bound has no term. `is_end`: a shortened date means its last moment.
fn bounds(
    range: &Range,
    term_of: impl Fn(&Scalar, bool) -> Outcome<Option<Term>>,
) -> Outcome<Option<Bounds>> {
    let bound = |excluded: &Option<Scalar>, included: &Option<Scalar>, is_end: [bool; 2]| {
        Ok::<_, String>(match (excluded, included) {
            (Some(_), Some(_)) => {
                return Err(format!("The range of {} has two bounds on one side.", range.field));
            }
            (Some(value), None) => term_of(value, is_end[0])?.map(Bound::Excluded),
            (None, Some(value)) => term_of(value, is_end[1])?.map(Bound::Included),
            (None, None) => Some(Bound::Unbounded),
        })
    };
    let lower = bound(&range.gt, &range.gte, [true, false])?;
    let upper = bound(&range.lt, &range.lte, [false, true])?;
    if matches!((&lower, &upper), (Some(Bound::Unbounded), Some(Bound::Unbounded))) {
        return Err(format!("The range of {} has no bound.", range.field));
    }
    Ok(lower.zip(upper))
}

fn column_range(bounds: Option<Bounds>) -> Built {
    match bounds {
        Some((lower, upper)) => Box::new(FastFieldRangeQuery::new(lower, upper)),
        None => none(),
    }
}

fn json_range(range: &Range, path: &JsonPath) -> Outcome<Built> {
    let values = [&range.gt, &range.gte, &range.lt, &range.lte];
    let is_number = values.iter().copied().flatten().all(|value| !matches!(value, Scalar::Text(_)));
    if values.iter().copied().flatten().any(|value| matches!(value, Scalar::Bool(_))) {
        return Err(format!("The range of {} has a boolean bound.", range.field));
    }
    let number = number_bounds(range, path)?;
    if is_number {
        return Ok(column_range(number));
    }
    let text = bounds(range, |value, _| Ok(Some(path.text(&value.text()))))?;
    let date = bounds(range, |value, is_end| Ok(date_of(&value.text(), is_end).map(|date| path.date(date))))?;
    Ok(any_of([text, date, number].into_iter().flatten().map(|bounds| column_range(Some(bounds))).collect()))
}

/// Tantivy takes two bounds of one type only; of two types, both become fractions.
fn number_bounds(range: &Range, path: &JsonPath) -> Outcome<Option<Bounds>> {
    let values = [&range.gt, &range.gte, &range.lt, &range.lte];
    let mut numbers = values.iter().copied().flatten().filter_map(Scalar::number);
    let first = numbers.next();
    let is_mixed =
        numbers.any(|other| first.as_ref().is_some_and(|one| discriminant(one) != discriminant(&other)));
    bounds(range, |value, _| {
        let number = value.number().map(|number| if is_mixed { number.fraction() } else { number });
        Ok(number.and_then(|number| path.number(&number)))
    })
}

/// A range of whole numbers from zero up; bounds may be negative or have fractions.
fn natural_range(range: &Range, field: Field) -> Outcome<Built> {
    let float = |value: &Option<Scalar>| match value {
        None => Ok(None),
        Some(value) => number(&range.field, value).map(Some),
    };
    bounds(range, |_, _| Ok(None))?;
    let lower = match (float(&range.gt)?, float(&range.gte)?) {
        (Some(excluded), _) => excluded.floor() + 1.0,
        (None, Some(included)) => included.ceil(),
        (None, None) => 0.0,
    };
    let upper = match (float(&range.lt)?, float(&range.lte)?) {
        (Some(excluded), _) => excluded.ceil() - 1.0,
        (None, Some(included)) => included.floor(),
        (None, None) => f64::INFINITY,
    };
    if upper < lower || upper < 0.0 {
        return Ok(none());
    }
    Ok(between(Term::from_field_u64(field, lower.max(0.0) as u64), Term::from_field_u64(field, upper as u64)))
}

pub fn prefix(query: &Prefix) -> Outcome<Built> {
    let lower_case = query.value.to_lowercase();
    glob(&query.field, &|is_word| {
        Glob::prefix(if is_word { &lower_case } else { &query.value }, query.is_case_insensitive)
    })
}

pub fn wildcard(query: &Wildcard) -> Outcome<Built> {
    let lower_case = query.pattern.to_lowercase();
    glob(&query.field, &|is_word| {
        Glob::new(if is_word { &lower_case } else { &query.pattern }, query.is_case_insensitive)
    })
}

/// Words of `name` that start with `start`, which is in lower case.
pub fn word_prefix(name: &str, start: &str) -> Outcome<Built> {
    let glob = Glob::prefix(start, false)?;
    Ok(constant(match Target::of(name) {
        Target::Words(field) | Target::Key { words: field, .. } => {
            Box::new(DictionaryGlobQuery::new(field, glob))
        }
        Target::Json(path) => json_words(&path, glob),
        _ => none(),
    }))
}

fn json_words(path: &JsonPath, glob: Glob) -> Built {
    Box::new(DictionaryGlobQuery::new(FIELDS.json_words, glob.behind(&path.words_start())))
}

/// A pattern where it applies; `glob_of` makes it for words or for whole strings.
fn glob(name: &str, glob_of: &dyn Fn(bool) -> Outcome<Glob>) -> Outcome<Built> {
    Ok(constant(match Target::of(name) {
        Target::Exact(field) | Target::Key { exact: field, .. } => {
            Box::new(DictionaryGlobQuery::new(field, glob_of(false)?))
        }
        Target::Words(field) => Box::new(DictionaryGlobQuery::new(field, glob_of(true)?)),
        Target::Json(path) => {
            let whole: Built = Box::new(ColumnGlobQuery::new(path.column(), glob_of(false)?));
            if path.is_keyword { whole } else { any_of(vec![whole, json_words(&path, glob_of(true)?)]) }
        }
        Target::Number { .. } | Target::Timestamp(_) => {
            return Err(format!("{name} is a number: it has no prefix and takes no wildcard."));
        }
    }))
}

/// All values of a column from `first` to `last`, both included.
fn between(first: Term, last: Term) -> Built {
    Box::new(FastFieldRangeQuery::new(Bound::Included(first), Bound::Included(last)))
}

fn number(name: &str, value: &Scalar) -> Outcome<f64> {
    match value.number() {
        Some(Scalar::I64(number)) => Ok(number as f64),
        Some(Scalar::U64(number)) => Ok(number as f64),
        Some(Scalar::F64(number)) => Ok(number),
        _ => Err(format!("{name} is a number, and {:?} is none.", value.text())),
    }
}

/// A whole number from zero up; `None` for another number, which no record has.
fn natural(name: &str, value: &Scalar) -> Outcome<Option<u64>> {
    let number = number(name, value)?;
    Ok((number >= 0.0 && number.fract() == 0.0).then_some(number as u64))
}

fn timestamp(field: Field, value: &Scalar, is_end: bool) -> Outcome<Term> {
    let of_ms = |ms: f64| crate::document::date_of_ms(ms as i64);
    let date = match (value, value.number()) {
        (Scalar::Text(text), _) if date_of(text, is_end).is_some() && text.len() < 10 => {
            // "2024" is a year, as in Elasticsearch; longer digits are milliseconds.
            date_of(text, is_end)
        }
        (_, Some(_)) => Some(of_ms(number("_timestamp", value)?)),
        (Scalar::Text(text), None) => date_of(text, is_end),
        _ => None,
    };
    let date: DateTime =
        date.ok_or_else(|| format!("_timestamp is a time, and {:?} is none.", value.text()))?;
    Ok(Term::from_field_date(field, date))
}
