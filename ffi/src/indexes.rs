//! The indexes of this process, by number, so that one thread can write what another searches.

use crate::aggregate::{self, Aggregated};
use crate::archive::ArchiveDirectory;
use crate::guard::Outcome;
use crate::hits::{Page, PageCollector};
use crate::live::LiveIndex;
use crate::request::SearchRequest;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;
use tantivy::directory::MmapDirectory;
use tantivy::{Directory, Index, IndexReader, ReloadPolicy};

/// An index that can be searched.
pub enum OpenIndex {
    Live(Box<LiveIndex>),
    /// Files of a directory, mapped into memory, or of an archive, read by range; nobody writes them.
    Frozen {
        index: Index,
        reader: IndexReader,
        /// Of its archive if it lies in one.
        archive_id: Option<u64>,
    },
}

impl OpenIndex {
    pub fn index(&self) -> &Index {
        match self {
            OpenIndex::Live(live) => &live.index,
            OpenIndex::Frozen { index, .. } => index,
        }
    }

    pub fn reader(&self) -> &IndexReader {
        match self {
            OpenIndex::Live(live) => &live.reader,
            OpenIndex::Frozen { reader, .. } => reader,
        }
    }

    pub fn archive_id(&self) -> Option<u64> {
        match self {
            OpenIndex::Live(_) => None,
            OpenIndex::Frozen { archive_id, .. } => *archive_id,
        }
    }

    pub fn live(&self) -> Outcome<&LiveIndex> {
        match self {
            OpenIndex::Live(live) => Ok(live),
            OpenIndex::Frozen { .. } => Err("The index is frozen: it can't be written.".into()),
        }
    }
}

struct Registry {
    next: u32,
    open: BTreeMap<u32, Arc<OpenIndex>>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { next: 1, open: BTreeMap::new() });

/// A panic while the table is held leaves it whole: each change is one step.
fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Gives `index` its number.
pub fn register(index: OpenIndex) -> Outcome<i32> {
    let mut registry = registry();
    let number = i32::try_from(registry.next).map_err(|_| "Too many indexes were opened.")?;
    registry.next += 1;
    registry.open.insert(number as u32, Arc::new(index));
    Ok(number)
}

/// The index with that number. It lives on while the result does, even if it is closed meanwhile.
pub fn open_index(number: u32) -> Outcome<Arc<OpenIndex>> {
    registry().open.get(&number).cloned().ok_or_else(|| format!("Index {number} is not open."))
}

pub fn close(number: u32) -> Outcome<()> {
    // Dropped outside the lock: a writer's end waits for its threads.
    let closed = registry().open.remove(&number);
    closed.map(drop).ok_or_else(|| format!("Index {number} is not open."))?;
    release_memory();
    Ok(())
}

/// Gives freed memory back to the system: an index lies scattered over the heaps of several threads.
pub fn release_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: no pointers; the function may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

pub fn open_numbers() -> Vec<u32> {
    registry().open.keys().copied().collect()
}

/// Opens a directory that `freeze` wrote. `is_verified`: every file's checksum is compared first.
pub fn open_frozen(directory: &Path, is_verified: bool) -> Outcome<OpenIndex> {
    MmapDirectory::open(directory)
        .map_err(|error| error.to_string())
        .and_then(|files| open_read_only(files, None, is_verified))
        .map_err(|error| format!("The index {} is unusable: {error}", directory.display()))
}

/// Opens the index in the archive of `length_bytes` at `path`. `is_verified` as above.
pub fn open_archived(path: &Path, length_bytes: u64, is_verified: bool) -> Outcome<OpenIndex> {
    ArchiveDirectory::open(path, length_bytes)
        .and_then(|files| {
            let archive_id = Some(files.id());
            open_read_only(files, archive_id, is_verified)
        })
        .map_err(|error| format!("The index in {} is unusable: {error}", path.display()))
}

fn open_read_only(files: impl Directory, archive_id: Option<u64>, is_verified: bool) -> Outcome<OpenIndex> {
    let text = |error: tantivy::TantivyError| error.to_string();
    let mut index = Index::open(files).map_err(text)?;
    crate::live::expect_schema(&index)?;
    if is_verified {
        let damaged = index.validate_checksum().map_err(text)?;
        if let Some(file) = damaged.iter().min() {
            return Err(format!("{} is damaged.", file.display()));
        }
    }
    crate::live::set_tokenizers(&mut index);
    let reader = manual_reader(&index).map_err(text)?;
    Ok(OpenIndex::Frozen { index, reader, archive_id })
}

/// A reader that changes only when told.
pub fn manual_reader(index: &Index) -> tantivy::Result<IndexReader> {
    index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()
}

/// The page of hits over all indexes of the request, and its aggregations if it has any.
pub fn search(request: &SearchRequest) -> Outcome<(Page, Option<Aggregated>)> {
    if let Some(aggregations) = &request.aggregations {
        let (page, aggregated) = aggregate::search(request, aggregations)?;
        return Ok((page, Some(aggregated)));
    }
    let query = request.query()?;
    let collector = PageCollector::new(request, Instant::now())?;
    let limit = request.from + request.size;
    let mut page = Page::default();
    for number in &request.indexes {
        let index = open_index(*number)?;
        let found =
            index.reader().searcher().search(&*query, &collector).map_err(|error| error.to_string())?;
        page.absorb(found, limit, &request.sort);
    }
    page.hits.drain(..request.from.min(page.hits.len()));
    Ok((page, None))
}
