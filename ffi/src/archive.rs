//! An index inside an archive, read by range: a Tantivy directory of the files `index/…` of a segment. One that
//! replaces it lies behind it, under another name that starts with `index` (`index-2/…`): the last one counts.
//!
//! Nothing of it is read but what Tantivy asks for, in whole chunks, whose checksums are compared each time. The file
//! stays open, so that it may be removed meanwhile.

use crate::archive_cache::{self, CacheKey};
use crate::archive_format::{ArchivedFile, TRAILER_BYTES, Trailer, decode_toc, unpack_member};
use crate::guard::Outcome;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tantivy::HasLen;
use tantivy::directory::error::{DeleteError, LockError, OpenReadError, OpenWriteError};
use tantivy::directory::{
    Directory, DirectoryLock, FileHandle, Lock, OwnedBytes, WatchCallback, WatchHandle, WritePtr,
};

/// Files of indexes are named like this in the archive.
const INDEX_PREFIX: &str = "index";
/// Tantivy's own list of an index's files.
const META_NAME: &str = "meta.json";
/// Adjacent chunks that are read at once.
const READ_BYTES_MAX: u64 = 1 << 20;

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// A read of an archive that failed.
pub struct ArchiveFailure {
    pub archive_id: u64,
    pub reason: String,
}

thread_local! {
    static FAILURE: RefCell<Option<ArchiveFailure>> = const { RefCell::new(None) };
}

/// The first read that failed on this thread since this was called last.
pub fn take_failure() -> Option<ArchiveFailure> {
    FAILURE.take()
}

/// The index's files of an archive.
#[derive(Clone)]
pub struct ArchiveDirectory {
    archive: Arc<Archive>,
}

struct Archive {
    id: u64,
    path: PathBuf,
    file: File,
    /// By name, without the directory.
    files: BTreeMap<String, Arc<ArchivedFile>>,
}

impl ArchiveDirectory {
    /// Opens the archive of `length_bytes` at `path`; what is behind that is not looked at.
    pub fn open(path: &Path, length_bytes: u64) -> Outcome<ArchiveDirectory> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let trailer_position = length_bytes.checked_sub(TRAILER_BYTES as u64).ok_or("there is no trailer")?;
        let mut trailer = [0; TRAILER_BYTES];
        read_at(&file, &mut trailer, trailer_position).map_err(|error| error.to_string())?;
        let trailer = Trailer::decode(&trailer, length_bytes)?;
        let mut member = vec![0; trailer.toc_member_bytes as usize];
        read_at(&file, &mut member, trailer.toc_position).map_err(|error| error.to_string())?;
        if crc32c::crc32c(&member) != trailer.toc_crc {
            return Err("the checksum of the table of contents does not fit".into());
        }
        let mut toc = vec![0; trailer.toc_bytes as usize];
        unpack_member(&member, &mut toc)?;
        let files = decode_toc(&toc, INDEX_PREFIX, length_bytes)?;
        let files = last_index(files).ok_or("there is none")?;
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        Ok(ArchiveDirectory { archive: Arc::new(Archive { id, path: path.to_owned(), file, files }) })
    }

    /// Tells archives of this process apart.
    pub fn id(&self) -> u64 {
        self.archive.id
    }

    fn file(&self, path: &Path) -> Option<FileInArchive> {
        let wanted = path.to_str()?;
        let position = self.archive.files.keys().position(|name| name == wanted)?;
        let file = self.archive.files.get(wanted)?.clone();
        Some(FileInArchive { archive: self.archive.clone(), number: position as u32, file })
    }
}

/// The files of the index whose list of files was written last.
fn last_index(files: Vec<(String, ArchivedFile)>) -> Option<BTreeMap<String, Arc<ArchivedFile>>> {
    let (meta, _) = files.iter().rfind(|(name, _)| name.ends_with(&format!("/{META_NAME}")))?;
    let directory = meta.strip_suffix(META_NAME)?.to_owned();
    let own = |(name, file): (String, ArchivedFile)| {
        name.strip_prefix(&directory).map(|rest| (rest.to_owned(), Arc::new(file)))
    };
    Some(files.into_iter().filter_map(own).collect())
}

