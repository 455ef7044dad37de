//! Which records may be hits by their offset in their partition. Each candidate is looked at once, however many
//! partitions are named: one condition for each would make every search slower with each of them.

use crate::query_builder::Built;
use crate::schema::{OFFSET, PARTITION, TOPIC_ID};
use serde::Deserialize;
use std::sync::Arc;
use tantivy::columnar::{ColumnValues, StrColumn};
use tantivy::query::AllScorer;
use tantivy::query::doc_predicate_query::{
    ConstOrVariableSegmentPredicate, DocPredicate, DocPredicateQuery, SegmentDocPredicate,
};
use tantivy::{DocId, SegmentReader, TantivyError};

/// Of the named partition, only records with offsets in `start..end` are seen.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OffsetRange {
    topic_id: String,
    partition: u64,
    #[serde(default)]
    start: u64,
    #[serde(default = "no_end")]
    end: u64,
}

fn no_end() -> u64 {
    u64::MAX
}

/// Records that none of the ranges hides.
pub fn seen(ranges: &[OffsetRange]) -> Built {
    let mut ranges = ranges.to_vec();
    ranges.sort_by(|one, other| one.topic_id.cmp(&other.topic_id));
    Box::new(DocPredicateQuery::from(Seen { ranges }))
}

/// The ranges in the order of topic ids.
#[derive(Debug)]
struct Seen {
    ranges: Vec<OffsetRange>,
}

impl DocPredicate for Seen {
    type SegmentDocPredicate = SeenInSegment;

    fn doc_predicate(
        &self,
        segment: &SegmentReader,
    ) -> tantivy::Result<ConstOrVariableSegmentPredicate<SeenInSegment>> {
        let fast_fields = segment.fast_fields();
        let topic_ids = fast_fields.str(TOPIC_ID)?.ok_or_else(|| missing(TOPIC_ID))?;
        let offsets = fast_fields.u64(OFFSET)?.first_or_default_col(0);
        let places = self.places_in(&topic_ids, &*offsets)?;
        if places.is_empty() {
            return Ok(ConstOrVariableSegmentPredicate::Const(true));
        }
        let predicate = SeenInSegment {
            always_seen: (
                places.iter().map(|place| place.start).max().unwrap_or(0),
                places.iter().map(|place| place.end).min().unwrap_or(u64::MAX),
            ),
            places,
            topic_ords: topic_ids.ords().clone().first_or_default_col(0),
            partitions: fast_fields.u64(PARTITION)?.first_or_default_col(0),
            offsets,
        };
        let necessary_condition = Box::new(AllScorer::new(segment.max_doc()));
        Ok(ConstOrVariableSegmentPredicate::Variable { predicate, necessary_condition })
    }
}

impl Seen {
    /// The ranges that may hide a record of this segment, one for each partition, in order.
    fn places_in(
        &self,
        topic_ids: &StrColumn,
        offsets: &dyn ColumnValues<u64>,
    ) -> tantivy::Result<Vec<Place>> {
        let mut places: Vec<Place> = Vec::new();
        for ranges in self.ranges.chunk_by(|one, other| one.topic_id == other.topic_id) {
            let Some(topic_ord) = topic_ids.dictionary().term_ord(ranges[0].topic_id.as_bytes())? else {
                continue;
            };
            let hiding = ranges
                .iter()
                .filter(|range| range.start > offsets.min_value() || range.end <= offsets.max_value());
            places.extend(hiding.map(|range| Place {
                key: (topic_ord, range.partition),
                start: range.start,
                end: range.end,
            }));
        }
        places.sort_by_key(|place| place.key);
        places.dedup_by(|next, first| {
            let is_same = next.key == first.key;
            if is_same {
                first.start = first.start.max(next.start);
                first.end = first.end.min(next.end);
            }
            is_same
        });
        Ok(places)
    }
}

/// Which offsets of a partition are seen. The key is the ordinal of the topic's id, and the partition.
#[derive(Debug)]
struct Place {
    key: (u64, u64),
    start: u64,
    end: u64,
}

struct SeenInSegment {
    /// In the order of their keys, each key once.
    places: Vec<Place>,
    /// No place hides these offsets: from the first, and before the second.
    always_seen: (u64, u64),
    topic_ords: Arc<dyn ColumnValues<u64>>,
    partitions: Arc<dyn ColumnValues<u64>>,
    offsets: Arc<dyn ColumnValues<u64>>,
}

impl SegmentDocPredicate for SeenInSegment {
    fn eval(&mut self, doc: DocId) -> bool {
        let offset = self.offsets.get_val(doc);
        if offset >= self.always_seen.0 && offset < self.always_seen.1 {
            return true;
        }
        let key = (self.topic_ords.get_val(doc), self.partitions.get_val(doc));
        match self.places.binary_search_by_key(&key, |place| place.key) {
            Ok(index) => (self.places[index].start..self.places[index].end).contains(&offset),
            Err(_) => true,
        }
    }
}

fn missing(name: &str) -> TantivyError {
    TantivyError::SchemaError(format!("The column {name} is missing."))
}
