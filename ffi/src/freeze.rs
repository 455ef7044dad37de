//! Writes indexes to a directory as one segment, all of it or nothing.
//!
//! Files are written and synced in `<directory>.partial`, which is then renamed. A run that was cut short leaves
//! only that; the next one to the same place removes it.

use crate::guard::Outcome;
use crate::indexes::{OpenIndex, manual_reader, open_index, release_memory};
use crate::live::set_tokenizers;
use crate::request::Filter;
use crate::times::{TimeRange, time_range};
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::directory::{MmapDirectory, OwnedBytes};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::indexer::merge_filtered_segments;
use tantivy::query::{EnableScoring, Query};
use tantivy::{BitSet, Segment, SegmentReader};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FreezeRequest {
    /// Numbers of the indexes whose committed records are written.
    indexes: Vec<u32>,
    directory: PathBuf,
    /// What is kept.
    #[serde(default)]
    filter: Filter,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    pub document_count: u64,
    pub size_bytes: u64,
    pub times: Option<TimeRange>,
}

impl FreezeRequest {
    pub fn parse(text: &str) -> Outcome<FreezeRequest> {
        serde_json::from_str(text)
            .map_err(|error| format!("The request to freeze is not understood: {error}"))
    }
}

pub fn freeze(request: &FreezeRequest) -> Outcome<Frozen> {
    expect_missing(&request.directory)?;
    let indexes = request.indexes.iter().map(|number| open_index(*number)).collect::<Outcome<Vec<_>>>()?;
    let kept = Kept::of(&indexes, &request.filter).map_err(|error| error.to_string())?;
    if kept.segments.is_empty() {
        return Err("There is nothing to freeze: no record is kept.".into());
    }
    let written = kept.write_to(&request.directory);
    release_memory();
    written
}

pub fn expect_missing(directory: &Path) -> Outcome<()> {
    if directory.exists() { Err(format!("{} exists already.", directory.display())) } else { Ok(()) }
}

/// Segments with a record that passes, and which of their records do; `None` for all of them.
#[derive(Default)]
pub struct Kept {
    pub segments: Vec<Segment>,
    pub alive: Vec<Option<AliveBitSet>>,
    pub settings: Option<tantivy::IndexSettings>,
}

impl Kept {
    fn of(indexes: &[Arc<OpenIndex>], filter: &Filter) -> tantivy::Result<Kept> {
        let mut kept = Kept::default();
        let query = filter.query();
        for index in indexes {
            let index = index.index();
            kept.settings.get_or_insert_with(|| index.settings().clone());
            for segment in index.searchable_segments()? {
                match &query {
                    None => kept.alive.push(None),
                    Some(query) => match passing(&segment, &**query)? {
                        Some(alive) => kept.alive.push(Some(alive)),
                        None => continue,
                    },
                }
                kept.segments.push(segment);
            }
        }
        Ok(kept)
    }

    /// Writes them to a new directory as one segment, synced.
    pub fn write_to(self, directory: &Path) -> Outcome<Frozen> {
        let partial = partial_path(directory)?;
        let written = write(&partial, self).and_then(|(document_count, times)| {
            let size_bytes = sync_files(&partial)?;
            fs::rename(&partial, directory).map_err(|error| error.to_string())?;
            sync(
                directory.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")),
            )?;
            Ok(Frozen { document_count, size_bytes, times })
        });
        if written.is_err() {
            // What is left does no harm: the next run to this place removes it.
            let _ = fs::remove_dir_all(&partial);
        }
        written.map_err(|error| format!("Writing the index {} failed: {error}", directory.display()))
    }
}

/// The records of `segment` that match; `None` if none does.
fn passing(segment: &Segment, query: &dyn Query) -> tantivy::Result<Option<AliveBitSet>> {
    let reader = SegmentReader::open(segment)?;
    let weight = query.weight(EnableScoring::disabled_from_schema(reader.schema()))?;
    let mut alive = BitSet::with_max_value(reader.max_doc());
    weight.for_each_no_score(&reader, &mut |docs| {
        for doc in docs {
            alive.insert(*doc);
        }
    })?;
    if alive.len() == 0 {
        return Ok(None);
    }
    Ok(Some(alive_records(&alive)?))
}

/// The records of a segment that stay.
pub fn alive_records(alive: &BitSet) -> tantivy::Result<AliveBitSet> {
    let mut bytes = Vec::new();
    write_alive_bitset(alive, &mut bytes)?;
    Ok(AliveBitSet::open(OwnedBytes::new(bytes)))
}

/// Merges into a new directory. Gives the count of records, and their times.
fn write(partial: &Path, kept: Kept) -> Outcome<(u64, Option<TimeRange>)> {
    if partial.exists() {
        fs::remove_dir_all(partial).map_err(|error| error.to_string())?;
    }
    fs::create_dir_all(partial).map_err(|error| error.to_string())?;
    let files = MmapDirectory::open(partial).map_err(|error| error.to_string())?;
    let settings = kept.settings.unwrap_or_default();
    let mut merged = merge_filtered_segments(&kept.segments, settings, kept.alive, files)
        .map_err(|error| error.to_string())?;
    set_tokenizers(&mut merged);
    let reader = manual_reader(&merged).map_err(|error| error.to_string())?;
    let searcher = reader.searcher();
    let times = time_range(searcher.segment_readers()).map_err(|error| error.to_string())?;
    Ok((searcher.num_docs(), times))
}

fn partial_path(directory: &Path) -> Outcome<PathBuf> {
    let mut name = directory.file_name().ok_or("The directory has no name.")?.to_owned();
    name.push(".partial");
    Ok(directory.with_file_name(name))
}

/// Syncs every file and the directory itself. Gives the bytes of the files.
fn sync_files(directory: &Path) -> Outcome<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(directory).map_err(|error| error.to_string())? {
        let entry = entry.map_err(|error| error.to_string())?;
        bytes += entry.metadata().map_err(|error| error.to_string())?.len();
        sync(&entry.path())?;
    }
    sync(directory)?;
    Ok(bytes)
}

fn sync(path: &Path) -> Outcome<()> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| error.to_string())
}
