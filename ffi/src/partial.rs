//! What is asked of several indexes goes on without those that turn out to be damaged, and says which they are.

use crate::archive;
use crate::guard::{Outcome, caught};
use crate::indexes::open_index;
use serde::Serialize;

/// An index that could not be read.
#[derive(Serialize)]
pub struct Failure {
    /// Its number.
    index: u32,
    reason: String,
}

/// Runs `action` over `indexes`, again and again without the next one whose archive turns out to be damaged. What
/// Tantivy makes of a failed read (an error, a panic, nothing) does not count: the archive itself tells.
pub fn over_readable<T>(
    indexes: &mut Vec<u32>,
    mut action: impl FnMut(&[u32]) -> Outcome<T>,
) -> Outcome<(T, Vec<Failure>)> {
    let mut failures = Vec::new();
    loop {
        archive::take_failure();
        let outcome = caught(|| action(indexes));
        let Some(failure) = archive::take_failure() else {
            return outcome.map(|found| (found, failures));
        };
        let is_damaged = |number: &u32| {
            open_index(*number).is_ok_and(|index| index.archive_id() == Some(failure.archive_id))
        };
        let Some(position) = indexes.iter().position(is_damaged) else {
            return outcome.and(Err(failure.reason));
        };
        failures.push(Failure { index: indexes.remove(position), reason: failure.reason });
    }
}
