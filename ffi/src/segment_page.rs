//! The best hits of one segment. What is read of a record stops at the first thing that rules it out.

use crate::document::date_of_ms;
use crate::field_sort::{FieldColumn, SortValue};
use crate::hits::{After, Deadline, Hit, Page, SORTS_MAX, SortKey, directed, score_key};
use crate::request::{Sort, SortBy};
use crate::schema::{OFFSET, PARTITION, TIMESTAMP, TOPIC, TOPIC_ID};
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;
use tantivy::collector::SegmentCollector;
use tantivy::columnar::{Cardinality, Column, ColumnValues, MonotonicallyMappableToU64, StrColumn};
use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DateTime, DocId, Score, SegmentReader, TantivyError};

type Values = Arc<dyn ColumnValues<u64>>;

/// Fewer candidates than this are not sorted out early.
const CANDIDATES_MIN: usize = 64;
/// Records between two looks at the clock.
const RECORDS_PER_LOOK: u64 = 1024;

pub struct Columns {
    pub topic_ids: StrColumn,
    topics: StrColumn,
    pub topic_ords: Values,
    pub partitions: Values,
    pub offsets: Values,
    /// Dates as numbers in the same order.
    timestamps: Values,
}

impl Columns {
    pub fn open(segment: &SegmentReader) -> tantivy::Result<Columns> {
        let fast_fields = segment.fast_fields();
        let text = |name: &str| fast_fields.str(name)?.ok_or_else(|| missing(name));
        let topic_ids = text(TOPIC_ID)?;
        Ok(Columns {
            topic_ords: one_each(topic_ids.ords().clone(), TOPIC_ID)?,
            topic_ids,
            topics: text(TOPIC)?,
            partitions: one_each(fast_fields.u64(PARTITION)?, PARTITION)?,
            offsets: one_each(fast_fields.u64(OFFSET)?, OFFSET)?,
            timestamps: one_each(fast_fields.date(TIMESTAMP)?.to_u64_monotonic(), TIMESTAMP)?,
        })
    }

    fn timestamp_ms(&self, doc: DocId) -> i64 {
        DateTime::from_u64(self.timestamps.get_val(doc)).into_timestamp_millis()
    }

    /// The id and name of a topic, of which `doc` is a record; one id has one name.
    fn topic(&self, topic_ord: u64, doc: DocId) -> tantivy::Result<(Arc<str>, Arc<str>)> {
        let mut topic_id = String::new();
        self.topic_ids.ord_to_str(topic_ord, &mut topic_id)?;
        let mut topic = String::new();
        if let Some(ord) = self.topics.term_ords(doc).next() {
            self.topics.ord_to_str(ord, &mut topic)?;
        }
        Ok((topic_id.into(), topic.into()))
    }

    /// The first ordinal at or behind a topic id, and whether it is that topic's own.
    fn topic_ord(&self, topic_id: &str) -> tantivy::Result<(u64, bool)> {
        let dictionary = self.topic_ids.dictionary();
        let own = dictionary.term_ord(topic_id.as_bytes())?;
        let start = Bound::Included(topic_id.as_bytes());
        let next = match dictionary.term_bounds_to_ord(start, Bound::Unbounded)?.0 {
            Bound::Included(ord) | Bound::Excluded(ord) => ord,
            Bound::Unbounded => 0,
        };
        Ok((own.unwrap_or(next), own.is_some()))
    }
}

fn missing(name: &str) -> TantivyError {
    TantivyError::SchemaError(format!("The column {name} is missing or has gaps."))
}

/// The values of a column in which each record has one.
fn one_each(column: Column<u64>, name: &str) -> tantivy::Result<Values> {
    match column.get_cardinality() {
        Cardinality::Full => Ok(column.values),
        _ => Err(missing(name)),
    }
}

/// A hit's place in the order, within the segment.
#[derive(Clone, Copy)]
struct Place {
    key: SortKey,
    topic_ord: u64,
    partition: u64,
    offset: u64,
}

impl Place {
    /// `Less` comes first.
    fn order(&self, other: &Place) -> Ordering {
        let rest = |place: &Place| (place.topic_ord, place.partition, place.offset);
        other.key.cmp(&self.key).then_with(|| rest(self).cmp(&rest(other)))
    }
}

#[derive(Clone, Copy)]
struct Candidate {
    place: Place,
    doc: DocId,
    score: Score,
}

