//! The page of hits that a request wants, and how many match in all.
//!
//! The order is total, so that pages do not depend on how records lie in segments: first what the request sorts
//! by, then topic id, partition and offset, ascending.

use crate::document::date_of_ms;
use crate::guard::Outcome;
use crate::request::{Order, SearchRequest, Sort, SortBy};
use crate::segment_page::{Columns, SegmentPage};
use serde::Serialize;
use std::cmp::Ordering;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tantivy::collector::Collector;
use tantivy::columnar::MonotonicallyMappableToU64;
use tantivy::{Score, SegmentOrdinal, SegmentReader};

pub const SORTS_MAX: usize = 3;

/// What a request sorts by, as numbers of which the greater comes first.
pub type SortKey = [u64; SORTS_MAX];

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    pub topic_id: Arc<str>,
    pub topic: Arc<str>,
    pub partition: u64,
    pub offset: u64,
    pub timestamp_ms: i64,
    pub score: Option<f32>,
    #[serde(skip)]
    pub key: SortKey,
}

impl Hit {
    /// The order of hits across segments; `Less` comes first.
    fn order(&self, other: &Hit) -> Ordering {
        other
            .key
            .cmp(&self.key)
            .then_with(|| self.topic_id.cmp(&other.topic_id))
            .then_with(|| (self.partition, self.offset).cmp(&(other.partition, other.offset)))
    }
}

#[derive(Debug, Default)]
pub struct Page {
    pub total: u64,
    pub hits: Vec<Hit>,
}

impl Page {
    /// Adds another page and keeps the best `limit`.
    pub fn absorb(&mut self, page: Page, limit: usize) {
        self.total += page.total;
        self.hits.extend(page.hits);
        self.hits.sort_unstable_by(Hit::order);
        self.hits.truncate(limit);
    }
}

/// Keeps the best `limit` hits of each segment.
pub struct PageCollector {
    sort: Arc<[Sort]>,
    limit: usize,
    after: Option<After>,
    deadline: Option<Deadline>,
}

/// When a search is given up.
#[derive(Clone, Copy)]
pub struct Deadline {
    pub at: Instant,
    pub timeout_ms: u64,
}

/// The last hit of the page before.
#[derive(Clone)]
pub struct After {
    pub key: SortKey,
    pub topic_id: Arc<str>,
    pub partition: u64,
    pub offset: u64,
}

impl PageCollector {
    pub fn new(request: &SearchRequest, now: Instant) -> Outcome<PageCollector> {
        if request.sort.len() > SORTS_MAX {
            return Err(format!("A search sorts by at most {SORTS_MAX} things."));
        }
        let after = request.search_after.as_ref().map(|after| {
            let mut key = [0; SORTS_MAX];
            for ((slot, sort), value) in key.iter_mut().zip(&request.sort).zip(&after.values) {
                let number = match sort.by {
                    SortBy::Score => score_key(*value as f32),
                    SortBy::Timestamp => date_of_ms(*value as i64).to_u64(),
                    SortBy::Offset => *value as u64,
                };
                *slot = directed(number, sort.order);
            }
            let topic_id = after.topic_id.as_str().into();
            After { key, topic_id, partition: after.partition, offset: after.offset }
        });
        let deadline = request
            .timeout_ms
            .map(|timeout_ms| Deadline { at: now + Duration::from_millis(timeout_ms), timeout_ms });
        let limit = request.from + request.size;
        Ok(PageCollector { sort: request.sort.clone().into(), limit, after, deadline })
    }
}

impl Collector for PageCollector {
    type Fruit = Page;
    type Child = SegmentPage;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<SegmentPage> {
        SegmentPage::new(
            Columns::open(segment)?,
            self.sort.clone(),
            self.limit,
            self.after.as_ref(),
            self.deadline,
        )
    }

    fn requires_scoring(&self) -> bool {
        self.limit > 0 && self.sort.iter().any(|sort| sort.by == SortBy::Score)
    }

    fn merge_fruits(&self, pages: Vec<tantivy::Result<Page>>) -> tantivy::Result<Page> {
        let mut merged = Page::default();
        for page in pages {
            merged.absorb(page?, self.limit);
        }
        Ok(merged)
    }
}

/// `number`, so that the greater comes first.
pub fn directed(number: u64, order: Order) -> u64 {
    match order {
        Order::Desc => number,
        Order::Asc => !number,
    }
}

/// A score as a number in the same order. No score is negative.
pub fn score_key(score: Score) -> u64 {
    u64::from(score.max(0.0).to_bits())
}
