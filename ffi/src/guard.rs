//! What surrounds every exported function: panics and errors become text, results wait to be copied out.

use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Mutex, Once};

/// An error that crosses the boundary as one sentence.
pub type Outcome<T> = Result<T, String>;

/// What a deliberate unwinding carries: the error's text.
pub struct GivenUp(pub String);

/// Longest text that is kept of an error.
const ERROR_BYTES_LIMIT: usize = 4096;

thread_local! {
    static LAST_ERROR: RefCell<String> = const { RefCell::new(String::new()) };
    static RESULT: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Message and place of the newest panic on any thread; Tantivy's own threads panic far from the caller.
static LAST_PANIC: Mutex<String> = Mutex::new(String::new());
static HOOK: Once = Once::new();

/// Runs `action`; an error or a panic sets the error text and gives -1.
pub fn guarded(action: impl FnOnce() -> Outcome<i32>) -> i32 {
    match caught(action) {
        Ok(value) => value,
        Err(text) => {
            set_last_error(text);
            -1
        }
    }
}

/// Runs `action`, keeps its bytes for `chronik_take_result` and gives their count.
pub fn guarded_result(action: impl FnOnce() -> Outcome<Vec<u8>>) -> i32 {
    guarded(|| {
        let bytes = action()?;
        let length = i32::try_from(bytes.len()).map_err(|_| "The result exceeds 2 GiB.")?;
        RESULT.with_borrow_mut(|result| *result = bytes);
        Ok(length)
    })
}

/// `action`, with a panic turned into an error.
pub fn caught<T>(action: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    install_hook();
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(outcome) => outcome,
        Err(payload) => match payload.downcast::<GivenUp>() {
            Ok(given_up) => Err(given_up.0),
            Err(payload) => Err(panic_text(payload.as_ref())),
        },
    }
}

/// The caller's bytes. Null is allowed only where nothing is to be read.
///
/// # Safety
/// `pointer` must be valid for reads of `length` bytes until the call that got it returns.
pub unsafe fn bytes_at<'a>(pointer: *const u8, length: u32) -> Outcome<&'a [u8]> {
    if length == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(format!("A null pointer was passed for {length} bytes."));
    }
    // SAFETY: not null, and the caller vouches for the length.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length as usize) })
}

/// The caller's UTF-8 text.
///
/// # Safety
/// As for [`bytes_at`].
pub unsafe fn text_at<'a>(pointer: *const u8, length: u32) -> Outcome<&'a str> {
    // SAFETY: passed on.
    let bytes = unsafe { bytes_at(pointer, length) }?;
    std::str::from_utf8(bytes).map_err(|_| "The text is not UTF-8.".to_owned())
}

fn install_hook() {
    HOOK.call_once(|| {
        set_hook(Box::new(|panic| {
            if let Ok(mut last) = LAST_PANIC.lock() {
                *last = panic.to_string();
            }
        }));
    });
}

fn panic_text(payload: &(dyn Any + Send)) -> String {
    let message = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned());
    let last = LAST_PANIC.lock().map(|text| text.clone()).unwrap_or_default();
    match message {
        Some(message) if !last.contains(&message) => format!("panic: {message}"),
        Some(_) => format!("panic: {last}"),
        None => "panic without a message".to_owned(),
    }
}

fn set_last_error(mut text: String) {
    let mut end = ERROR_BYTES_LIMIT.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    LAST_ERROR.with_borrow_mut(|last| *last = text);
}

fn copy_out(bytes: &[u8], target: *mut u8, capacity: u32) -> i32 {
    let count = bytes.len().min(capacity as usize);
    if count > 0 && !target.is_null() {
        // SAFETY: the caller vouches for `capacity` writable bytes; our own bytes never overlap them.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), target, count) };
    }
    count as i32
}

/// Copies the calling thread's newest error text, cut to `capacity` bytes. Gives the bytes copied.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_last_error(target: *mut u8, capacity: u32) -> i32 {
    LAST_ERROR.with_borrow(|last| copy_out(last.as_bytes(), target, capacity))
}

/// Copies the calling thread's waiting result and frees it. Gives the bytes copied.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_take_result(target: *mut u8, capacity: u32) -> i32 {
    let result = RESULT.with_borrow_mut(std::mem::take);
    copy_out(&result, target, capacity)
}

/// Panics on purpose, so that a test can prove that a panic crosses as text. Any caller gets -1.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_test_panic(pointer: *const u8, length: u32) -> i32 {
    guarded(|| {
        // SAFETY: the caller vouches for the text.
        let message = unsafe { text_at(pointer, length) }?;
        panic!("{message}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::resume_unwind;

    fn last_error() -> String {
        let mut text = vec![0; ERROR_BYTES_LIMIT];
        let length = chronik_last_error(text.as_mut_ptr(), text.len() as u32);
        text.truncate(length as usize);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn panics_and_errors_become_text() {
        assert_eq!(guarded(|| panic!("number {}", 7)), -1);
        assert!(last_error().contains("number 7") && last_error().contains("guard.rs"), "{}", last_error());
        assert_eq!(guarded(|| Err("ä".repeat(3000))), -1);
        assert_eq!(last_error().len(), ERROR_BYTES_LIMIT);
        assert_eq!(guarded(|| resume_unwind(Box::new(GivenUp("late".into())))), -1);
        assert_eq!(last_error(), "late");
        assert_eq!(guarded(|| resume_unwind(Box::new(17))), -1);
        assert_eq!(last_error(), "panic without a message");
        assert_eq!(guarded(|| Ok(5)), 5);
    }

    #[test]
    fn null_pointers_are_errors_or_empty() {
        // SAFETY: null is what is tested.
        unsafe {
            assert!(bytes_at(std::ptr::null(), 5).is_err());
            assert_eq!(bytes_at(std::ptr::null(), 0), Ok(&[][..]));
            assert!(text_at([0xff].as_ptr(), 1).is_err());
        }
        assert_eq!(chronik_take_result(std::ptr::null_mut(), 10), 0);
        assert_eq!(chronik_test_panic(std::ptr::null(), 3), -1);
    }

    #[test]
    fn results_wait_until_they_are_taken() {
        assert_eq!(guarded_result(|| Ok(b"result".to_vec())), 6);
        let mut target = [0; 6];
        assert_eq!(chronik_take_result(target.as_mut_ptr(), 6), 6);
        assert_eq!(&target, b"result");
        assert_eq!(chronik_take_result(target.as_mut_ptr(), 6), 0);
    }
}
