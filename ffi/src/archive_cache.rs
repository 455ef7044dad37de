//! What was read of archives lately, for the whole process, in a bounded number of bytes.

use lru::LruCache;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use tantivy::directory::OwnedBytes;

/// Unless it is set.
const CACHE_BYTES_MAX: usize = 32 << 20;
/// A read that is larger than this part of the cache would push out too much.
const SHARE_OF_ONE: usize = 4;
/// Of an entry, beside its content.
const OVERHEAD_BYTES: usize = 160;

/// A part of a file in an archive that is open.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CacheKey {
    /// Of the archive; each opening has another.
    pub archive: u64,
    /// Of the file in it.
    pub file: u32,
    /// In the file.
    pub start: u64,
    pub end: u64,
}

struct Cache {
    entries: LruCache<CacheKey, OwnedBytes>,
    bytes: usize,
    bytes_max: usize,
}

static CACHE: LazyLock<Mutex<Cache>> = LazyLock::new(|| {
    let entries = LruCache::unbounded();
    Mutex::new(Cache { entries, bytes: 0, bytes_max: CACHE_BYTES_MAX })
});
static BYTES_READ: AtomicU64 = AtomicU64::new(0);

/// A panic while it is held leaves the cache whole.
fn cache() -> MutexGuard<'static, Cache> {
    CACHE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn get(key: &CacheKey) -> Option<OwnedBytes> {
    cache().entries.get(key).cloned()
}

/// Keeps `content` if it is not too large.
pub fn put(key: CacheKey, content: &OwnedBytes) {
    let mut cache = cache();
    if content.len() > cache.bytes_max / SHARE_OF_ONE {
        return;
    }
    cache.bytes += cost(content);
    if let Some((_, replaced)) = cache.entries.push(key, content.clone()) {
        cache.bytes -= cost(&replaced);
    }
    cache.shrink();
}

/// Forgets what is known of an archive that was closed.
pub fn forget(archive: u64) {
    let mut cache = cache();
    let keys: Vec<CacheKey> =
        cache.entries.iter().map(|(key, _)| *key).filter(|key| key.archive == archive).collect();
    for key in keys {
        if let Some(content) = cache.entries.pop(&key) {
            cache.bytes -= cost(&content);
        }
    }
}

pub fn set_bytes_max(bytes_max: usize) {
    let mut cache = cache();
    cache.bytes_max = bytes_max;
    cache.shrink();
}

/// Bytes that were read from an archive's file.
pub fn count_read(bytes: usize) {
    BYTES_READ.fetch_add(bytes as u64, Ordering::Relaxed);
}

pub struct CacheStats {
    pub bytes_read: u64,
    pub bytes: usize,
    pub bytes_max: usize,
}

pub fn stats() -> CacheStats {
    let cache = cache();
    CacheStats {
        bytes_read: BYTES_READ.load(Ordering::Relaxed),
        bytes: cache.bytes,
        bytes_max: cache.bytes_max,
    }
}

impl Cache {
    fn shrink(&mut self) {
        while self.bytes > self.bytes_max {
            let Some((_, oldest)) = self.entries.pop_lru() else { break };
            self.bytes -= cost(&oldest);
        }
    }
}

fn cost(content: &OwnedBytes) -> usize {
    content.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(archive: u64, start: u64) -> CacheKey {
        CacheKey { archive, file: 0, start, end: start + 1 }
    }

    /// The only test that changes the limit; those of other archives go on without a cache at worst.
    #[test]
    fn the_cache_forgets_what_was_not_used_for_longest() {
        let archive = u64::MAX;
        let content = OwnedBytes::new(vec![7; 1000]);
        set_bytes_max(10 * (1000 + OVERHEAD_BYTES));
        for start in 0..10 {
            put(key(archive, start), &content);
            assert!(get(&key(archive, 0)).is_some());
        }
        put(key(archive, 10), &content);
        assert!(get(&key(archive, 0)).is_some());
        assert!(get(&key(archive, 1)).is_none());
        put(key(archive, 11), &OwnedBytes::new(vec![7; 5000]));
        assert!(get(&key(archive, 11)).is_none(), "larger than its share");
        put(key(archive, 0), &content);
        assert!(stats().bytes <= stats().bytes_max);
        forget(archive);
        assert!(get(&key(archive, 0)).is_none());
        set_bytes_max(CACHE_BYTES_MAX);
    }
}
