//! From the query language of the boundary to Tantivy's queries.

use crate::field::{JsonPath, Target};
use crate::guard::Outcome;
use crate::leaf_builder;
use crate::query::{Bool, DisMax, Match, MatchPhrase, MinimumShouldMatch, Operator, QueryAst};
use crate::schema::{FIELDS, HAS_HEADERS, NO_KEY, NO_VALUE};
use crate::words::words_of;
use tantivy::Term;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, DisjunctionMaxQuery, EmptyQuery, ExistsQuery, Occur,
    PhrasePrefixQuery, PhraseQuery, Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};

pub type Built = Box<dyn Query>;

/// More clauses than this, nested ones included, are refused.
const CLAUSES_MAX: usize = 10_000;

/// Builds one request's query and counts its clauses.
#[derive(Default)]
pub struct QueryBuilder {
    clauses: usize,
}

impl QueryBuilder {
    pub fn build(&mut self, ast: &QueryAst) -> Outcome<Built> {
        self.count(1)?;
        let built = match ast {
            QueryAst::All(_) => Box::new(AllQuery),
            QueryAst::None(_) => none(),
            QueryAst::Match(query) => self.matching(query)?,
            QueryAst::MatchPhrase(query) => self.phrase(query)?,
            QueryAst::Term(query) => leaf_builder::term(&query.field, &query.value)?,
            QueryAst::Terms(query) => {
                self.count(query.values.len())?;
                let terms: Outcome<Vec<Built>> =
                    query.values.iter().map(|value| leaf_builder::term(&query.field, value)).collect();
                constant(any_of(terms?))
            }
            QueryAst::Range(query) => leaf_builder::range(query)?,
            QueryAst::Bool(query) => self.boolean(query)?,
            QueryAst::DisMax(query) => self.best_of(query)?,
            QueryAst::ConstantScore(query) => constant(self.build(&query.query)?),
            QueryAst::Exists(query) => exists(&query.field),
            QueryAst::Prefix(query) => leaf_builder::prefix(query)?,
            QueryAst::Wildcard(query) => leaf_builder::wildcard(query)?,
        };
        match ast.boost() {
            None => Ok(built),
            Some(boost) if boost >= 0.0 && boost.is_finite() => Ok(Box::new(BoostQuery::new(built, boost))),
            Some(boost) => Err(format!("A boost of {boost} is neither zero nor positive.")),
        }
    }

    fn count(&mut self, clauses: usize) -> Outcome<()> {
        self.clauses += clauses;
        if self.clauses > CLAUSES_MAX {
            return Err(format!("The query has more than {CLAUSES_MAX} clauses."));
        }
        Ok(())
    }

    fn built_all(&mut self, queries: &[QueryAst]) -> Outcome<Vec<Built>> {
        queries.iter().map(|query| self.build(query)).collect()
    }

    fn boolean(&mut self, query: &Bool) -> Outcome<Built> {
        let mut clauses: Vec<(Occur, Built)> = Vec::new();
        clauses.extend(self.built_all(&query.must)?.into_iter().map(|built| (Occur::Must, built)));
        clauses
            .extend(self.built_all(&query.filter)?.into_iter().map(|built| (Occur::Must, unscored(built))));
        let has_required = !clauses.is_empty();
        let should = self.built_all(&query.should)?;
        let minimum = match &query.minimum_should_match {
            Some(minimum) => minimum.of(should.len())?,
            None => usize::from(!has_required && !should.is_empty()),
        };
        if minimum > should.len() {
            return Ok(none());
        }
        let needs_others = !has_required && minimum == 0;
        let is_empty = query.must_not.is_empty() && should.is_empty();
        clauses.extend(should.into_iter().map(|built| (Occur::Should, built)));
        if needs_others {
            // Nothing is required: everything matches that is not excluded.
            let score = if is_empty { 1.0 } else { 0.0 };
            clauses.push((Occur::Must, Box::new(ConstScoreQuery::new(Box::new(AllQuery), score))));
        }
        clauses.extend(self.built_all(&query.must_not)?.into_iter().map(|built| (Occur::MustNot, built)));
        Ok(Box::new(BooleanQuery::with_minimum_required_clauses(clauses, minimum)))
    }

    fn best_of(&mut self, query: &DisMax) -> Outcome<Built> {
        let queries = self.built_all(&query.queries)?;
        if queries.is_empty() {
            return Ok(none());
        }
        Ok(Box::new(DisjunctionMaxQuery::with_tie_breaker(queries, query.tie_breaker)))
    }

    fn matching(&mut self, query: &Match) -> Outcome<Built> {
        let words =
            |builder: &mut QueryBuilder, term_of: &dyn Fn(&str) -> Term| builder.words(query, term_of);
        match Target::of(&query.field) {
            Target::Words(field) | Target::Key { words: field, .. } => {
                words(self, &|word| Term::from_field_text(field, word))
            }
            Target::Json(path) if !path.is_keyword => {
                let in_text = words(self, &|word| path.word(word))?;
                Ok(any_of(with_typed(in_text, &path, &query.text)))
            }
            _ => leaf_builder::term(&query.field, &crate::query::Scalar::Text(query.text.clone())),
        }
    }

