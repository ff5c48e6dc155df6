//! How long the worker lets something take: it is cancelled then.

use crate::settings;
use std::time::Duration;

/// What the triggers of so many rows may take: other tables wait for them.
const WRITING: Duration = Duration::from_secs(30);

unsafe extern "C-unwind" {
    /// utils/timeout.h, which pgrx has not; neither raises.
    fn enable_timeout_after(id: u32, milliseconds: i32);
    fn disable_timeout(id: u32, keeps_indicator: bool);
}

/// `STATEMENT_TIMEOUT` of utils/timeout.h: every process with a database has it, and it cancels what runs.
const TIMEOUT: u32 = 3;

/// From now on, in the place of what was said before.
pub fn begin(limit: Duration) {
    // SAFETY: a timeout of this process.
    unsafe { enable_timeout_after(TIMEOUT, i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)) };
}

/// One request, which is sent once more where the server ends.
pub fn of_a_request() -> Duration {
    settings::request_timeout().map_or(Duration::MAX, |timeout| timeout * 2 + Duration::from_secs(60))
}

/// While rows are written. After it, a request may be under way.
pub struct Writing(());

impl Writing {
    /// From now on.
    pub fn begin() -> Self {
        begin(WRITING);
        Self(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            begin(of_a_request());
        }
    }
}

/// No more.
pub fn end() {
    // SAFETY: as above.
    unsafe { disable_timeout(TIMEOUT, false) };
}