/// What a hit that is sorted as the last one of the page before is, where a segment has it.
#[derive(Clone, Copy)]
enum Tie {
    /// A hit if its topic, partition and offset come behind.
    Own,
    /// The segment lacks the topic: a hit if its topic is the one at that ordinal, or comes behind it.
    Next,
    /// No hit.
    Passed,
}

pub struct SegmentPage {
    columns: Columns,
    sort: Arc<[Sort]>,
    /// For sorts by a field; none at other ones.
    fields: Vec<Option<FieldColumn>>,
    limit: usize,
    /// Hits come behind this.
    after: Option<(Place, Tie)>,
    total: u64,
    /// At most twice `limit`; then the worse half goes.
    candidates: Vec<Candidate>,
    /// Once there are `limit` candidates, others must come before this.
    threshold: Option<Place>,
    buffer: Vec<u64>,
    deadline: Option<Deadline>,
}

impl SegmentPage {
    pub fn new(
        segment: &SegmentReader,
        sort: Arc<[Sort]>,
        limit: usize,
        after: Option<&After>,
        deadline: Option<Deadline>,
    ) -> tantivy::Result<SegmentPage> {
        let columns = Columns::open(segment)?;
        let fields = sort
            .iter()
            .map(|sort| match sort.by {
                SortBy::Field => FieldColumn::open(segment, sort).map(Some),
                _ => Ok(None),
            })
            .collect::<tantivy::Result<Vec<_>>>()?;
        let after = match after {
            Some(after) => Some(place_of(after, &columns, &sort, &fields)?),
            None => None,
        };
        Ok(SegmentPage {
            columns,
            sort,
            fields,
            limit,
            after,
            total: 0,
            candidates: Vec::new(),
            threshold: None,
            buffer: vec![0; COLLECT_BLOCK_BUFFER_LEN],
            deadline,
        })
    }

    /// The column that decides first; none for the score and for fields.
    fn first_column(&self) -> Option<&Values> {
        match self.sort.first()?.by {
            SortBy::Score | SortBy::Field => None,
            SortBy::Timestamp => Some(&self.columns.timestamps),
            SortBy::Offset => Some(&self.columns.offsets),
        }
    }

    fn key_of(&self, doc: DocId, score: Score) -> SortKey {
        let mut key = [0; SORTS_MAX];
        for ((slot, sort), field) in key.iter_mut().zip(self.sort.iter()).zip(&self.fields) {
            let number = match (sort.by, field) {
                (_, Some(field)) => {
                    *slot = field.key(doc);
                    continue;
                }
                (SortBy::Timestamp, _) => self.columns.timestamps.get_val(doc),
                (SortBy::Offset, _) => self.columns.offsets.get_val(doc),
                (SortBy::Score | SortBy::Field, _) => score_key(score),
            };
            *slot = directed(number, sort.order);
        }
        key
    }

    fn consider(&mut self, doc: DocId, score: Score) {
        let key = self.key_of(doc, score);
        if self.threshold.is_some_and(|threshold| key < threshold.key) {
            return;
        }
        let topic_ord = self.columns.topic_ords.get_val(doc);
        if self.threshold.is_some_and(|best| key == best.key && topic_ord > best.topic_ord) {
            return;
        }
        let partition = self.columns.partitions.get_val(doc);
        let offset = self.columns.offsets.get_val(doc);
        let place = Place { key, topic_ord, partition, offset };
        let is_late = self.threshold.is_some_and(|threshold| place.order(&threshold).is_gt());
        if is_late || !self.is_behind(&place) {
            return;
        }
        self.candidates.push(Candidate { place, doc, score });
        if self.candidates.len() >= self.limit.saturating_mul(2).max(CANDIDATES_MIN) {
            self.keep_best();
        }
    }

    fn look_at_clock(&self) {
        if let Some(deadline) = &self.deadline {
            deadline.look();
        }
    }

    fn is_behind(&self, place: &Place) -> bool {
        match &self.after {
            None => true,
            Some((after, Tie::Own)) => place.order(after).is_gt(),
            Some((after, tie)) => match after.key.cmp(&place.key) {
                Ordering::Equal => matches!(tie, Tie::Next) && place.topic_ord >= after.topic_ord,
                order => order.is_gt(),
            },
        }
    }