    fn words(&mut self, query: &Match, term_of: &dyn Fn(&str) -> Term) -> Outcome<Built> {
        let words = words_of(&query.text);
        self.count(words.len())?;
        let minimum = match (&query.minimum_should_match, query.operator) {
            (_, Operator::And) => words.len(),
            (Some(minimum), Operator::Or) => MinimumShouldMatch::of(minimum, words.len())?.max(1),
            (None, Operator::Or) => 1,
        };
        if words.is_empty() || minimum > words.len() {
            return Ok(none());
        }
        let mut terms: Vec<Built> = words.iter().map(|word| word_query(term_of(word))).collect();
        if terms.len() == 1 {
            return Ok(terms.remove(0));
        }
        let occur = if minimum == terms.len() { Occur::Must } else { Occur::Should };
        let required = if occur == Occur::Must { 0 } else { minimum };
        let clauses = terms.into_iter().map(|term| (occur, term)).collect();
        Ok(Box::new(BooleanQuery::with_minimum_required_clauses(clauses, required)))
    }

    fn phrase(&mut self, query: &MatchPhrase) -> Outcome<Built> {
        if query.is_prefix && query.slop > 0 {
            return Err("A phrase is either a prefix or has a slop.".into());
        }
        let words = words_of(&query.text);
        self.count(words.len())?;
        let (terms, path): (Vec<Term>, Option<JsonPath>) = match Target::of(&query.field) {
            Target::Words(field) | Target::Key { words: field, .. } => {
                (words.iter().map(|word| Term::from_field_text(field, word)).collect(), None)
            }
            Target::Json(path) if !path.is_keyword => {
                (words.iter().map(|word| path.word(word)).collect(), Some(path))
            }
            _ => return leaf_builder::term(&query.field, &crate::query::Scalar::Text(query.text.clone())),
        };
        let in_text: Built = match (terms.len(), query.is_prefix) {
            (0, _) => none(),
            (1, true) => return leaf_builder::word_prefix(&query.field, &words[0]),
            (1, false) => word_query(terms[0].clone()),
            (_, true) => Box::new(PhrasePrefixQuery::new(terms)),
            (_, false) => {
                let mut phrase = PhraseQuery::new(terms);
                phrase.set_slop(query.slop);
                Box::new(phrase)
            }
        };
        match path {
            Some(path) => Ok(any_of(with_typed(in_text, &path, &query.text))),
            None => Ok(in_text),
        }
    }
}

/// The query for words of JSON strings, and for the number, boolean or date that the text spells.
fn with_typed(in_text: Built, path: &JsonPath, text: &str) -> Vec<Built> {
    let mut queries = leaf_builder::typed(path, &crate::query::Scalar::Text(text.trim().to_owned()));
    queries.insert(0, in_text);
    queries
}

fn exists(name: &str) -> Built {
    constant(match name {
        "_key" | "_key.keyword" => without_mark(NO_KEY),
        "_value" => without_mark(NO_VALUE),
        "_headers" => exact_query(FIELDS.marks, HAS_HEADERS),
        _ => match Target::of(name) {
            Target::Json(path) => Box::new(ExistsQuery::new(path.column(), true)),
            _ => Box::new(AllQuery),
        },
    })
}

fn without_mark(mark: &str) -> Built {
    let clauses: Vec<(Occur, Built)> =
        vec![(Occur::Must, Box::new(AllQuery)), (Occur::MustNot, exact_query(FIELDS.marks, mark))];
    Box::new(BooleanQuery::new(clauses))
}

/// A word, scored by how often it occurs.
pub fn word_query(term: Term) -> Built {
    Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
}

/// A string that is known as a whole.
pub fn exact_query(field: Field, text: &str) -> Built {
    Box::new(TermQuery::new(Term::from_field_text(field, text), IndexRecordOption::Basic))
}

pub fn none() -> Built {
    Box::new(EmptyQuery)
}

/// Matches as `query` does, without a part in the score.
pub fn unscored(query: Built) -> Built {
    Box::new(ConstScoreQuery::new(query, 0.0))
}

pub fn constant(query: Built) -> Built {
    Box::new(ConstScoreQuery::new(query, 1.0))
}

/// Any of `queries`; the best one's score.
pub fn any_of(mut queries: Vec<Built>) -> Built {
    match queries.len() {
        0 => none(),
        1 => queries.remove(0),
        _ => Box::new(DisjunctionMaxQuery::new(queries)),
    }
}

/// All of `queries`.
pub fn all_of(queries: Vec<Built>) -> Built {
    Box::new(BooleanQuery::intersection(queries))
}
