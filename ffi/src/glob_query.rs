//! Queries for patterns: over the words of a dictionary, or over the whole strings of a column.

use crate::glob::Glob;
use std::fmt;
use std::sync::Arc;
use tantivy::query::{
    AutomatonWeight, BitSetDocSet, ConstScorer, EmptyScorer, EnableScoring, Explanation, Query, Scorer,
    Weight,
};
use tantivy::schema::Field;
use tantivy::{BitSet, DocId, Score, SegmentReader, TantivyError};

/// Records with a term that matches.
#[derive(Clone)]
pub struct DictionaryGlobQuery {
    field: Field,
    glob: Arc<Glob>,
}

impl DictionaryGlobQuery {
    pub fn new(field: Field, glob: Glob) -> DictionaryGlobQuery {
        DictionaryGlobQuery { field, glob: Arc::new(glob) }
    }
}

impl fmt::Debug for DictionaryGlobQuery {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("DictionaryGlobQuery")
    }
}

impl Query for DictionaryGlobQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(AutomatonWeight::<Glob>::new(self.field, self.glob.clone())))
    }
}

/// Records with a whole string of a JSON path that matches. It reads the path's column from end to end.
#[derive(Clone)]
pub struct ColumnGlobQuery {
    column: String,
    glob: Arc<Glob>,
}

impl ColumnGlobQuery {
    pub fn new(column: String, glob: Glob) -> ColumnGlobQuery {
        ColumnGlobQuery { column, glob: Arc::new(glob) }
    }
}

impl fmt::Debug for ColumnGlobQuery {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "ColumnGlobQuery({})", self.column)
    }
}

impl Query for ColumnGlobQuery {
    fn weight(&self, _: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        Ok(Box::new(self.clone()))
    }
}

impl Weight for ColumnGlobQuery {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        let Some(column) = reader.fast_fields().str(&self.column)? else {
            return Ok(Box::new(EmptyScorer));
        };
        let mut matching = BitSet::with_max_value(column.num_terms() as u32);
        let mut terms = column.dictionary().search(&*self.glob).into_stream()?;
        while terms.advance() {
            matching.insert(terms.term_ord() as u32);
        }
        if matching.len() == 0 {
            return Ok(Box::new(EmptyScorer));
        }
        let mut docs = BitSet::with_max_value(reader.max_doc());
        for doc in 0..reader.max_doc() {
            if column.term_ords(doc).any(|ord| matching.contains(ord as u32)) {
                docs.insert(doc);
            }
        }
        Ok(Box::new(ConstScorer::new(BitSetDocSet::from(docs), boost)))
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let mut scorer = self.scorer(reader, 1.0)?;
        if scorer.doc() > doc || scorer.seek(doc) != doc {
            return Err(TantivyError::InvalidArgument(format!("Document {doc} does not match.")));
        }
        Ok(Explanation::new("ColumnGlobQuery", 1.0))
    }
}
