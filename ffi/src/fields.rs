//! Which fields the JSON values of topics have, and of which types: what is in the columns of their indexes.

use crate::aggregate_sources::type_name;
use crate::guard::{GivenUp, Outcome};
use crate::hits::Deadline;
use crate::indexes::open_index;
use crate::merge::topic_ids_of;
use crate::schema::JSON;
use crate::segment_page::Columns;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::panic::resume_unwind;
use std::time::{Duration, Instant};
use tantivy::columnar::{ColumnIndex, ColumnarReader, DynamicColumnHandle};
use tantivy::index::SegmentComponent;
use tantivy::{DocId, Segment, SegmentReader};

/// Between the steps of a path, in the names of columns.
const STEP_SEPARATOR: char = '\u{1}';
/// A live index may drop a segment's files between listing and opening them.
const ATTEMPTS_MAX: usize = 5;

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FieldsRequest {
    pub indexes: Vec<u32>,
    topic_ids: HashSet<String>,
    /// Of one topic; the first ones in their order are kept.
    fields_max: usize,
    /// Of all topics; with more the request is given up.
    fields_total_max: usize,
    pub timeout_ms: Option<u64>,
}

type Types = BTreeSet<&'static str>;

/// The types of each path of each topic.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicFields {
    topics: HashMap<String, BTreeMap<String, Types>>,
    #[serde(skip)]
    count: usize,
}

pub fn fields(request: &FieldsRequest) -> Outcome<TopicFields> {
    let deadline = request
        .timeout_ms
        .map(|timeout_ms| Deadline { at: Instant::now() + Duration::from_millis(timeout_ms), timeout_ms });
    let mut found = TopicFields::default();
    for number in &request.indexes {
        let index = open_index(*number)?;
        let mut attempt = 1;
        loop {
            let segments = index.index().searchable_segments().map_err(|error| error.to_string())?;
            let added = segments.iter().try_for_each(|segment| found.add_segment(segment, request, deadline));
            match added {
                Ok(()) => break,
                Err(_) if index.live().is_ok() && attempt < ATTEMPTS_MAX => attempt += 1,
                Err(error) => return Err(error.to_string()),
            }
        }
    }
    Ok(found)
}

impl TopicFields {
    fn add_segment(
        &mut self,
        segment: &Segment,
        request: &FieldsRequest,
        deadline: Option<Deadline>,
    ) -> tantivy::Result<()> {
        let topics = WantedTopics::of(segment, &request.topic_ids)?;
        if topics.wanted.is_empty() {
            return Ok(());
        }
        let columnar = ColumnarReader::open(segment.open_read(SegmentComponent::FastFields)?)?;
        for (name, handle) in columnar.iter_columns()? {
            let Some((JSON, path)) = name.split_once(STEP_SEPARATOR) else { continue };
            if let Some(deadline) = deadline {
                deadline.look();
            }
            let path = path.replace(STEP_SEPARATOR, ".");
            let field_type = type_name(handle.column_type());
            if topics.wanted.values().all(|topic_id| self.knows(topic_id, &path, field_type)) {
                continue;
            }
            for topic_id in topics.with_values(&handle)? {
                self.add(topic_id, &path, field_type, request);
            }
        }
        Ok(())
    }

    fn knows(&self, topic_id: &str, path: &str, field_type: &'static str) -> bool {
        let types = self.topics.get(topic_id).and_then(|fields| fields.get(path));
        types.is_some_and(|types| types.contains(field_type))
    }

    fn add(&mut self, topic_id: &str, path: &str, field_type: &'static str, request: &FieldsRequest) {
        let fields = self.topics.entry(topic_id.to_owned()).or_default();
        let types = fields.entry(path.to_owned()).or_default();
        self.count += usize::from(types.is_empty());
        types.insert(field_type);
        if fields.len() > request.fields_max {
            fields.pop_last();
            self.count -= 1;
        }
        if self.count > request.fields_total_max {
            let text = format!("The topics have more than {} fields.", request.fields_total_max);
            resume_unwind(Box::new(GivenUp(text)));
        }
    }
}

/// The topics of a segment whose fields are asked for.
struct WantedTopics {
    columns: Columns,
    /// By ordinal.
    wanted: HashMap<u64, String>,
    /// No record is of another topic.
    is_alone: bool,
}

impl WantedTopics {
    fn of(segment: &Segment, topic_ids: &HashSet<String>) -> tantivy::Result<WantedTopics> {
        let columns = Columns::open(&SegmentReader::open(segment)?)?;
        let ids = topic_ids_of(&columns)?;
        let is_alone = ids.len() == 1;
        let wanted = (0..).zip(ids).filter(|(_, id)| topic_ids.contains(id)).collect();
        Ok(WantedTopics { columns, wanted, is_alone })
    }

    /// Those of which a record has a value in the column.
    fn with_values(&self, handle: &DynamicColumnHandle) -> tantivy::Result<Vec<&str>> {
        if self.is_alone {
            return Ok(self.wanted.values().map(String::as_str).collect());
        }
        let column = handle.open()?;
        Ok(match column.column_index() {
            ColumnIndex::Empty { .. } => Vec::new(),
            ColumnIndex::Full => self.wanted.values().map(String::as_str).collect(),
            ColumnIndex::Optional(index) => self.owners(index.iter_non_null_docs()),
            ColumnIndex::Multivalued(index) => self.owners(index.iter_non_null_docs()),
        })
    }

    fn owners(&self, docs: impl Iterator<Item = DocId>) -> Vec<&str> {
        let mut found = BTreeMap::new();
        for doc in docs {
            let ord = self.columns.topic_ords.get_val(doc);
            if let Some(topic_id) = self.wanted.get(&ord) {
                found.insert(ord, topic_id.as_str());
                if found.len() == self.wanted.len() {
                    break;
                }
            }
        }
        found.into_values().collect()
    }
}
