//! The C ABI through which Chronik uses Tantivy, CRC-32C, LZ4 and Snappy.
//!
//! Rules of the boundary, for every exported function:
//! - It runs inside [`guard::guarded`]: a panic becomes an error text, never an abort.
//! - It returns `-1` on error (the text: `chronik_last_error`) and a value `>= 0` otherwise.
//! - No pointer of this library ever leaves it. Results wait in a buffer of the calling thread until
//!   `chronik_take_result` copies them out; indexes are known by number.
//! - Pointers that come in are read during the call only; null with a length of zero is an empty slice.

mod aggregate;
mod aggregate_sources;
mod allocation;
mod archive;
mod archive_cache;
mod archive_format;
mod codec;
mod document;
mod field;
mod field_sort;
mod fields;
mod freeze;
mod glob;
mod glob_query;
mod guard;
mod highlight;
mod hits;
mod index_functions;
mod indexes;
mod json;
mod keys;
mod leaf_builder;
mod live;
mod merge;
mod numbers;
mod offset_ranges;
mod pack;
mod partial;
mod query;
mod query_builder;
mod request;
mod schema;
mod segment_page;
mod text_source;
mod thread;
mod times;
mod words;

/// Raised when an exported signature or a packed format changes; the TypeScript side compares it.
pub const ABI_VERSION: i32 = 2;

#[unsafe(no_mangle)]
pub extern "C" fn chronik_abi_version() -> i32 {
    ABI_VERSION
}
