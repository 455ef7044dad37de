//! Which times the records of an index have: what a search needs to know to leave the index out.

use crate::schema::TIMESTAMP;
use serde::Serialize;
use tantivy::SegmentReader;

/// The least and the largest `_timestamp` of records, as they are indexed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TimeRange {
    min_ms: i64,
    max_ms: i64,
}

/// Of all records of the segments, also of those that were deleted; `None` without a record. Columns know their
/// bounds: no record is looked at.
pub fn time_range<'s>(
    segments: impl IntoIterator<Item = &'s SegmentReader>,
) -> tantivy::Result<Option<TimeRange>> {
    let mut range: Option<TimeRange> = None;
    for segment in segments.into_iter().filter(|segment| segment.max_doc() > 0) {
        let column = segment.fast_fields().date(TIMESTAMP)?;
        let (min, max) = (column.min_value(), column.max_value());
        let (min_ms, max_ms) = (min.into_timestamp_millis(), max.into_timestamp_millis());
        let known = range.get_or_insert(TimeRange { min_ms, max_ms });
        known.min_ms = known.min_ms.min(min_ms);
        known.max_ms = known.max_ms.max(max_ms);
    }
    Ok(range)
}
