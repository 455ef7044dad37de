//! The index that records are added to: in memory, written by one thread, searched by any.

use crate::document::{Origin, RecordDocument, RecordText};
use crate::guard::Outcome;
use crate::indexes::{manual_reader, release_memory};
use crate::json::{self, KnownPaths};
use crate::pack::PackReader;
use crate::schema::{FIELDS, tokenizers};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tantivy::directory::RamDirectory;
use tantivy::index::IndexSettings;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy, UserOperation};
use tantivy::store::Compressor;
use tantivy::{Index, IndexBuilder, IndexReader, IndexWriter};

/// A segment with more records is left as it is until it is frozen: merging it again would cost more than the
/// few segments that an index of bounded size has.
const MERGED_RECORDS_MAX: usize = 4_000;
/// Records that go to the writer's thread together.
const GROUP_RECORDS_MAX: usize = 500;
const GROUP_BYTES_MAX: usize = 256 << 10;
/// Bytes of records on their way to the writer's thread; more than this waits.
const QUEUED_BYTES_MAX: usize = 2 << 20;
/// A writer that takes nothing for so long is stuck.
const QUEUE_WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LiveOptions {
    /// Of the one writer thread; at least 15 MB. A full one becomes a segment.
    #[serde(default = "default_writer_memory_bytes")]
    writer_memory_bytes: usize,
    #[serde(default = "default_topic_paths_max")]
    topic_json_paths_max: usize,
    #[serde(default = "default_paths_max")]
    json_paths_max: usize,
}

fn default_writer_memory_bytes() -> usize {
    20_000_000
}

fn default_topic_paths_max() -> usize {
    1000
}

fn default_paths_max() -> usize {
    10_000
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LiveStats {
    pub size_bytes: usize,
    pub added_count: u64,
    pub json_path_count: usize,
}

pub struct LiveIndex {
    pub index: Index,
    pub reader: IndexReader,
    files: RamDirectory,
    writer: Mutex<Writer>,
    queue: Arc<Queue>,
}

struct Writer {
    documents: IndexWriter<RecordDocument>,
    paths: KnownPaths,
    added_count: u64,
}

impl LiveIndex {
    pub fn create(options: &LiveOptions) -> Outcome<LiveIndex> {
        let text = |error: tantivy::TantivyError| error.to_string();
        let files = RamDirectory::create();
        let settings = IndexSettings {
            // Nothing is stored: no compression, and no thread for it.
            docstore_compression: Compressor::None,
            docstore_compress_dedicated_thread: false,
            ..IndexSettings::default()
        };
        let mut index = IndexBuilder::new()
            .schema(FIELDS.schema.clone())
            .settings(settings)
            .open_or_create(files.clone())
            .map_err(text)?;
        set_tokenizers(&mut index);
        let writer_options = IndexWriterOptions::builder()
            .memory_budget_per_thread(options.writer_memory_bytes)
            .num_worker_threads(1)
            .num_merge_threads(1)
            .build();
        let documents = index.writer_with_options(writer_options).map_err(text)?;
        let mut policy = LogMergePolicy::default();
        policy.set_min_num_segments(8);
        policy.set_max_docs_before_merge(MERGED_RECORDS_MAX);
        documents.set_merge_policy(Box::new(policy));
        let reader = manual_reader(&index).map_err(text)?;
        let paths = KnownPaths::new(options.topic_json_paths_max, options.json_paths_max);
        let writer = Mutex::new(Writer { documents, paths, added_count: 0 });
        Ok(LiveIndex { index, reader, files, writer, queue: Arc::default() })
    }

    /// Adds a pack of batches (`src/pack.rs`). They are found after the next commit. Gives the count of records.
    /// After an error some may have been added: the index has to be made anew.
    pub fn add(&self, pack: &[u8]) -> Outcome<usize> {
        let mut writer = self.writer();
        let mut reader = PackReader::new(pack);
        let mut group = Group::default();
        let mut count = 0;
        while let Some(mut batch) = reader.next_batch()? {
            while let Some(record) = batch.next_record()? {
                let mut text = record.text();
                text.json = record
                    .value
                    .and_then(|value| json::parse(value, &batch.origin.topic_id, &mut writer.paths));
                group.records.push((batch.origin.clone(), text));
                group.bytes += record.size_bytes;
                count += 1;
                if group.is_full() {
                    std::mem::take(&mut group).send(&self.queue, &writer.documents)?;
                }
            }
        }
        group.send(&self.queue, &writer.documents)?;
        writer.added_count += count as u64;
        Ok(count)
    }

    /// Makes what was added searchable, in every thread. It does not touch a disk.
    pub fn commit(&self) -> Outcome<()> {
        let mut writer = self.writer();
        writer.documents.commit().map_err(|error| error.to_string())?;
        self.reader.reload().map_err(|error| error.to_string())?;
        release_memory();
        Ok(())
    }

    pub fn stats(&self) -> LiveStats {
        let writer = self.writer();
        LiveStats {
            size_bytes: self.files.total_mem_usage(),
            added_count: writer.added_count,
            json_path_count: writer.paths.len(),
        }
    }

    /// A panic while it is held may have lost records, which the writer's own state tells.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The analyzers that the schema names, for indexing and for searching.
pub fn set_tokenizers(index: &mut Index) {
    index.set_tokenizers(tokenizers());
    index.set_fast_field_tokenizers(tokenizers());
}

/// Refuses an index of another schema.
pub fn expect_schema(index: &Index) -> Outcome<()> {
    if index.schema() == FIELDS.schema { Ok(()) } else { Err("it has the schema of another version.".into()) }
}

/// Records that go to the writer's thread in one message.
#[derive(Default)]
struct Group {
    records: Vec<(Arc<Origin>, RecordText)>,
    bytes: usize,
}

impl Group {
    fn is_full(&self) -> bool {
        self.records.len() >= GROUP_RECORDS_MAX || self.bytes >= GROUP_BYTES_MAX
    }

    fn send(self, queue: &Arc<Queue>, writer: &IndexWriter<RecordDocument>) -> Outcome<()> {
        if self.records.is_empty() {
            return Ok(());
        }
        let permit = queue.enter(self.bytes)?;
        let documents: Vec<_> = self
            .records
            .into_iter()
            .map(|(origin, record)| UserOperation::Add(RecordDocument::new(&origin, record, permit.clone())))
            .collect();
        writer.run(documents).map(|_| ()).map_err(|error| error.to_string())
    }
}

/// Bytes of records between `add` and the writer's thread.
#[derive(Default)]
struct Queue {
    bytes: Mutex<usize>,
    shrunk: Condvar,
}

/// A group's place in the queue; given back when its last record is indexed or dropped.
struct Permit {
    queue: Arc<Queue>,
    bytes: usize,
}

impl Queue {
    fn enter(self: &Arc<Queue>, bytes: usize) -> Outcome<Arc<Permit>> {
        let queued = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        // A group larger than the limit enters an empty queue.
        let has_room = |queued: &mut usize| *queued > 0 && *queued + bytes > QUEUED_BYTES_MAX;
        let (mut queued, timeout) = self
            .shrunk
            .wait_timeout_while(queued, QUEUE_WAIT_MAX, has_room)
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            return Err("The index writer takes no records.".into());
        }
        *queued += bytes;
        Ok(Arc::new(Permit { queue: self.clone(), bytes }))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.queue.bytes.lock().unwrap_or_else(PoisonError::into_inner) -= self.bytes;
        self.queue.shrunk.notify_all();
    }
}
