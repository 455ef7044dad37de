//! The query language of the boundary, as JSON: `src/core/shim-query.ts` says what each query means, and is the
//! other side of these types. An unknown kind or member is an error, never ignored.
//!
//! ```json
//! {"kind": "bool", "must": [{"kind": "match", "field": "_value", "text": "lost order", "operator": "and"}],
//!  "filter": [{"kind": "range", "field": "amount", "gte": 10}],
//!  "mustNot": [{"kind": "wildcard", "field": "_key", "pattern": "test-*"}]}
//! ```

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum QueryAst {
    All(Plain),
    None(Plain),
    Match(Match),
    MatchPhrase(MatchPhrase),
    Term(Term),
    Terms(Terms),
    Range(Range),
    Bool(Bool),
    DisMax(DisMax),
    ConstantScore(ConstantScore),
    Exists(Exists),
    Prefix(Prefix),
    Wildcard(Wildcard),
}

impl QueryAst {
    pub fn boost(&self) -> Option<f32> {
        match self {
            QueryAst::All(query) | QueryAst::None(query) => query.boost,
            QueryAst::Match(query) => query.boost,
            QueryAst::MatchPhrase(query) => query.boost,
            QueryAst::Term(query) => query.boost,
            QueryAst::Terms(query) => query.boost,
            QueryAst::Range(query) => query.boost,
            QueryAst::Bool(query) => query.boost,
            QueryAst::DisMax(query) => query.boost,
            QueryAst::ConstantScore(query) => query.boost,
            QueryAst::Exists(query) => query.boost,
            QueryAst::Prefix(query) => query.boost,
            QueryAst::Wildcard(query) => query.boost,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plain {
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    pub field: String,
    pub text: String,
    #[serde(default)]
    pub operator: Operator,
    pub minimum_should_match: Option<MinimumShouldMatch>,
    pub boost: Option<f32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Operator {
    #[default]
    Or,
    And,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MatchPhrase {
    pub field: String,
    pub text: String,
    #[serde(default)]
    pub slop: u32,
    #[serde(default)]
    pub is_prefix: bool,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Term {
    pub field: String,
    pub value: Scalar,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Terms {
    pub field: String,
    pub values: Vec<Scalar>,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Range {
    pub field: String,
    pub gt: Option<Scalar>,
    pub gte: Option<Scalar>,
    pub lt: Option<Scalar>,
    pub lte: Option<Scalar>,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bool {
    #[serde(default)]
    pub must: Vec<QueryAst>,
    #[serde(default)]
    pub should: Vec<QueryAst>,
    #[serde(default)]
    pub must_not: Vec<QueryAst>,
    #[serde(default)]
    pub filter: Vec<QueryAst>,
    pub minimum_should_match: Option<MinimumShouldMatch>,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DisMax {
    pub queries: Vec<QueryAst>,
    #[serde(default)]
    pub tie_breaker: f32,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConstantScore {
    pub query: Box<QueryAst>,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Exists {
    pub field: String,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prefix {
    pub field: String,
    pub value: String,
    #[serde(default)]
    pub is_case_insensitive: bool,
    pub boost: Option<f32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wildcard {
    pub field: String,
    pub pattern: String,
    #[serde(default)]
    pub is_case_insensitive: bool,
    pub boost: Option<f32>,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Scalar {
    Bool(bool),
    I64(i64),
    U64(u64),
    F64(f64),
    Text(String),
}

impl Scalar {
    /// The number that it is, or that its text spells.
    pub fn number(&self) -> Option<Scalar> {
        match self {
            Scalar::Bool(_) => None,
            Scalar::I64(_) | Scalar::U64(_) => Some(self.clone()),
            // 5.0 and 5 are one value, here as in the index.
            Scalar::F64(value) if value.fract() == 0.0 && value.abs() < 9e18 => {
                Some(Scalar::I64(*value as i64))
            }
            Scalar::F64(value) => value.is_finite().then(|| self.clone()),
            Scalar::Text(text) => {
                let integer = text.parse().map(Scalar::I64).or_else(|_| text.parse().map(Scalar::U64)).ok();
                integer.or_else(|| Scalar::F64(text.parse().ok()?).number())
            }
        }
    }

    /// The number as one that may have a fraction.
    pub fn fraction(self) -> Scalar {
        match self {
            Scalar::I64(value) => Scalar::F64(value as f64),
            Scalar::U64(value) => Scalar::F64(value as f64),
            other => other,
        }
    }

    pub fn boolean(&self) -> Option<bool> {
        match self {
            Scalar::Bool(value) => Some(*value),
            Scalar::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// The text that it is, or how Elasticsearch would write it.
    pub fn text(&self) -> String {
        match self {
            Scalar::Bool(value) => value.to_string(),
            Scalar::I64(value) => value.to_string(),
            Scalar::U64(value) => value.to_string(),
            Scalar::F64(value) => value.to_string(),
            Scalar::Text(text) => text.clone(),
        }
    }
}

/// How many of the optional clauses must match, as a count or in Elasticsearch's words.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum MinimumShouldMatch {
    Count(i64),
    Words(String),
}

impl MinimumShouldMatch {
    /// The count for `clauses` optional clauses; it may exceed them, and then nothing matches.
    pub fn of(&self, clauses: usize) -> Result<usize, String> {
        let clauses = clauses as i64;
        let count = match self {
            MinimumShouldMatch::Count(count) => from_end(*count, clauses),
            MinimumShouldMatch::Words(words) if words.contains('<') => {
                let mut count = clauses;
                for condition in words.split_whitespace() {
                    let (limit, rest) = condition.split_once('<').ok_or_else(|| unclear(words))?;
                    if clauses <= limit.parse::<i64>().map_err(|_| unclear(words))? {
                        break;
                    }
                    count = simple(rest, clauses).ok_or_else(|| unclear(words))?;
                }
                count
            }
            MinimumShouldMatch::Words(words) => {
                simple(words.trim(), clauses).ok_or_else(|| unclear(words))?
            }
        };
        Ok(usize::try_from(count).unwrap_or(0))
    }
}

fn simple(words: &str, clauses: i64) -> Option<i64> {
    match words.strip_suffix('%') {
        Some(percent) => {
            let percent: i64 = percent.parse().ok()?;
            let share = clauses.checked_mul(percent)? / 100;
            Some(if percent < 0 { clauses + share } else { share })
        }
        None => Some(from_end(words.parse().ok()?, clauses)),
    }
}

/// A negative count says how many may be missing.
fn from_end(count: i64, clauses: i64) -> i64 {
    if count < 0 { clauses.saturating_add(count) } else { count }
}

fn unclear(words: &str) -> String {
    format!("minimumShouldMatch {words:?} is neither a count, a percentage nor a condition.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minimum_should_match_reads_as_in_elasticsearch() {
        let of = |words: &str, clauses| MinimumShouldMatch::Words(words.into()).of(clauses);
        for (words, clauses, expected) in [
            ("2", 5, 2),
            ("-1", 5, 4),
            ("75%", 4, 3),
            ("75%", 3, 2),
            ("-25%", 4, 3),
            ("-25%", 3, 3),
            ("3<90%", 3, 3),
            ("3<90%", 10, 9),
            ("2<-25% 9<-3", 2, 2),
            ("2<-25% 9<-3", 8, 6),
            ("2<-25% 9<-3", 12, 9),
            ("-9", 5, 0),
            ("9", 5, 9),
        ] {
            assert_eq!(of(words, clauses), Ok(expected), "{words} of {clauses}");
        }
        assert!(of("many", 3).is_err());
        assert!(of("x<1", 3).is_err());
        assert_eq!(MinimumShouldMatch::Count(-2).of(5), Ok(3));
    }

    #[test]
    fn unknown_members_are_refused() {
        for text in [
            r#"{"kind":"term","field":"a","value":1,"boots":2}"#,
            r#"{"kind":"fuzzy","field":"a"}"#,
            r#"{"kind":"term","field":"a"}"#,
            r#"{"kind":"all","x":1}"#,
        ] {
            assert!(serde_json::from_str::<QueryAst>(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<QueryAst>(r#"{"kind":"all","boost":2}"#).is_ok());
    }
}
