//! A field's values as numbers, whatever their types are in the one segment or the other: integers and fractions
//! as they are, dates in milliseconds since 1970, booleans as 0 and 1. So what is computed over several indexes
//! does not depend on how records lie in them.

use crate::field::Target;
use crate::guard::Outcome;
use crate::schema::FIELDS;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tantivy::SegmentReader;
use tantivy::columnar::{Column, ColumnType, ColumnValues, MonotonicallyMappableToU64};

pub const NUMBERS: &[ColumnType] =
    &[ColumnType::I64, ColumnType::U64, ColumnType::F64, ColumnType::DateTime, ColumnType::Bool];

/// The name under which columns know a field. Errs for fields that have none.
pub fn column_of(field: &str) -> Outcome<String> {
    match Target::of(field) {
        Target::Exact(field) | Target::Number { field, .. } | Target::Timestamp(field) => {
            Ok(FIELDS.schema.get_field_name(field).to_owned())
        }
        Target::Json(path) => Ok(path.column()),
        Target::Key { .. } | Target::Words(_) => Err(format!("{field} is text: it has no column.")),
    }
}

/// The columns of these types that a name has in a segment, as numbers in the order of their values.
pub fn columns(
    segment: &SegmentReader,
    column: &str,
    types: &[ColumnType],
) -> tantivy::Result<Vec<(Column<u64>, ColumnType)>> {
    let mut columns = Vec::new();
    for handle in segment.fast_fields().dynamic_column_handles(column)? {
        if !types.contains(&handle.column_type()) {
            continue;
        }
        if let Some(column) = handle.open_u64_lenient()? {
            columns.push((column, handle.column_type()));
        }
    }
    Ok(columns)
}

/// What a value of a column stands for.
pub fn number_of(value: u64, column_type: ColumnType) -> f64 {
    match column_type {
        ColumnType::I64 => i64::from_u64(value) as f64,
        ColumnType::F64 => f64::from_u64(value),
        ColumnType::DateTime => i64::from_u64(value).div_euclid(1_000_000) as f64,
        _ => value as f64,
    }
}

/// Values of a column, each made into another number; `convert` keeps the order.
pub struct Converted {
    pub values: Arc<dyn ColumnValues<u64>>,
    pub convert: Box<dyn Fn(u64) -> u64 + Send + Sync>,
}

impl ColumnValues<u64> for Converted {
    fn get_val(&self, index: u32) -> u64 {
        (self.convert)(self.values.get_val(index))
    }

    fn get_vals(&self, indexes: &[u32], output: &mut [u64]) {
        self.values.get_vals(indexes, output);
        output.iter_mut().for_each(|value| *value = (self.convert)(*value));
    }

    fn get_range(&self, start: u64, output: &mut [u64]) {
        self.values.get_range(start, output);
        output.iter_mut().for_each(|value| *value = (self.convert)(*value));
    }

    fn min_value(&self) -> u64 {
        (self.convert)(self.values.min_value())
    }

    fn max_value(&self) -> u64 {
        (self.convert)(self.values.max_value())
    }

    fn num_vals(&self) -> u32 {
        self.values.num_vals()
    }
}

/// The column's values as `f64`, in the form in which columns hold them.
pub fn as_f64(column: Column<u64>, column_type: ColumnType) -> Column<u64> {
    let convert = Box::new(move |value| number_of(value, column_type).to_u64());
    Column { index: column.index, values: Arc::new(Converted { values: column.values, convert }) }
}

/// The least or the greatest number that a record has in any of the columns.
pub fn extreme(columns: &[(Column<u64>, ColumnType)], doc: u32, is_greatest: bool) -> Option<f64> {
    let numbers = columns.iter().flat_map(|(column, column_type)| {
        column.values_for_doc(doc).map(|value| number_of(value, *column_type))
    });
    numbers.reduce(if is_greatest { f64::max } else { f64::min })
}

/// Numbers in this range are in the order of the `f64` that they stand for; what lies beyond stands for none.
pub fn f64_codes() -> RangeInclusive<u64> {
    f64::NEG_INFINITY.to_u64()..=f64::INFINITY.to_u64()
}
