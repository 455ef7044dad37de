//! Merges indexes into one segment of a new directory and keeps only some of their records. So an interval's index
//! is split among its segments, and the index of a merged segment is made from those of the segments before it.

use crate::freeze::{Frozen, Kept, alive_records, expect_missing};
use crate::guard::Outcome;
use crate::indexes::{open_index, release_memory};
use crate::segment_page::Columns;
use crate::times::TimeRange;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use tantivy::{BitSet, Segment, SegmentReader};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MergeRequest {
    /// Numbers of the indexes.
    sources: Vec<u32>,
    directory: PathBuf,
    keep: Keep,
}

/// Which records stay.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase", deny_unknown_fields)]
enum Keep {
    All,
    /// Those of other topics.
    ExcludedTopics {
        topic_ids: HashSet<String>,
    },
    Topics {
        topic_ids: HashSet<String>,
    },
    /// Those whose offset lies in a range of their partition.
    Ranges {
        ranges: Vec<OffsetRange>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OffsetRange {
    topic_id: String,
    partition: u64,
    start_offset: u64,
    end_offset: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Merged {
    document_count: u64,
    size_bytes: u64,
    times: Option<TimeRange>,
    topic_ids: BTreeSet<String>,
}

/// Writes nothing if no record stays.
pub fn merge(request: &MergeRequest) -> Outcome<Merged> {
    expect_missing(&request.directory)?;
    let table = KeepTable::of(&request.keep);
    let mut kept = Kept::default();
    let mut topic_ids = BTreeSet::new();
    for number in &request.sources {
        let index = open_index(*number)?;
        let index = index.index();
        kept.settings.get_or_insert_with(|| index.settings().clone());
        for segment in index.searchable_segments().map_err(|error| error.to_string())? {
            table.sort_out(segment, &mut kept, &mut topic_ids).map_err(|error| error.to_string())?;
        }
    }
    if kept.segments.is_empty() {
        return Ok(Merged { document_count: 0, size_bytes: 0, times: None, topic_ids });
    }
    let written = kept.write_to(&request.directory);
    release_memory();
    let Frozen { document_count, size_bytes, times } = written?;
    Ok(Merged { document_count, size_bytes, times, topic_ids })
}

/// What stays of one topic.
#[derive(Clone, Copy)]
enum TopicKeep<'a> {
    All,
    Nothing,
    /// By partition; of each, ranges in order that do not meet.
    Ranges(&'a HashMap<u64, Vec<Range<u64>>>),
}

/// A request's `keep`, to be asked once per record.
enum KeepTable<'a> {
    /// Without ranges.
    ByTopic(&'a Keep),
    ByRange(HashMap<&'a str, HashMap<u64, Vec<Range<u64>>>>),
}

impl<'a> KeepTable<'a> {
    fn of(keep: &'a Keep) -> KeepTable<'a> {
        let Keep::Ranges { ranges } = keep else {
            return KeepTable::ByTopic(keep);
        };
        let mut table: HashMap<&str, HashMap<u64, Vec<Range<u64>>>> = HashMap::new();
        for OffsetRange { topic_id, partition, start_offset, end_offset } in ranges {
            let partitions = table.entry(topic_id).or_default();
            partitions.entry(*partition).or_default().push(*start_offset..*end_offset);
        }
        for ranges in table.values_mut().flat_map(HashMap::values_mut) {
            ranges.sort_unstable_by_key(|range| range.start);
            ranges.dedup_by(|next, last| {
                let meets = next.start <= last.end;
                if meets {
                    last.end = last.end.max(next.end);
                }
                meets
            });
        }
        KeepTable::ByRange(table)
    }

    fn topic(&self, topic_id: &str) -> TopicKeep<'_> {
        let all_if = |stays: bool| if stays { TopicKeep::All } else { TopicKeep::Nothing };
        match self {
            KeepTable::ByTopic(Keep::ExcludedTopics { topic_ids }) => all_if(!topic_ids.contains(topic_id)),
            KeepTable::ByTopic(Keep::Topics { topic_ids }) => all_if(topic_ids.contains(topic_id)),
            KeepTable::ByTopic(_) => TopicKeep::All,
            KeepTable::ByRange(table) => table.get(topic_id).map_or(TopicKeep::Nothing, TopicKeep::Ranges),
        }
    }

    /// Adds `segment` to `kept` if a record of it stays, and the topics of those that do.
    fn sort_out(
        &self,
        segment: Segment,
        kept: &mut Kept,
        topic_ids: &mut BTreeSet<String>,
    ) -> tantivy::Result<()> {
        let reader = SegmentReader::open(&segment)?;
        let columns = Columns::open(&reader)?;
        let ids = topic_ids_of(&columns)?;
        let keeps: Vec<TopicKeep> = ids.iter().map(|topic_id| self.topic(topic_id)).collect();
        let alive = if keeps.iter().all(|keep| matches!(keep, TopicKeep::All)) {
            topic_ids.extend(ids);
            None
        } else {
            let (alive, present) = stay(&reader, &columns, &keeps);
            topic_ids
                .extend(ids.into_iter().zip(present).filter_map(|(id, is_present)| is_present.then_some(id)));
            if alive.len() == 0 {
                return Ok(());
            }
            (alive.len() < reader.max_doc() as usize).then(|| alive_records(&alive)).transpose()?
        };
        kept.segments.push(segment);
        kept.alive.push(alive);
        Ok(())
    }
}

/// The records that stay, and which topics have one. `keeps` is by topic ordinal.
fn stay(reader: &SegmentReader, columns: &Columns, keeps: &[TopicKeep]) -> (BitSet, Vec<bool>) {
    let mut alive = BitSet::with_max_value(reader.max_doc());
    let mut present = vec![false; keeps.len()];
    for doc in 0..reader.max_doc() {
        let ord = columns.topic_ords.get_val(doc) as usize;
        let stays = match keeps[ord] {
            TopicKeep::All => true,
            TopicKeep::Nothing => false,
            TopicKeep::Ranges(partitions) => {
                let ranges = partitions.get(&columns.partitions.get_val(doc)).map_or(&[][..], Vec::as_slice);
                holds(ranges, columns.offsets.get_val(doc))
            }
        };
        if stays {
            alive.insert(doc);
            present[ord] = true;
        }
    }
    (alive, present)
}

fn holds(ranges: &[Range<u64>], offset: u64) -> bool {
    let behind = ranges.partition_point(|range| range.start <= offset);
    behind > 0 && offset < ranges[behind - 1].end
}

/// By ordinal.
pub fn topic_ids_of(columns: &Columns) -> tantivy::Result<Vec<String>> {
    let mut ids = Vec::with_capacity(columns.topic_ids.num_terms());
    let mut terms = columns.topic_ids.dictionary().stream()?;
    while terms.advance() {
        ids.push(String::from_utf8_lossy(terms.key()).into_owned());
    }
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_meet_are_one() {
        let range = |partition, start_offset, end_offset| OffsetRange {
            topic_id: "t".into(),
            partition,
            start_offset,
            end_offset,
        };
        let keep =
            Keep::Ranges { ranges: vec![range(1, 20, 30), range(1, 5, 10), range(1, 8, 12), range(2, 0, 1)] };
        let table = KeepTable::of(&keep);
        let TopicKeep::Ranges(partitions) = table.topic("t") else { panic!("the topic has ranges") };
        assert_eq!(partitions[&1], [5..12, 20..30]);
        let kept: Vec<u64> = (0..40).filter(|offset| holds(&partitions[&1], *offset)).collect();
        assert_eq!(kept, (5..12).chain(20..30).collect::<Vec<_>>());
        assert!(!holds(&[], 0));
        assert!(matches!(table.topic("u"), TopicKeep::Nothing));
    }
}
