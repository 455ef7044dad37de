//! What aggregations read instead of Tantivy's bare columns. A request names a source where it would name a field:
//!
//! | name | values |
//! |---|---|
//! | `values:<field>` | as they are, each type by itself; whole keys for `_key` |
//! | `number:<field>` | numbers, see `numbers` |
//! | `month:<ms>:<field>` | months since the year 0 of times, after adding the milliseconds |
//! | `count:<field>` | anything that can be counted: each value of each type |
//! | `sort:asc:<field>`, `sort:desc:<field>` | one number for each record, behind all others where it has none |
//! | `sort:topic` | one number for each record that orders topics by their ids |

use crate::guard::Outcome;
use crate::keys;
use crate::numbers::{self, NUMBERS, column_of};
use crate::schema::TOPIC_ID;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tantivy::aggregation::agg_req::{AggregationVariants, Aggregations, get_fast_field_names};
use tantivy::aggregation::{ValueSource, ValueSourceProvider, ValueSourceRegistry};
use tantivy::columnar::{
    Cardinality, Column, ColumnIndex, ColumnType, ColumnValues, MonotonicallyMappableToU64, RowId,
};
use tantivy::time::OffsetDateTime;
use tantivy::{DocId, Searcher, SegmentReader};

const COUNTED: &[ColumnType] = &[
    ColumnType::I64,
    ColumnType::U64,
    ColumnType::F64,
    ColumnType::DateTime,
    ColumnType::Bool,
    ColumnType::Str,
];
const INTEGERS_AND_FRACTIONS: &[ColumnType] = &[ColumnType::I64, ColumnType::U64, ColumnType::F64];
const DATES: &[ColumnType] = &[ColumnType::DateTime];

/// Types of values that the searched indexes have of each field that aggregations name.
pub type FieldTypes = BTreeMap<String, BTreeSet<&'static str>>;

/// The sources of a request, and the request with the names under which Tantivy finds them.
pub struct Sources {
    pub registry: ValueSourceRegistry,
    pub aggregations: Aggregations,
    pub field_types: FieldTypes,
}

impl Sources {
    pub fn of(request: &Aggregations, searchers: &[Searcher]) -> Outcome<Sources> {
        let mut sources = Sources {
            registry: ValueSourceRegistry::default(),
            aggregations: request.clone(),
            field_types: FieldTypes::new(),
        };
        for name in get_fast_field_names(request) {
            sources.register(&name, searchers)?;
        }
        let mut aggregations = std::mem::take(&mut sources.aggregations);
        sources.name_columns(&mut aggregations, searchers)?;
        sources.aggregations = aggregations;
        Ok(sources)
    }

    fn register(&mut self, name: &str, searchers: &[Searcher]) -> Outcome<()> {
        let Some((kind, rest)) = name.split_once(':') else { return Ok(()) };
        let source = match kind {
            "number" => Source::numbers(rest, NUMBERS)?,
            "month" => {
                let (offset, field) = rest.split_once(':').ok_or_else(|| unknown(name))?;
                let offset_ms = offset.parse().map_err(|_| unknown(name))?;
                Source { column: column_of(field)?, types: DATES, kind: Kind::Months { offset_ms } }
            }
            "count" => Source { column: column_of(rest)?, types: COUNTED, kind: Kind::Count },
            "sort" if rest == "topic" => {
                Source { column: TOPIC_ID.to_owned(), types: &[], kind: Kind::Topics }
            }
            "sort" => {
                let (order, field) = rest.split_once(':').ok_or_else(|| unknown(name))?;
                let kind = Kind::Sort { is_descending: order == "desc" };
                Source { column: column_of(field)?, types: NUMBERS, kind }
            }
            "values" => return Ok(()),
            _ => return Err(unknown(name)),
        };
        if let Some(field) = field_of(name) {
            self.see_types(field, &source.column, searchers)?;
        }
        self.registry.register(name, Arc::new(source));
        Ok(())
    }

    fn see_types(&mut self, field: &str, column: &str, searchers: &[Searcher]) -> Outcome<()> {
        if self.field_types.contains_key(field) {
            return Ok(());
        }
        let mut types = BTreeSet::new();
        for segment in searchers.iter().flat_map(Searcher::segment_readers) {
            let handles = segment.fast_fields().dynamic_column_handles(column);
            for handle in handles.map_err(|error| error.to_string())? {
                types.insert(type_name(handle.column_type()));
            }
        }
        self.field_types.insert(field.to_owned(), types);
        Ok(())
    }