    fn keep_best(&mut self) {
        if self.candidates.len() > self.limit {
            let by_place = |left: &Candidate, right: &Candidate| left.place.order(&right.place);
            self.candidates.select_nth_unstable_by(self.limit - 1, by_place);
            self.candidates.truncate(self.limit);
            self.threshold = self.candidates.last().map(|candidate| candidate.place);
        }
    }

    fn page(mut self) -> tantivy::Result<Page> {
        self.keep_best();
        let is_scored = self.sort.iter().any(|sort| sort.by == SortBy::Score);
        self.candidates.sort_unstable_by_key(|candidate| candidate.place.topic_ord);
        let mut hits = Vec::with_capacity(self.candidates.len());
        let mut last: Option<(u64, Arc<str>, Arc<str>)> = None;
        for Candidate { place, doc, score } in &self.candidates {
            let (topic_id, topic) = match &last {
                Some((ord, topic_id, topic)) if *ord == place.topic_ord => (topic_id.clone(), topic.clone()),
                _ => self.columns.topic(place.topic_ord, *doc)?,
            };
            last = Some((place.topic_ord, topic_id.clone(), topic.clone()));
            hits.push(Hit {
                topic_id,
                topic,
                partition: place.partition,
                offset: place.offset,
                timestamp_ms: self.columns.timestamp_ms(*doc),
                score: is_scored.then_some(*score),
                sort_values: self.sort_values(place)?,
                key: place.key,
            });
        }
        Ok(Page { total: self.total, hits })
    }
}

impl SegmentPage {
    /// Empty unless the request sorts by a field.
    fn sort_values(&self, place: &Place) -> tantivy::Result<Vec<Option<SortValue>>> {
        if self.fields.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        let values = self.fields.iter().zip(place.key).map(|(field, key)| match field {
            Some(field) => field.value_of(key),
            None => Ok(None),
        });
        values.collect()
    }
}

/// Where the last hit of the page before would be in a segment.
fn place_of(
    after: &After,
    columns: &Columns,
    sort: &[Sort],
    fields: &[Option<FieldColumn>],
) -> tantivy::Result<(Place, Tie)> {
    let mut key = [0; SORTS_MAX];
    for (((slot, sort), field), value) in key.iter_mut().zip(sort).zip(fields).zip(&after.values) {
        let number = match value {
            Some(SortValue::Number(number)) => *number,
            _ => 0.0,
        };
        *slot = match (sort.by, field) {
            (_, Some(field)) => field.key_of(value.as_ref())?,
            (SortBy::Timestamp, _) => directed(date_of_ms(number as i64).to_u64(), sort.order),
            (SortBy::Offset, _) => directed(number as u64, sort.order),
            (SortBy::Score | SortBy::Field, _) => directed(score_key(number as f32), sort.order),
        };
    }
    let After { partition, offset, .. } = *after;
    let Some(topic_id) = &after.topic_id else {
        return Ok((Place { key, topic_ord: 0, partition: 0, offset: 0 }, Tie::Passed));
    };
    let (topic_ord, is_own) = columns.topic_ord(topic_id)?;
    let place = Place { key, topic_ord, partition, offset };
    Ok((place, if is_own { Tie::Own } else { Tie::Next }))
}

impl SegmentCollector for SegmentPage {
    type Fruit = tantivy::Result<Page>;

    fn collect(&mut self, doc: DocId, score: Score) {
        self.total += 1;
        if self.total.is_multiple_of(RECORDS_PER_LOOK) {
            self.look_at_clock();
        }
        if self.limit > 0 {
            self.consider(doc, score);
        }
    }

    fn collect_block(&mut self, docs: &[DocId]) {
        let looks = self.total / RECORDS_PER_LOOK;
        self.total += docs.len() as u64;
        if self.total / RECORDS_PER_LOOK > looks {
            self.look_at_clock();
        }
        if self.limit == 0 {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.resize(docs.len(), 0);
        let order = self.sort.first().map(|sort| sort.order);
        let (Some(threshold), Some(order), Some(column)) = (self.threshold, order, self.first_column())
        else {
            docs.iter().for_each(|doc| self.consider(*doc, 0.0));
            self.buffer = buffer;
            return;
        };
        column.get_vals(docs, &mut buffer);
        for (doc, number) in docs.iter().zip(&buffer) {
            if directed(*number, order) >= threshold.key[0] {
                self.consider(*doc, 0.0);
            }
        }
        self.buffer = buffer;
    }

    fn harvest(self) -> tantivy::Result<Page> {
        self.page()
    }
}
