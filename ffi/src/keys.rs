//! Whole keys of records as a column. The index has none of them, only the list of records of each key; so a
//! column is made of those lists, of four bytes a record, when an aggregation asks for one.

use crate::schema::FIELDS;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use tantivy::aggregation::{ValueSource, ValueSourceDictionary, ValueSourceProvider};
use tantivy::columnar::{Cardinality, ColumnType, RowId};
use tantivy::index::SegmentId;
use tantivy::schema::IndexRecordOption;
use tantivy::{DocId, DocSet, InvertedIndexReader, SegmentReader, TERMINATED};

/// Stands for a record without a key, or with one that is not known as a whole.
const NO_ORD: u32 = u32::MAX;

/// Looking up one term costs as much as walking past so many.
const WALK_FACTOR: u64 = 200;

/// Gives the keys of the newest segment again: several aggregations of a request may ask for them.
#[derive(Default)]
pub struct KeySource {
    newest: Mutex<Option<(SegmentId, Keys)>>,
}

#[derive(Clone)]
struct Keys {
    /// For each record, where its key stands in the dictionary.
    ords: Arc<[u32]>,
    index: Arc<InvertedIndexReader>,
}

impl ValueSourceProvider for KeySource {
    fn for_segment(
        &self,
        segment: &SegmentReader,
        _: Option<&[ColumnType]>,
    ) -> tantivy::Result<Option<Box<dyn ValueSource>>> {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = match &*newest {
            Some((id, keys)) if *id == segment.segment_id() => keys.clone(),
            _ => Keys::read(segment)?,
        };
        *newest = Some((segment.segment_id(), keys.clone()));
        Ok(Some(Box::new(keys)))
    }
}

impl Keys {
    fn read(segment: &SegmentReader) -> tantivy::Result<Keys> {
        let index = segment.inverted_index(FIELDS.key_exact)?;
        let mut ords = vec![NO_ORD; segment.max_doc() as usize];
        let mut terms = index.terms().stream()?;
        while terms.advance() {
            let info = terms.value();
            let mut postings = index.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
            while postings.doc() != TERMINATED {
                ords[postings.doc() as usize] = terms.term_ord() as u32;
                postings.advance();
            }
        }
        Ok(Keys { ords: ords.into(), index })
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "Keys of {} records", self.ords.len())
    }
}

impl ValueSource for Keys {
    fn column_type(&self) -> ColumnType {
        ColumnType::Str
    }

    fn load_block(
        &mut self,
        docs: &[DocId],
        values: &mut Vec<u64>,
        docids: &mut Vec<DocId>,
        _: &mut Vec<RowId>,
    ) -> Cardinality {
        docids.clear();
        values.clear();
        for doc in docs {
            let ord = self.ords[*doc as usize];
            if ord != NO_ORD {
                docids.push(*doc);
                values.push(u64::from(ord));
            }
        }
        Cardinality::Optional
    }

    fn to_f64(self: Box<Self>) -> Box<dyn ValueSource> {
        self
    }

    fn term_dictionary(&self) -> Option<&dyn ValueSourceDictionary> {
        Some(self)
    }
}

impl ValueSourceDictionary for Keys {
    fn num_terms(&self) -> u64 {
        self.index.terms().num_terms() as u64
    }

    fn sorted_ords_to_term_cb(&self, ords: &[u64], callback: &mut dyn FnMut(&[u8])) -> io::Result<bool> {
        let dictionary = self.index.terms();
        if (ords.len() as u64).saturating_mul(WALK_FACTOR) < self.num_terms() {
            let mut term = Vec::new();
            for ord in ords {
                if !dictionary.ord_to_term(*ord, &mut term)? {
                    return Ok(false);
                }
                callback(&term);
            }
            return Ok(true);
        }
        let mut terms = dictionary.stream()?;
        let mut wanted = ords.iter().peekable();
        while wanted.peek().is_some() {
            if !terms.advance() {
                return Ok(false);
            }
            while wanted.next_if(|ord| **ord == terms.term_ord()).is_some() {
                callback(terms.key());
            }
        }
        Ok(true)
    }
}
