//! The page of hits that a request wants, and how many match in all.
//!
//! The order is total, so that pages do not depend on how records lie in segments: first what the request sorts
//! by, then topic id, partition and offset, ascending.

use crate::field_sort::{self, SortValue};
use crate::guard::{GivenUp, Outcome};
use crate::request::{Order, SearchAfter, SearchRequest, Sort, SortBy};
use crate::segment_page::SegmentPage;
use serde::Serialize;
use std::cmp::Ordering;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tantivy::collector::Collector;
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
    /// Where the request sorts by a field: a value for each sort, null for other ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sort_values: Vec<Option<SortValue>>,
    #[serde(skip)]
    pub key: SortKey,
}

impl Hit {
    /// The order of hits across segments; `Less` comes first.
    fn order(&self, other: &Hit, sort: &[Sort]) -> Ordering {
        let by_key = if self.sort_values.is_empty() {
            other.key.cmp(&self.key)
        } else {
            let place = |hit: &Hit, index: usize| (hit.key[index], hit.sort_values[index].clone());
            let orders = sort.iter().enumerate().map(|(index, sort)| {
                let (left, right) = (place(self, index), place(other, index));
                field_sort::order_of((left.0, left.1.as_ref()), (right.0, right.1.as_ref()), sort.order)
            });
            orders.fold(Ordering::Equal, Ordering::then)
        };
        by_key
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
    /// Adds another page of the same `sort` and keeps the best `limit`.
    pub fn absorb(&mut self, page: Page, limit: usize, sort: &[Sort]) {
        self.total += page.total;
        self.hits.extend(page.hits);
        self.hits.sort_unstable_by(|left, right| left.order(right, sort));
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

impl Deadline {
    /// Gives the search up if it is late. Tantivy has no other way out of its loop than unwinding.
    pub fn look(&self) {
        if Instant::now() >= self.at {
            let text = format!("The search took longer than {} ms.", self.timeout_ms);
            resume_unwind(Box::new(GivenUp(text)));
        }
    }
}

/// The last hit of the page before.
#[derive(Clone)]
pub struct After {
    /// A value for each sort.
    pub values: Vec<Option<SortValue>>,
    /// Without it, hits that are sorted equally are passed over.
    pub topic_id: Option<Arc<str>>,
    pub partition: u64,
    pub offset: u64,
}

impl After {
    fn of(after: &SearchAfter, sort: &[Sort]) -> Outcome<After> {
        for (value, sort) in after.values.iter().zip(sort) {
            if sort.by != SortBy::Field && !matches!(value, Some(SortValue::Number(_))) {
                return Err("searchAfter needs numbers for what is sorted by numbers.".into());
            }
        }
        let SearchAfter { values, topic_id, partition, offset } = after;
        Ok(After {
            values: values.clone(),
            topic_id: topic_id.clone(),
            partition: *partition,
            offset: *offset,
        })
    }
}

impl PageCollector {
    pub fn new(request: &SearchRequest, now: Instant) -> Outcome<PageCollector> {
        if request.sort.len() > SORTS_MAX {
            return Err(format!("A search sorts by at most {SORTS_MAX} things."));
        }
        let after = request.search_after.as_ref().map(|after| After::of(after, &request.sort)).transpose()?;
        let deadline = request
            .timeout_ms
            .map(|timeout_ms| Deadline { at: now + Duration::from_millis(timeout_ms), timeout_ms });
        let limit = request.from + request.size;
        Ok(PageCollector { sort: request.sort.clone().into(), limit, after, deadline })
    }

    pub fn deadline(&self) -> Option<Deadline> {
        self.deadline
    }
}

impl Collector for PageCollector {
    type Fruit = Page;
    type Child = SegmentPage;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<SegmentPage> {
        SegmentPage::new(segment, self.sort.clone(), self.limit, self.after.as_ref(), self.deadline)
    }

    fn requires_scoring(&self) -> bool {
        self.limit > 0 && self.sort.iter().any(|sort| sort.by == SortBy::Score)
    }

    fn merge_fruits(&self, pages: Vec<tantivy::Result<Page>>) -> tantivy::Result<Page> {
        let mut merged = Page::default();
        for page in pages {
            merged.absorb(page?, self.limit, &self.sort);
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
