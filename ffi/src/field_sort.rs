//! The order of records by a field of any type.
//!
//! In a segment a record's place is a number of which the greater comes first, as for other sorts. For an
//! ascending order it is the complement of these:
//!
//!   numbers       the order-keeping form of `f64`
//!   texts         behind infinity: 2 × the ordinal in the segment + 1; an even one lies between two texts
//!
//! Texts of different segments are compared as texts. No value has the number 0 or all ones, whatever the order.

use crate::numbers::{NUMBERS, column_of, columns, extreme, f64_codes};
use crate::request::{Order, Sort};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;
use tantivy::columnar::{Column, ColumnType, MonotonicallyMappableToU64, StrColumn};
use tantivy::{DocId, SegmentReader, TantivyError};

const LAST: u64 = 0;
const FIRST: u64 = u64::MAX;

/// What a record is sorted by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum SortValue {
    Number(f64),
    Text(Arc<str>),
}

/// A field of a segment.
pub struct FieldColumn {
    numbers: Vec<(Column<u64>, ColumnType)>,
    texts: Option<StrColumn>,
    order: Order,
    is_missing_first: bool,
}

impl FieldColumn {
    pub fn open(segment: &SegmentReader, sort: &Sort) -> tantivy::Result<FieldColumn> {
        let field = sort.field.as_deref().unwrap_or_default();
        let column = column_of(field).map_err(TantivyError::InvalidArgument)?;
        Ok(FieldColumn {
            numbers: columns(segment, &column, NUMBERS)?,
            texts: segment.fast_fields().str(&column)?,
            order: sort.order,
            is_missing_first: sort.is_missing_first,
        })
    }

    pub fn key(&self, doc: DocId) -> u64 {
        let is_descending = self.order == Order::Desc;
        let number = extreme(&self.numbers, doc, is_descending);
        let text = || {
            let ords = self.texts.as_ref()?.term_ords(doc);
            ords.reduce(if is_descending { u64::max } else { u64::min })
        };
        // Numbers come before texts in an ascending order, behind them in a descending one.
        let code = match (is_descending, number) {
            (false, Some(number)) => Some(number.to_u64()),
            (false, None) => text().map(text_code),
            (true, number) => text().map(text_code).or(number.map(f64::to_u64)),
        };
        self.placed(code)
    }

    /// The place of a value that need not be in this segment.
    pub fn key_of(&self, value: Option<&SortValue>) -> tantivy::Result<u64> {
        let code = match value {
            None => None,
            Some(SortValue::Number(number)) => Some(number.to_u64()),
            Some(SortValue::Text(text)) => Some(match &self.texts {
                Some(texts) => code_in(texts, text)?,
                None => text_code(0) - 1,
            }),
        };
        Ok(self.placed(code))
    }

    /// What a record at `key` is sorted by.
    pub fn value_of(&self, key: u64) -> tantivy::Result<Option<SortValue>> {
        if key == LAST || key == FIRST {
            return Ok(None);
        }
        let code = if self.order == Order::Asc { !key } else { key };
        if f64_codes().contains(&code) {
            return Ok(Some(SortValue::Number(f64::from_u64(code))));
        }
        let mut text = String::new();
        if let Some(texts) = &self.texts {
            texts.ord_to_str((code - text_code(0)) / 2, &mut text)?;
        }
        Ok(Some(SortValue::Text(text.into())))
    }

    fn placed(&self, code: Option<u64>) -> u64 {
        match (code, self.order) {
            (Some(code), Order::Desc) => code,
            (Some(code), Order::Asc) => !code,
            (None, _) if self.is_missing_first => FIRST,
            (None, _) => LAST,
        }
    }
}

fn text_code(ord: u64) -> u64 {
    f64_codes().end() + 2 + 2 * ord
}

fn code_in(texts: &StrColumn, text: &str) -> tantivy::Result<u64> {
    let dictionary = texts.dictionary();
    if let Some(ord) = dictionary.term_ord(text.as_bytes())? {
        return Ok(text_code(ord));
    }
    let start = Bound::Included(text.as_bytes());
    let next = match dictionary.term_bounds_to_ord(start, Bound::Unbounded)?.0 {
        Bound::Included(ord) | Bound::Excluded(ord) => ord,
        Bound::Unbounded => 0,
    };
    Ok(text_code(next) - 1)
}

/// The order of two places of different segments; `Less` comes first.
pub fn order_of(left: (u64, Option<&SortValue>), right: (u64, Option<&SortValue>), order: Order) -> Ordering {
    match (left.1, right.1, order) {
        (Some(SortValue::Text(left)), Some(SortValue::Text(right)), Order::Asc) => left.cmp(right),
        (Some(SortValue::Text(left)), Some(SortValue::Text(right)), Order::Desc) => right.cmp(left),
        _ => right.0.cmp(&left.0),
    }
}
