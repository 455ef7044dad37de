//! The exported functions of search indexes. Requests and results are JSON; packs of records are bytes.

use crate::aggregate::Aggregated;
use crate::archive_cache::{self, CacheStats};
use crate::fields::{FieldsRequest, TopicFields, fields};
use crate::freeze::{FreezeRequest, freeze};
use crate::guard::{Outcome, bytes_at, guarded, guarded_result, text_at};
use crate::highlight::marks;
use crate::hits::Hit;
use crate::indexes::{self, OpenIndex};
use crate::live::{LiveIndex, LiveOptions, LiveStats};
use crate::merge::{MergeRequest, merge};
use crate::partial::{Failure, over_readable};
use crate::request::SearchRequest;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Creates an empty live index. Options: [`LiveOptions`]. Gives its number.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_create(options: *const u8, length: u32) -> i32 {
    guarded(|| {
        // SAFETY: the caller vouches for the text.
        let options: LiveOptions = from_json(unsafe { text_at(options, length) }?)?;
        indexes::register(OpenIndex::Live(Box::new(LiveIndex::create(&options)?)))
    })
}

/// Adds a pack of records. Gives their count.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_add(number: u32, pack: *const u8, length: u32) -> i32 {
    guarded(|| {
        // SAFETY: the caller vouches for the bytes.
        let pack = unsafe { bytes_at(pack, length) }?;
        let count = indexes::open_index(number)?.live()?.add(pack)?;
        i32::try_from(count).map_err(|_| "The pack has too many records.".into())
    })
}

/// Makes the records that were added searchable.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_commit(number: u32) -> i32 {
    guarded(|| indexes::open_index(number)?.live()?.commit().map(|()| 0))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    document_count: u64,
    segment_count: usize,
    live: Option<LiveStats>,
}

/// What an index holds.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_stats(number: u32) -> i32 {
    guarded_result(|| {
        let index = indexes::open_index(number)?;
        let searcher = index.reader().searcher();
        to_json(&Stats {
            document_count: searcher.num_docs(),
            segment_count: searcher.segment_readers().len(),
            live: index.live().ok().map(LiveIndex::stats),
        })
    })
}

/// Writes indexes to a directory. Request: [`FreezeRequest`].
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_freeze(request: *const u8, length: u32) -> i32 {
    guarded_result(|| {
        // SAFETY: the caller vouches for the text.
        let request = FreezeRequest::parse(unsafe { text_at(request, length) }?)?;
        to_json(&freeze(&request)?)
    })
}

/// Writes some records of several indexes to a directory. Request: [`MergeRequest`].
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_merge(request: *const u8, length: u32) -> i32 {
    guarded_result(|| {
        // SAFETY: the caller vouches for the text.
        let request: MergeRequest = from_json(unsafe { text_at(request, length) }?)?;
        to_json(&merge(&request)?)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OpenRequest {
    directory: PathBuf,
    #[serde(default)]
    is_verified: bool,
}

/// Opens a directory that was frozen. Gives its number.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_open(request: *const u8, length: u32) -> i32 {
    guarded(|| {
        // SAFETY: the caller vouches for the text.
        let request: OpenRequest = from_json(unsafe { text_at(request, length) }?)?;
        indexes::register(indexes::open_frozen(&request.directory, request.is_verified)?)
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OpenArchivedRequest {
    path: PathBuf,
    length_bytes: u64,
    #[serde(default)]
    is_verified: bool,
}

/// Opens the index in an archive. Gives its number.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_open_archived(request: *const u8, length: u32) -> i32 {
    guarded(|| {
        // SAFETY: the caller vouches for the text.
        let request: OpenArchivedRequest = from_json(unsafe { text_at(request, length) }?)?;
        let OpenArchivedRequest { path, length_bytes, is_verified } = request;
        indexes::register(indexes::open_archived(&path, length_bytes, is_verified)?)
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArchiveStats {
    bytes_read: u64,
    cache_bytes: usize,
    cache_bytes_max: usize,
}

/// What was read from archives, and what is kept of it. It takes no request.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_archive_stats(_: *const u8, _: u32) -> i32 {
    guarded_result(|| {
        let CacheStats { bytes_read, bytes, bytes_max } = archive_cache::stats();
        to_json(&ArchiveStats { bytes_read, cache_bytes: bytes, cache_bytes_max: bytes_max })
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CacheRequest {
    bytes_max: usize,
}

/// Sets the bytes of archives that are kept in memory at most.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_archive_set_cache(request: *const u8, length: u32) -> i32 {
    guarded(|| {
        // SAFETY: the caller vouches for the text.
        let CacheRequest { bytes_max } = from_json(unsafe { text_at(request, length) }?)?;
        archive_cache::set_bytes_max(bytes_max);
        Ok(0)
    })
}

/// Forgets an index. Calls that run with it finish first; later ones fail.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_close(number: u32) -> i32 {
    guarded(|| indexes::close(number).map(|()| 0))
}

/// The numbers of all open indexes.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_numbers() -> i32 {
    guarded_result(|| to_json(&indexes::open_numbers()))
}

#[derive(Serialize)]
struct SearchResult {
    total: u64,
    hits: Vec<Hit>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    aggregated: Option<Aggregated>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failure>,
}

/// Searches several indexes at once. Request: [`SearchRequest`].
#[unsafe(no_mangle)]
pub extern "C" fn chronik_search(request: *const u8, length: u32) -> i32 {
    guarded_result(|| {
        // SAFETY: the caller vouches for the text.
        let mut request = SearchRequest::parse(unsafe { text_at(request, length) }?)?;
        let mut numbers = std::mem::take(&mut request.indexes);
        let ((page, aggregated), failures) = over_readable(&mut numbers, |numbers| {
            request.indexes = numbers.to_vec();
            indexes::search(&request)
        })?;
        to_json(&SearchResult { total: page.total, hits: page.hits, aggregated, failures })
    })
}

#[derive(Serialize)]
struct FieldsResult {
    #[serde(flatten)]
    fields: TopicFields,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failures: Vec<Failure>,
}

/// The fields that JSON values have. Request: [`FieldsRequest`].
#[unsafe(no_mangle)]
pub extern "C" fn chronik_index_fields(request: *const u8, length: u32) -> i32 {
    guarded_result(|| {
        // SAFETY: the caller vouches for the text.
        let mut request: FieldsRequest = from_json(unsafe { text_at(request, length) }?)?;
        let mut numbers = std::mem::take(&mut request.indexes);
        let (fields, failures) = over_readable(&mut numbers, |numbers| {
            request.indexes = numbers.to_vec();
            fields(&request)
        })?;
        to_json(&FieldsResult { fields, failures })
    })
}

/// The parts of a text that a query matches, as pairs of start and end in bytes, each a little-endian u32.
/// Request: `HighlightRequest`.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_highlight(
    request: *const u8,
    length: u32,
    text: *const u8,
    text_length: u32,
) -> i32 {
    guarded_result(|| {
        // SAFETY: the caller vouches for both texts.
        let (request, text) = unsafe { (text_at(request, length)?, text_at(text, text_length)?) };
        let marks = marks(&from_json(request)?, text)?;
        Ok(marks.into_iter().flat_map(|(start, end)| [start, end]).flat_map(u32::to_le_bytes).collect())
    })
}

fn from_json<'a, T: Deserialize<'a>>(text: &'a str) -> Outcome<T> {
    serde_json::from_str(text).map_err(|error| format!("The request is not understood: {error}"))
}

fn to_json(value: &impl Serialize) -> Outcome<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| error.to_string())
}