impl Drop for Archive {
    fn drop(&mut self) {
        archive_cache::forget(self.id);
    }
}

impl fmt::Debug for ArchiveDirectory {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "ArchiveDirectory({})", self.archive.path.display())
    }
}

impl Directory for ArchiveDirectory {
    fn get_file_handle(&self, path: &Path) -> Result<Arc<dyn FileHandle>, OpenReadError> {
        match self.file(path) {
            Some(file) => Ok(Arc::new(file)),
            None => Err(OpenReadError::FileDoesNotExist(path.to_owned())),
        }
    }

    fn exists(&self, path: &Path) -> Result<bool, OpenReadError> {
        Ok(self.file(path).is_some())
    }

    fn atomic_read(&self, path: &Path) -> Result<Vec<u8>, OpenReadError> {
        let file = self.file(path).ok_or_else(|| OpenReadError::FileDoesNotExist(path.to_owned()))?;
        match file.read_bytes(0..file.len()) {
            Ok(bytes) => Ok(bytes.to_vec()),
            Err(error) => Err(OpenReadError::wrap_io_error(error, path.to_owned())),
        }
    }

    fn delete(&self, path: &Path) -> Result<(), DeleteError> {
        Err(DeleteError::IoError { io_error: Arc::new(read_only()), filepath: path.to_owned() })
    }

    fn open_write(&self, path: &Path) -> Result<WritePtr, OpenWriteError> {
        Err(OpenWriteError::wrap_io_error(read_only(), path.to_owned()))
    }

    fn atomic_write(&self, _: &Path, _: &[u8]) -> io::Result<()> {
        Err(read_only())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    /// Nobody writes: there is nothing to lock.
    fn acquire_lock(&self, _: &Lock) -> Result<DirectoryLock, LockError> {
        Ok(DirectoryLock::from(Box::new(())))
    }

    fn watch(&self, _: WatchCallback) -> tantivy::Result<WatchHandle> {
        Ok(WatchHandle::empty())
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "An archive can only be read.")
}

/// One file of the index.
struct FileInArchive {
    archive: Arc<Archive>,
    /// In the cache's keys.
    number: u32,
    file: Arc<ArchivedFile>,
}

impl fmt::Debug for FileInArchive {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "FileInArchive({}, {})", self.archive.path.display(), self.number)
    }
}

impl HasLen for FileInArchive {
    fn len(&self) -> usize {
        self.file.size_bytes as usize
    }
}

impl FileHandle for FileInArchive {
    fn read_bytes(&self, range: Range<usize>) -> io::Result<OwnedBytes> {
        let Range { start, end } = range;
        if start > end || end > self.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{self:?} ends before {end}.")));
        }
        if start == end {
            return Ok(OwnedBytes::empty());
        }
        let chunk_bytes = self.file.chunk_bytes as usize;
        let (first, last) = (start / chunk_bytes, (end - 1) / chunk_bytes);
        if first == last {
            let chunk_start = first * chunk_bytes;
            return Ok(self.chunk(first)?.slice(start - chunk_start..end - chunk_start));
        }
        // Columns and dictionaries are asked for again and again by the same ranges: they are kept as they are.
        let key = self.key(start..end);
        if let Some(known) = archive_cache::get(&key) {
            return Ok(known);
        }
        let content = OwnedBytes::new(self.gather(start..end)?);
        archive_cache::put(key, &content);
        Ok(content)
    }
}

impl FileInArchive {
    fn key(&self, range: Range<usize>) -> CacheKey {
        let Range { start, end } = range;
        CacheKey { archive: self.archive.id, file: self.number, start: start as u64, end: end as u64 }
    }

    /// What chunk `index` holds of the file.
    fn span(&self, index: usize) -> Range<usize> {
        let chunk_bytes = self.file.chunk_bytes as usize;
        index * chunk_bytes..self.len().min((index + 1) * chunk_bytes)
    }