    /// Replaces `values:<field>` by what Tantivy is to look up.
    fn name_columns(&mut self, aggregations: &mut Aggregations, searchers: &[Searcher]) -> Outcome<()> {
        for aggregation in aggregations.values_mut() {
            let (name, is_hashed) = match &mut aggregation.agg {
                AggregationVariants::Terms(terms) => (&mut terms.field, false),
                AggregationVariants::Cardinality(cardinality) => (&mut cardinality.field, true),
                _ => {
                    self.name_columns(&mut aggregation.sub_aggregation, searchers)?;
                    continue;
                }
            };
            let field = field_of(name).ok_or_else(|| unknown(name))?.to_owned();
            *name = self.column_name(&field, is_hashed, searchers)?;
            self.name_columns(&mut aggregation.sub_aggregation, searchers)?;
        }
        Ok(())
    }

    fn column_name(&mut self, field: &str, is_hashed: bool, searchers: &[Searcher]) -> Outcome<String> {
        if matches!(field, "_key" | "_key.keyword") {
            self.registry.register("_key", Arc::new(keys::KeySource::default()));
            return Ok("_key".to_owned());
        }
        let column = column_of(field)?;
        self.see_types(field, &column, searchers)?;
        let types = self.field_types.get(field);
        let has = |name: &str| types.is_some_and(|types| types.contains(name));
        let number_types = ["integer", "natural", "fraction"].into_iter().filter(|name| has(name)).count();
        if !is_hashed || number_types < 2 {
            return Ok(column);
        }
        // Hashes of one number differ by the type of the column: 5 in one segment, 5.0 in the other.
        let is_mixed = has("string") || has("date") || has("boolean");
        let name = format!("hash:{field}");
        let kind = if is_mixed { Kind::Texts } else { Kind::Numbers };
        let types = if is_mixed { COUNTED } else { INTEGERS_AND_FRACTIONS };
        self.registry.register(&name, Arc::new(Source { column, types, kind }));
        Ok(name)
    }
}

fn unknown(name: &str) -> String {
    format!("{name:?} is no source of values.")
}

/// The field in the name of a source.
fn field_of(name: &str) -> Option<&str> {
    match name.split_once(':')? {
        ("month" | "sort", rest) => rest.split_once(':').map(|(_, field)| field),
        (_, field) => Some(field),
    }
}

/// What a type of values is called at the boundary.
pub fn type_name(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::I64 => "integer",
        ColumnType::U64 => "natural",
        ColumnType::F64 => "fraction",
        ColumnType::DateTime => "date",
        ColumnType::Bool => "boolean",
        ColumnType::Str | ColumnType::Bytes | ColumnType::IpAddr => "string",
    }
}

struct Source {
    column: String,
    types: &'static [ColumnType],
    kind: Kind,
}

enum Kind {
    Numbers,
    Months { offset_ms: i64 },
    Count,
    Texts,
    Sort { is_descending: bool },
    Topics,
}

impl Source {
    fn numbers(field: &str, types: &'static [ColumnType]) -> Outcome<Source> {
        Ok(Source { column: column_of(field)?, types, kind: Kind::Numbers })
    }
}

impl ValueSourceProvider for Source {
    fn for_segment(
        &self,
        segment: &SegmentReader,
        _: Option<&[ColumnType]>,
    ) -> tantivy::Result<Option<Box<dyn ValueSource>>> {
        if matches!(self.kind, Kind::Texts) {
            return Ok(Some(Box::new(crate::text_source::TextSource::open(
                segment,
                &self.column,
                self.types,
            )?)));
        }
        if matches!(self.kind, Kind::Topics) {
            return topics(segment).map(Some);
        }
        let columns = numbers::columns(segment, &self.column, self.types)?;
        let sources: Vec<Column<u64>> = match self.kind {
            // Every record has one value, as of the records' own fields: nothing to choose, nothing missing.
            Kind::Sort { .. } if is_one_each(&columns) => {
                columns.into_iter().map(|(column, kind)| numbers::as_f64(column, kind)).collect()
            }
            Kind::Sort { is_descending } => {
                let values = SortValues { columns, is_descending, count: segment.max_doc() };
                return Ok(Some(full_column(Arc::new(values), ColumnType::F64)));
            }
            Kind::Months { offset_ms } => {
                columns.into_iter().map(|(column, _)| as_months(column, offset_ms)).collect()
            }
            Kind::Count => columns.into_iter().map(|(column, _)| column).collect(),
            _ => columns.into_iter().map(|(column, kind)| numbers::as_f64(column, kind)).collect(),
        };
        Ok(union(sources))
    }
}

fn is_one_each(columns: &[(Column<u64>, ColumnType)]) -> bool {
    matches!(columns, [(column, _)] if column.get_cardinality().is_full())
}

/// One source for all columns; none where there is no column.
fn union(mut columns: Vec<Column<u64>>) -> Option<Box<dyn ValueSource>> {
    match columns.len() {
        0 => None,
        1 => Some(Box::new((columns.remove(0), ColumnType::F64))),
        _ => Some(Box::new(Union { columns, pairs: Vec::new() })),
    }
}

