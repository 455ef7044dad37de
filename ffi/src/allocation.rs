//! What a call allocates, counted while it runs, so that a request can be given up before it takes too much.
//!
//! Tantivy's own accounting of aggregations covers what is collected in a segment, but neither the results that
//! are merged over segments nor sketches and hits. The allocator knows all of it.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Meters that run, in any thread. Without one the allocator only looks here.
static METERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Allocated less freed by this thread while a meter ran somewhere.
    static BYTES: Cell<i64> = const { Cell::new(0) };
}

struct Metered;

#[global_allocator]
static ALLOCATOR: Metered = Metered;

/// Counts what the thread that made it allocates and does not free.
pub struct Meter {
    start: i64,
}

impl Meter {
    pub fn start() -> Meter {
        METERS.fetch_add(1, Ordering::Relaxed);
        Meter { start: BYTES.get() }
    }

    /// To be asked by the thread that started it.
    pub fn bytes(&self) -> u64 {
        u64::try_from(BYTES.get() - self.start).unwrap_or(0)
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        METERS.fetch_sub(1, Ordering::Relaxed);
    }
}

fn count(bytes: i64) {
    if METERS.load(Ordering::Relaxed) != 0 {
        BYTES.set(BYTES.get() + bytes);
    }
}

// SAFETY: everything is passed on to the system's allocator; counting neither allocates nor unwinds.
unsafe impl GlobalAlloc for Metered {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as i64);
        // SAFETY: passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as i64));
        // SAFETY: passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as i64 - layout.size() as i64);
        // SAFETY: passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_meter_counts_what_its_thread_holds() {
        let meter = Meter::start();
        let held = vec![1_u8; 100_000];
        assert!((100_000..110_000).contains(&meter.bytes()), "{}", meter.bytes());
        std::thread::spawn(|| drop(std::hint::black_box(vec![1_u8; 1_000_000]))).join().unwrap();
        drop(held);
        assert!(meter.bytes() < 10_000, "{}", meter.bytes());
    }
}
