//! Collects the page of hits that a request wants, and counts all that match.
//!
//! The order is total, so that pages do not depend on how records lie in segments: first what the request sorts
//! by, then topic id, partition and offset, ascending.

use crate::request::{Order, SearchRequest, Sort, SortBy};
use crate::schema::{OFFSET, PARTITION, TIMESTAMP, TOPIC, TOPIC_ID};
use serde::Serialize;
use std::cmp::Ordering;
use std::sync::Arc;
use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::{Column, ColumnValues, StrColumn};
use tantivy::{DateTime, DocId, Score, SegmentOrdinal, SegmentReader};

const SORTS_MAX: usize = 3;

/// What a request sorts by, so that the greater comes first.
type SortKey = [f64; SORTS_MAX];

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
    key: SortKey,
}

impl Hit {
    /// The order of hits across segments.
    pub fn order(&self, other: &Hit) -> Ordering {
        later_key(&self.key, &other.key)
            .then_with(|| self.topic_id.cmp(&other.topic_id))
            .then_with(|| (self.partition, self.offset).cmp(&(other.partition, other.offset)))
    }
}

#[derive(Debug, Default)]
pub struct Page {
    pub total: u64,
    pub hits: Vec<Hit>,
}

/// Keeps the best `limit` hits of each segment.
pub struct PageCollector {
    sort: Arc<[Sort]>,
    limit: usize,
    after: Option<Arc<After>>,
}

/// The last hit of the page before.
struct After {
    key: SortKey,
    topic_id: String,
    partition: u64,
    offset: u64,
}

impl PageCollector {
    pub fn new(request: &SearchRequest) -> Result<PageCollector, String> {
        if request.sort.len() > SORTS_MAX {
            return Err(format!("A search sorts by at most {SORTS_MAX} things."));
        }
        let after = request.search_after.as_ref().map(|after| {
            let mut key = [0.0; SORTS_MAX];
            for ((slot, sort), value) in key.iter_mut().zip(&request.sort).zip(&after.values) {
                *slot = directed(*value, sort.order);
            }
            let topic_id = after.topic_id.clone();
            Arc::new(After { key, topic_id, partition: after.partition, offset: after.offset })
        });
        Ok(PageCollector { sort: request.sort.clone().into(), limit: request.from + request.size, after })
    }
}

impl Collector for PageCollector {
    type Fruit = Page;
    type Child = SegmentPage;