fn full_column(values: Arc<dyn ColumnValues<u64>>, column_type: ColumnType) -> Box<dyn ValueSource> {
    Box::new((Column { index: ColumnIndex::Full, values }, column_type))
}

fn as_months(column: Column<u64>, offset_ms: i64) -> Column<u64> {
    let convert = Box::new(move |value| month_of(i64::from_u64(value), offset_ms).to_u64());
    Column { index: column.index, values: Arc::new(numbers::Converted { values: column.values, convert }) }
}

/// Months since the year 0 of a time in nanoseconds.
fn month_of(nanoseconds: i64, offset_ms: i64) -> f64 {
    let seconds = nanoseconds.div_euclid(1_000_000).saturating_add(offset_ms).div_euclid(1_000);
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_or(0.0, |time| f64::from(time.year()) * 12.0 + f64::from(u8::from(time.month()) - 1))
}

/// Topics in the order of their ids, by the ids' beginnings. These are random: no two share one.
fn topics(segment: &SegmentReader) -> tantivy::Result<Box<dyn ValueSource>> {
    let column = segment.fast_fields().str(TOPIC_ID)?.ok_or_else(|| {
        tantivy::TantivyError::SchemaError("The column of topic ids is missing.".to_owned())
    })?;
    let mut beginnings = Vec::with_capacity(column.num_terms());
    let mut terms = column.dictionary().stream()?;
    while terms.advance() {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(terms.key()).for_each(|(slot, byte)| *slot = *byte);
        beginnings.push(u64::from_be_bytes(bytes));
    }
    let convert = Box::new(move |ord: u64| beginnings.get(ord as usize).copied().unwrap_or(0));
    let values = column.ords().values.clone();
    Ok(full_column(Arc::new(numbers::Converted { values, convert }), ColumnType::U64))
}

/// One number for each record: its least for an ascending order, else its greatest; the last in that order where
/// it has none.
struct SortValues {
    columns: Vec<(Column<u64>, ColumnType)>,
    is_descending: bool,
    count: u32,
}

impl ColumnValues<u64> for SortValues {
    fn get_val(&self, doc: u32) -> u64 {
        let last = if self.is_descending { 0 } else { u64::MAX };
        numbers::extreme(&self.columns, doc, self.is_descending).map_or(last, f64::to_u64)
    }

    fn min_value(&self) -> u64 {
        0
    }

    fn max_value(&self) -> u64 {
        u64::MAX
    }

    fn num_vals(&self) -> u32 {
        self.count
    }
}

/// The values of several columns of a field.
#[derive(Debug)]
struct Union {
    columns: Vec<Column<u64>>,
    pairs: Vec<(DocId, u64)>,
}

impl ValueSource for Union {
    fn column_type(&self) -> ColumnType {
        ColumnType::F64
    }

    fn load_block(
        &mut self,
        docs: &[DocId],
        values: &mut Vec<u64>,
        docids: &mut Vec<DocId>,
        row_ids: &mut Vec<RowId>,
    ) -> Cardinality {
        self.pairs.clear();
        for column in &self.columns {
            let cardinality = (column, ColumnType::F64).load_block(docs, values, docids, row_ids);
            let owners = if cardinality.is_full() { docs } else { docids.as_slice() };
            self.pairs.extend(owners.iter().copied().zip(values.iter().copied()));
        }
        self.pairs.sort_by_key(|(doc, _)| *doc);
        docids.clear();
        values.clear();
        docids.extend(self.pairs.iter().map(|(doc, _)| *doc));
        values.extend(self.pairs.iter().map(|(_, value)| *value));
        Cardinality::Multivalued
    }

    fn to_f64(self: Box<Self>) -> Box<dyn ValueSource> {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_those_of_the_calendar() {
        let at = |text| crate::json::date_of(text).unwrap().into_timestamp_nanos();
        assert_eq!(month_of(at("2024-02-29T23:59:59.999Z"), 0), 2024.0 * 12.0 + 1.0);
        assert_eq!(month_of(at("2024-02-29T23:59:59.999Z"), 1), 2024.0 * 12.0 + 2.0);
        assert_eq!(month_of(at("1969-12-31T23:59:59.999Z"), 0), 1969.0 * 12.0 + 11.0);
        assert_eq!(month_of(at("1970-01-01T00:00:00Z"), -1), 1969.0 * 12.0 + 11.0);
    }

    #[test]
    fn names_hold_fields() {
        assert_eq!(field_of("number:a.b:c"), Some("a.b:c"));
        assert_eq!(field_of("month:-7200000:at"), Some("at"));
        assert_eq!(field_of("sort:desc:x"), Some("x"));
        assert_eq!(field_of("sort:topic"), None);
        assert_eq!(field_of("_offset"), None);
    }
}
