//! Priority of the calling thread.

use crate::guard::guarded;

/// Sets the nice value of the calling thread alone (Linux gives each thread its own).
#[unsafe(no_mangle)]
pub extern "C" fn chronik_lower_thread_priority(nice: i32) -> i32 {
    guarded(|| {
        // SAFETY: no pointers; 0 means the calling thread on Linux.
        match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) } {
            0 => Ok(0),
            _ => Err(format!("setpriority: {}", std::io::Error::last_os_error())),
        }
    })
}
