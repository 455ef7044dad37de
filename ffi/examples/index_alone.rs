//! How fast Tantivy alone indexes records: what the bench's `index-rate` compares Chronik with.
//!
//!   index_alone FILE DIRECTORY
//!
//! FILE holds one record's value per line; DIRECTORY is empty and gets the index. Documents, schema, analyzers, the
//! writer's memory and its one indexing thread are those of the live index (`src/live.rs`); what Chronik adds is left
//! out: log, batches, commits on the way, generations, archives. Merging is Tantivy's default.
//!
//! Prints `{"documents", "committedSeconds", "mergedSeconds"}`: from opening FILE until the one commit at the end is
//! done, and until no merge is under way any more.

#![allow(dead_code)]

#[path = "../src/document.rs"]
mod document;
#[path = "../src/json.rs"]
mod json;
#[path = "../src/schema.rs"]
mod schema;
#[path = "../src/words.rs"]
mod words;

use document::{Origin, RecordDocument, RecordText};
use json::KnownPaths;
use schema::{FIELDS, tokenizers};
use std::error::Error;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tantivy::directory::MmapDirectory;
use tantivy::index::IndexSettings;
use tantivy::indexer::IndexWriterOptions;
use tantivy::store::Compressor;
use tantivy::{IndexBuilder, IndexWriter};

/// As in `src/live.rs`.
const WRITER_MEMORY_BYTES: usize = 20_000_000;
const TOPIC_PATHS_MAX: usize = 1000;
const PATHS_MAX: usize = 10_000;
const FIRST_TIMESTAMP_MS: i64 = 1_700_000_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, directory] = arguments.as_slice() else {
        return Err("usage: index_alone FILE DIRECTORY".into());
    };
    let mut writer = writer_in(Path::new(directory))?;
    let started = Instant::now();
    let document_count = add_lines(&writer, Path::new(file))?;
    writer.commit()?;
    let committed_seconds = started.elapsed().as_secs_f64();
    writer.wait_merging_threads()?;
    let merged_seconds = started.elapsed().as_secs_f64();
    println!(
        "{{\"documents\": {document_count}, \"committedSeconds\": {committed_seconds}, \
         \"mergedSeconds\": {merged_seconds}}}"
    );
    Ok(())
}

fn writer_in(directory: &Path) -> Result<IndexWriter<RecordDocument>, Box<dyn Error>> {
    let settings = IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    let mut index = IndexBuilder::new()
        .schema(FIELDS.schema.clone())
        .settings(settings)
        .open_or_create(MmapDirectory::open(directory)?)?;
    index.set_tokenizers(tokenizers());
    index.set_fast_field_tokenizers(tokenizers());
    let options = IndexWriterOptions::builder()
        .memory_budget_per_thread(WRITER_MEMORY_BYTES)
        .num_worker_threads(1)
        .num_merge_threads(1)
        .build();
    Ok(index.writer_with_options(options)?)
}

fn add_lines(writer: &IndexWriter<RecordDocument>, file: &Path) -> Result<u64, Box<dyn Error>> {
    let topic_id: Arc<str> = "00000000-0000-4000-8000-000000000000".into();
    let origin = Origin { topic_id: topic_id.clone(), topic: "lines".into(), partition: 0 };
    let mut paths = KnownPaths::new(TOPIC_PATHS_MAX, PATHS_MAX);
    let permit: Arc<dyn Send + Sync> = Arc::new(());
    let mut count = 0;
    for line in BufReader::new(File::open(file)?).lines() {
        let value = line?;
        let json = json::parse(value.as_bytes(), &topic_id, &mut paths);
        let record = RecordText {
            offset: count,
            timestamp_ms: FIRST_TIMESTAMP_MS + count as i64,
            key: None,
            value: Some(value),
            headers: Vec::new(),
            json,
        };
        writer.add_document(RecordDocument::new(&origin, record, permit.clone()))?;
        count += 1;
    }
    Ok(count)
}