    fn for_segment(&self, _: SegmentOrdinal, segment: &SegmentReader) -> tantivy::Result<SegmentPage> {
        let columns = Columns::open(segment)?;
        let after = match &self.after {
            Some(after) => {
                let ordinals = columns.topic_ids.dictionary().term_bounds_to_ord(
                    std::ops::Bound::Included(after.topic_id.as_bytes()),
                    std::ops::Bound::Excluded(after.topic_id.as_bytes()),
                )?;
                let own = columns.topic_ids.dictionary().term_ord(after.topic_id.as_bytes())?;
                Some(AfterInSegment {
                    key: after.key,
                    // Halves, so that a topic that the segment does not have still has its place.
                    topic_ord: match (own, ordinals.0) {
                        (Some(ord), _) => ord as f64,
                        (None, std::ops::Bound::Included(next)) => next as f64 - 0.5,
                        (None, _) => f64::INFINITY,
                    },
                    partition: after.partition,
                    offset: after.offset,
                })
            }
            None => None,
        };
        Ok(SegmentPage {
            columns,
            sort: self.sort.clone(),
            limit: self.limit,
            after,
            total: 0,
            candidates: Vec::new(),
            threshold: None,
        })
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

impl Page {
    /// Adds another page and keeps the best `limit`.
    pub fn absorb(&mut self, page: Page, limit: usize) {
        self.total += page.total;
        self.hits.extend(page.hits);
        self.hits.sort_unstable_by(Hit::order);
        self.hits.truncate(limit);
    }
}

struct Columns {
    topic_ids: StrColumn,
    topics: StrColumn,
    topic_id_ords: Arc<dyn ColumnValues<u64>>,
    partitions: Arc<dyn ColumnValues<u64>>,
    offsets: Arc<dyn ColumnValues<u64>>,
    timestamps: Arc<dyn ColumnValues<DateTime>>,
}

impl Columns {
    fn open(segment: &SegmentReader) -> tantivy::Result<Columns> {
        let fast_fields = segment.fast_fields();
        let missing =
            |name: &str| tantivy::TantivyError::SchemaError(format!("The column {name} is missing."));
        let text = |name: &str| fast_fields.str(name)?.ok_or_else(|| missing(name));
        let numbers = |column: Column<u64>| column.first_or_default_col(0);
        let topic_ids = text(TOPIC_ID)?;
        Ok(Columns {
            topic_id_ords: numbers(topic_ids.ords().clone()),
            topic_ids,
            topics: text(TOPIC)?,
            partitions: numbers(fast_fields.u64(PARTITION)?),
            offsets: numbers(fast_fields.u64(OFFSET)?),
            timestamps: fast_fields.date(TIMESTAMP)?.first_or_default_col(DateTime::MIN),
        })
    }
}

#[derive(Debug, Clone, Copy)]
struct Candidate {
    key: SortKey,
    doc: DocId,
    score: Score,
    topic_ord: u64,
    partition: u64,
    offset: u64,
}

impl Candidate {
    fn order(&self, other: &Candidate) -> Ordering {
        later_key(&self.key, &other.key).then_with(|| {
            (self.topic_ord, self.partition, self.offset).cmp(&(
                other.topic_ord,
                other.partition,
                other.offset,
            ))
        })
    }
}

struct AfterInSegment {
    key: SortKey,
    topic_ord: f64,
    partition: u64,
    offset: u64,
}

pub struct SegmentPage {
    columns: Columns,
    sort: Arc<[Sort]>,
    limit: usize,
    after: Option<AfterInSegment>,
    total: u64,
    /// At most twice `limit`; then the worse half goes.
    candidates: Vec<Candidate>,
    /// A candidate that does not come before this one is not among the best.
    threshold: Option<Candidate>,
}

impl SegmentPage {
    fn key_of(&self, doc: DocId, score: Score) -> SortKey {
        let mut key = [0.0; SORTS_MAX];
        for (slot, sort) in key.iter_mut().zip(self.sort.iter()) {
            let value = match sort.by {
                SortBy::Score => f64::from(score),
                SortBy::Timestamp => self.columns.timestamps.get_val(doc).into_timestamp_millis() as f64,
                SortBy::Offset => self.columns.offsets.get_val(doc) as f64,
            };
            *slot = directed(value, sort.order);
        }
        key
    }

    fn is_behind(&self, candidate: &Candidate) -> bool {
        self.after.as_ref().is_none_or(|after| {
            let order = later_key(&candidate.key, &after.key)
                .then_with(|| (candidate.topic_ord as f64).total_cmp(&after.topic_ord))
                .then_with(|| (candidate.partition, candidate.offset).cmp(&(after.partition, after.offset)));
            order == Ordering::Greater
        })
    }

    fn keep_best(&mut self) {
        if self.candidates.len() > self.limit {
            self.candidates.select_nth_unstable_by(self.limit - 1, Candidate::order);
            self.candidates.truncate(self.limit);
            self.threshold = self.candidates.last().copied();
        }
    }

    fn hits(mut self) -> tantivy::Result<Page> {
        self.keep_best();
        let is_scored = self.sort.iter().any(|sort| sort.by == SortBy::Score);
        let mut topic: Option<(u64, Arc<str>, Arc<str>)> = None;
        self.candidates.sort_unstable_by_key(|candidate| candidate.topic_ord);
        let mut hits = Vec::with_capacity(self.candidates.len());
        for candidate in &self.candidates {
            let (_, topic_id, name) = match topic.take_if(|(ord, ..)| *ord == candidate.topic_ord) {
                Some(same) => topic.insert(same),
                None => topic.insert(self.topic_of(candidate)?),
            };
            hits.push(Hit {
                topic_id: topic_id.clone(),
                topic: name.clone(),
                partition: candidate.partition,
                offset: candidate.offset,
                timestamp_ms: self.columns.timestamps.get_val(candidate.doc).into_timestamp_millis(),
                score: is_scored.then_some(candidate.score),
                key: candidate.key,
            });
        }
        Ok(Page { total: self.total, hits })
    }

    /// The ordinal, id and name of a candidate's topic; one id has one name.
    fn topic_of(&self, candidate: &Candidate) -> tantivy::Result<(u64, Arc<str>, Arc<str>)> {
        let mut topic_id = String::new();
        self.columns.topic_ids.ord_to_str(candidate.topic_ord, &mut topic_id)?;
        let mut topic = String::new();
        if let Some(ord) = self.columns.topics.term_ords(candidate.doc).next() {
            self.columns.topics.ord_to_str(ord, &mut topic)?;
        }
        Ok((candidate.topic_ord, topic_id.into(), topic.into()))
    }
}

impl SegmentCollector for SegmentPage {
    type Fruit = tantivy::Result<Page>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        if self.limit == 0 {
            return;
        }
        let key = self.key_of(doc, score);
        if let Some(threshold) = &self.threshold
            && later_key(&key, &threshold.key) == Ordering::Greater
        {
            return;
        }
        let candidate = Candidate {
            key,
            doc,
            score,
            topic_ord: self.columns.topic_id_ords.get_val(doc),
            partition: self.columns.partitions.get_val(doc),
            offset: self.columns.offsets.get_val(doc),
        };
        if !self.is_behind(&candidate) {
            return;
        }
        self.candidates.push(candidate);
        if self.candidates.len() >= self.limit.saturating_mul(2).max(64) {
            self.keep_best();
        }
    }

    fn harvest(self) -> tantivy::Result<Page> {
        self.hits()
    }
}

/// `value`, so that the greater comes first.
fn directed(value: f64, order: Order) -> f64 {
    match order {
        Order::Desc => value,
        Order::Asc => -value,
    }
}

/// `Less` where `left` comes first.
fn later_key(left: &SortKey, right: &SortKey) -> Ordering {
    right
        .iter()
        .zip(left)
        .map(|(right, left)| right.total_cmp(left))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}
