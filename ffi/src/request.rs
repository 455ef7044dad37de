//! A search request: a query, what may be a hit at all, and which page of which order is wanted.

use crate::field_sort::SortValue;
use crate::guard::Outcome;
use crate::offset_ranges::{self, OffsetRange};
use crate::query::QueryAst;
use crate::query_builder::{Built, QueryBuilder, all_of, exact_query, unscored};
use crate::schema::FIELDS;
use serde::Deserialize;
use std::ops::Bound;
use std::sync::Arc;
use tantivy::Term;
use tantivy::aggregation::agg_req::Aggregations;
use tantivy::query::{AllQuery, BooleanQuery, FastFieldRangeQuery, Occur, TermSetQuery};

/// Hits that a request may skip and return in all.
const WINDOW_MAX: usize = 1_000_000;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchRequest {
    /// Numbers of the indexes to search.
    pub indexes: Vec<u32>,
    pub query: QueryAst,
    #[serde(default)]
    pub filter: Filter,
    #[serde(default = "by_score")]
    pub sort: Vec<Sort>,
    #[serde(default)]
    pub from: usize,
    pub size: usize,
    pub search_after: Option<SearchAfter>,
    /// A search that collects hits for longer is given up.
    pub timeout_ms: Option<u64>,
    /// See `aggregate`.
    pub aggregations: Option<Aggregations>,
    /// Memory for the aggregations; a search that needs more is given up.
    pub aggregation_bytes_max: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Sort {
    pub by: SortBy,
    pub order: Order,
    /// For [`SortBy::Field`].
    pub field: Option<String>,
    /// Whether records without a value come first, instead of last.
    #[serde(default)]
    pub is_missing_first: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SortBy {
    Score,
    Timestamp,
    Offset,
    Field,
}

#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Order {
    Asc,
    Desc,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SearchAfter {
    pub values: Vec<Option<SortValue>>,
    /// Without it, hits that are sorted equally are passed over.
    pub topic_id: Option<Arc<str>>,
    #[serde(default)]
    pub partition: u64,
    #[serde(default)]
    pub offset: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    topic_ids: Option<Vec<String>>,
    #[serde(default)]
    excluded_topic_ids: Vec<String>,
    partitions: Option<Vec<u64>>,
    timestamp_ms_min: Option<f64>,
    timestamp_ms_max: Option<f64>,
    #[serde(default)]
    offset_ranges: Vec<OffsetRange>,
}

fn by_score() -> Vec<Sort> {
    vec![Sort { by: SortBy::Score, order: Order::Desc, field: None, is_missing_first: false }]
}

impl SearchRequest {
    pub fn parse(text: &str) -> Outcome<SearchRequest> {
        let mut request: SearchRequest = serde_json::from_str(text)
            .map_err(|error| format!("The search request is not understood: {error}"))?;
        if request.sort.is_empty() {
            request.sort = by_score();
        }
        if request.from.saturating_add(request.size) > WINDOW_MAX {
            return Err(format!("A search returns at most {WINDOW_MAX} hits, the skipped ones included."));
        }
        match &request.search_after {
            Some(after) if after.values.len() != request.sort.len() => {
                Err("searchAfter needs one value for each sort.".into())
            }
            _ => Ok(request),
        }
    }

    /// The query with the filter around it.
    pub fn query(&self) -> Outcome<Built> {
        let query = QueryBuilder::default().build(&self.query)?;
        Ok(match self.filter.query() {
            Some(filter) => all_of(vec![query, unscored(filter)]),
            None => query,
        })
    }
}

impl Filter {
    /// `None` where everything passes.
    pub fn query(&self) -> Option<Built> {
        let mut clauses: Vec<(Occur, Built)> = Vec::new();
        if let Some(topic_ids) = &self.topic_ids {
            clauses.push((Occur::Must, topics(topic_ids)));
        }
        if let Some(partitions) = &self.partitions {
            let terms = partitions.iter().map(|partition| Term::from_field_u64(FIELDS.partition, *partition));
            clauses.push((Occur::Must, Box::new(TermSetQuery::new(terms))));
        }
        if self.timestamp_ms_min.is_some() || self.timestamp_ms_max.is_some() {
            let bound = |ms: Option<f64>| match ms {
                Some(ms) => Bound::Included(Term::from_field_date(
                    FIELDS.timestamp,
                    crate::document::date_of_ms(ms as i64),
                )),
                None => Bound::Unbounded,
            };
            let range = FastFieldRangeQuery::new(bound(self.timestamp_ms_min), bound(self.timestamp_ms_max));
            clauses.push((Occur::Must, Box::new(range)));
        }
        if !self.excluded_topic_ids.is_empty() {
            clauses.push((Occur::MustNot, topics(&self.excluded_topic_ids)));
        }
        if !self.offset_ranges.is_empty() {
            clauses.push((Occur::Must, offset_ranges::seen(&self.offset_ranges)));
        }
        if clauses.is_empty() {
            return None;
        }
        if clauses.iter().all(|(occur, _)| *occur == Occur::MustNot) {
            clauses.push((Occur::Must, Box::new(AllQuery)));
        }
        Some(Box::new(BooleanQuery::with_minimum_required_clauses(clauses, 0)))
    }
}

fn topics(topic_ids: &[String]) -> Built {
    match topic_ids {
        [topic_id] => exact_query(FIELDS.topic_id, topic_id),
        _ => Box::new(TermSetQuery::new(
            topic_ids.iter().map(|topic_id| Term::from_field_text(FIELDS.topic_id, topic_id)),
        )),
    }
}
