//! All values of a field as texts that are equal where the values are, for fields whose numbers have different
//! types in different segments and which hold other values too.

use crate::numbers::number_of;
use std::collections::HashMap;
use std::fmt;
use std::io;
use tantivy::aggregation::{ValueSource, ValueSourceDictionary};
use tantivy::columnar::{
    Cardinality, ColumnType, DynamicColumn, MonotonicallyMappableToU64, RowId, StrColumn,
};
use tantivy::{DocId, SegmentReader};

pub struct TextSource {
    columns: Vec<Values>,
    /// Texts by number, in the order in which they came up.
    texts: Vec<Box<[u8]>>,
    ids: HashMap<Box<[u8]>, u64>,
    pairs: Vec<(DocId, u64)>,
}

struct Values {
    source: Box<dyn ValueSource>,
    strings: Option<StrColumn>,
    /// The number of the text of each value that came up.
    ids: HashMap<u64, u64>,
}

impl TextSource {
    pub fn open(segment: &SegmentReader, column: &str, types: &[ColumnType]) -> tantivy::Result<TextSource> {
        let mut columns = Vec::new();
        for handle in segment.fast_fields().dynamic_column_handles(column)? {
            if !types.contains(&handle.column_type()) {
                continue;
            }
            if let DynamicColumn::Str(strings) = handle.open()? {
                let source = Box::new(strings.clone());
                columns.push(Values { source, strings: Some(strings), ids: HashMap::new() });
            } else if let Some(numbers) = handle.open_u64_lenient()? {
                let source = Box::new((numbers, handle.column_type()));
                columns.push(Values { source, strings: None, ids: HashMap::new() });
            }
        }
        Ok(TextSource { columns, texts: Vec::new(), ids: HashMap::new(), pairs: Vec::new() })
    }
}

impl Values {
    fn text_of(&self, value: u64) -> Box<[u8]> {
        let column_type = self.source.column_type();
        let text = match (&self.strings, column_type) {
            (Some(strings), _) => {
                let mut text = String::from("s");
                let mut own = String::new();
                // The value is one of the column's.
                let _ = strings.ord_to_str(value, &mut own);
                text.push_str(&own);
                text
            }
            (None, ColumnType::I64) => format!("n{}", i64::from_u64(value)),
            (None, ColumnType::U64) => format!("n{value}"),
            (None, ColumnType::F64) => format!("n{}", f64::from_u64(value)),
            (None, _) => format!("{column_type}{}", number_of(value, column_type)),
        };
        text.into_bytes().into()
    }
}

impl fmt::Debug for TextSource {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "TextSource of {} columns", self.columns.len())
    }
}

impl ValueSource for TextSource {
    fn column_type(&self) -> ColumnType {
        ColumnType::Str
    }

    fn load_block(
        &mut self,
        docs: &[DocId],
        values: &mut Vec<u64>,
        docids: &mut Vec<DocId>,
        row_ids: &mut Vec<RowId>,
    ) -> Cardinality {
        self.pairs.clear();
        for column in &mut self.columns {
            let cardinality = column.source.load_block(docs, values, docids, row_ids);
            let owners = if cardinality.is_full() { docs } else { docids.as_slice() };
            for (doc, value) in owners.iter().zip(values.iter()) {
                let id = match column.ids.get(value) {
                    Some(id) => *id,
                    None => {
                        let text = column.text_of(*value);
                        let id = *self.ids.entry(text).or_insert_with_key(|text| {
                            self.texts.push(text.clone());
                            self.texts.len() as u64 - 1
                        });
                        column.ids.insert(*value, id);
                        id
                    }
                };
                self.pairs.push((*doc, id));
            }
        }
        self.pairs.sort_unstable();
        self.pairs.dedup();
        docids.clear();
        values.clear();
        docids.extend(self.pairs.iter().map(|(doc, _)| *doc));
        values.extend(self.pairs.iter().map(|(_, id)| *id));
        Cardinality::Multivalued
    }

    fn to_f64(self: Box<Self>) -> Box<dyn ValueSource> {
        self
    }

    fn term_dictionary(&self) -> Option<&dyn ValueSourceDictionary> {
        Some(self)
    }
}

impl ValueSourceDictionary for TextSource {
    fn num_terms(&self) -> u64 {
        self.texts.len() as u64
    }

    fn sorted_ords_to_term_cb(&self, ords: &[u64], callback: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        for ord in ords {
            match self.texts.get(*ord as usize) {
                Some(text) => callback(text),
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}
