//! One record as Tantivy sees it. The payload is indexed, not stored.

use crate::json::Node;
use crate::schema::{EXACT_KEY_BYTES_MAX, FIELDS, HAS_HEADERS, NO_KEY, NO_VALUE};
use std::slice;
use std::sync::Arc;
use tantivy::DateTime;
use tantivy::schema::Field;
use tantivy::schema::document::{Document, ReferenceValue, ReferenceValueLeaf, Value};

/// Milliseconds that Tantivy's nanoseconds can hold; times beyond are indexed as the nearest that fits.
const TIMESTAMP_MS_MAX: i64 = i64::MAX / 1_000_000;

/// A record, taken apart. Bytes that are not UTF-8 have become replacement characters.
pub struct RecordText {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: Option<String>,
    pub value: Option<String>,
    /// Each header's name and value.
    pub headers: Vec<String>,
    pub json: Option<Node>,
}

/// What the records of a batch share.
pub struct Origin {
    pub topic_id: Arc<str>,
    pub topic: Arc<str>,
    pub partition: u64,
}

/// A document on its way to the writer's thread. `permit` is let go with the last document of its group.
pub struct RecordDocument {
    values: Vec<(Field, Owned)>,
    _permit: Arc<dyn Send + Sync>,
}

enum Owned {
    Shared(Arc<str>),
    Text(String),
    Static(&'static str),
    U64(u64),
    Date(DateTime),
    Json(Arc<Node>),
    JsonWords(Arc<Node>),
}

impl RecordDocument {
    pub fn new(origin: &Origin, record: RecordText, permit: Arc<dyn Send + Sync>) -> RecordDocument {
        let fields = &*FIELDS;
        let mut values = Vec::with_capacity(12 + record.headers.len());
        values.push((fields.topic_id, Owned::Shared(origin.topic_id.clone())));
        values.push((fields.topic, Owned::Shared(origin.topic.clone())));
        values.push((fields.partition, Owned::U64(origin.partition)));
        values.push((fields.offset, Owned::U64(record.offset)));
        values.push((fields.timestamp, Owned::Date(date_of_ms(record.timestamp_ms))));
        match record.key {
            Some(key) => {
                if key.len() <= EXACT_KEY_BYTES_MAX {
                    values.push((fields.key_exact, Owned::Text(key.clone())));
                }
                values.push((fields.key, Owned::Text(key)));
            }
            None => values.push((fields.marks, Owned::Static(NO_KEY))),
        }
        values.push(match record.value {
            Some(value) => (fields.value, Owned::Text(value)),
            None => (fields.marks, Owned::Static(NO_VALUE)),
        });
        if !record.headers.is_empty() {
            values.push((fields.marks, Owned::Static(HAS_HEADERS)));
            values.extend(record.headers.into_iter().map(|header| (fields.headers, Owned::Text(header))));
        }
        if let Some(json) = record.json.map(Arc::new) {
            values.push((fields.json, Owned::Json(json.clone())));
            values.push((fields.json_words, Owned::JsonWords(json)));
        }
        RecordDocument { values, _permit: permit }
    }
}

/// The date of a record's timestamp, or the nearest that Tantivy can hold.
pub fn date_of_ms(timestamp_ms: i64) -> DateTime {
    DateTime::from_timestamp_millis(timestamp_ms.clamp(-TIMESTAMP_MS_MAX, TIMESTAMP_MS_MAX))
}

impl Document for RecordDocument {
    type Value<'a> = Borrowed<'a>;
    type FieldsValuesIter<'a> = FieldsValues<'a>;

    fn iter_fields_and_values(&self) -> FieldsValues<'_> {
        FieldsValues(self.values.iter())
    }
}

pub struct FieldsValues<'a>(slice::Iter<'a, (Field, Owned)>);

impl<'a> Iterator for FieldsValues<'a> {
    type Item = (Field, Borrowed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (field, value) = self.0.next()?;
        let borrowed = match value {
            Owned::Shared(text) => Borrowed::Text(text),
            Owned::Text(text) => Borrowed::Text(text),
            Owned::Static(text) => Borrowed::Text(text),
            Owned::U64(number) => Borrowed::U64(*number),
            Owned::Date(date) => Borrowed::Date(*date),
            Owned::Json(node) => Borrowed::Node(node),
            Owned::JsonWords(node) => Borrowed::Words(node),
        };
        Some((*field, borrowed))
    }
}

#[derive(Debug, Clone, Copy)]
pub enum Borrowed<'a> {
    Text(&'a str),
    U64(u64),
    Date(DateTime),
    Node(&'a Node),
    /// A node without its numbers and dates.
    Words(&'a Node),
}

impl<'a> Value<'a> for Borrowed<'a> {
    type ArrayIter = Elements<'a>;
    type ObjectIter = Members<'a>;

    fn as_value(&self) -> ReferenceValue<'a, Self> {
        let (node, has_numbers) = match *self {
            Borrowed::Text(text) => return ReferenceValue::Leaf(ReferenceValueLeaf::Str(text)),
            Borrowed::U64(number) => return ReferenceValue::Leaf(ReferenceValueLeaf::U64(number)),
            Borrowed::Date(date) => return ReferenceValue::Leaf(ReferenceValueLeaf::Date(date)),
            Borrowed::Node(node) => (node, true),
            Borrowed::Words(node) => (node, false),
        };
        ReferenceValue::Leaf(match node {
            Node::Array(elements) => return ReferenceValue::Array(Elements(elements.iter(), has_numbers)),
            Node::Object(members) => return ReferenceValue::Object(Members(members.iter(), has_numbers)),
            Node::Text(value) => ReferenceValueLeaf::Str(value),
            Node::Bool(value) => ReferenceValueLeaf::Bool(*value),
            _ if !has_numbers => ReferenceValueLeaf::Null,
            Node::I64(value) => ReferenceValueLeaf::I64(*value),
            Node::U64(value) => ReferenceValueLeaf::U64(*value),
            Node::F64(value) => ReferenceValueLeaf::F64(*value),
            Node::Date(value) => ReferenceValueLeaf::Date(*value),
        })
    }
}

impl<'a> Borrowed<'a> {
    fn child(node: &'a Node, has_numbers: bool) -> Borrowed<'a> {
        if has_numbers { Borrowed::Node(node) } else { Borrowed::Words(node) }
    }
}

pub struct Elements<'a>(slice::Iter<'a, Node>, bool);

impl<'a> Iterator for Elements<'a> {
    type Item = Borrowed<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|node| Borrowed::child(node, self.1))
    }
}

pub struct Members<'a>(slice::Iter<'a, (Box<str>, Node)>, bool);

impl<'a> Iterator for Members<'a> {
    type Item = (&'a str, Borrowed<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, node)| (&**name, Borrowed::child(node, self.1)))
    }
}