    fn chunk(&self, index: usize) -> io::Result<OwnedBytes> {
        let key = self.key(self.span(index));
        if let Some(known) = archive_cache::get(&key) {
            return Ok(known);
        }
        let mut content = vec![0; self.span(index).len()];
        let chunk = self.file.chunks[index];
        let mut member = vec![0; chunk.member_bytes as usize];
        self.read_members(chunk.position, &mut member)?;
        self.unpack(index, &member, &mut content)?;
        let content = OwnedBytes::new(content);
        archive_cache::put(key, &content);
        Ok(content)
    }

    /// The content of a range over several chunks.
    fn gather(&self, range: Range<usize>) -> io::Result<Vec<u8>> {
        let chunk_bytes = self.file.chunk_bytes as usize;
        let mut content = vec![0; range.len()];
        let last = (range.end - 1) / chunk_bytes;
        let mut index = range.start / chunk_bytes;
        let mut buffer = Vec::new();
        while index <= last {
            let span = self.span(index);
            if span.start < range.start || span.end > range.end {
                // The rest of such a chunk belongs to what is read next, or was read before.
                let chunk = self.chunk(index)?;
                let (start, end) = (span.start.max(range.start), span.end.min(range.end));
                content[start - range.start..end - range.start]
                    .copy_from_slice(&chunk[start - span.start..end - span.start]);
                index += 1;
                continue;
            }
            let end = self.end_of_read(index, last, range.end);
            let position = self.file.chunks[index].position;
            buffer.resize((self.file.chunks[end - 1].end() - position) as usize, 0);
            self.read_members(position, &mut buffer)?;
            for index in index..end {
                let (span, chunk) = (self.span(index), self.file.chunks[index]);
                let member = &buffer[(chunk.position - position) as usize..(chunk.end() - position) as usize];
                self.unpack(index, member, &mut content[span.start - range.start..span.end - range.start])?;
            }
            index = end;
        }
        Ok(content)
    }

    /// Exclusive end of the chunks from `first` on that are wanted as a whole and read at once.
    fn end_of_read(&self, first: usize, last: usize, range_end: usize) -> usize {
        let start = self.file.chunks[first].position;
        let mut end = first + 1;
        while end <= last
            && self.span(end).end <= range_end
            && self.file.chunks[end].end() - start <= READ_BYTES_MAX
        {
            end += 1;
        }
        end
    }

    fn read_members(&self, position: u64, target: &mut [u8]) -> io::Result<()> {
        read_at(&self.archive.file, target, position).map_err(|error| {
            let path = self.archive.path.display();
            self.failed(error.kind(), format!("The archive {path} can't be read at {position}: {error}."))
        })
    }

    fn unpack(&self, index: usize, member: &[u8], content: &mut [u8]) -> io::Result<()> {
        let chunk = self.file.chunks[index];
        let unpacked = if crc32c::crc32c(member) == chunk.crc {
            unpack_member(member, content)
        } else {
            Err("a checksum does not fit".into())
        };
        unpacked.map_err(|reason| {
            let (path, position) = (self.archive.path.display(), chunk.position);
            let text = format!("The archive {path} is corrupt at position {position}: {reason}.");
            self.failed(io::ErrorKind::InvalidData, text)
        })
    }

    /// The error, which is also kept for whoever asks: not all of Tantivy passes errors on.
    fn failed(&self, kind: io::ErrorKind, reason: String) -> io::Error {
        FAILURE.with_borrow_mut(|failure| {
            let archive_id = self.archive.id;
            failure.get_or_insert_with(|| ArchiveFailure { archive_id, reason: reason.clone() });
        });
        io::Error::new(kind, reason)
    }
}

fn read_at(file: &File, target: &mut [u8], position: u64) -> io::Result<()> {
    archive_cache::count_read(target.len());
    file.read_exact_at(target, position)
}
