//! The two calls of the operating system that the standard library does not have.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Has two paths of one file system change places, in one step (`renameat2`).
///
/// # Errors
/// What the operating system says: `NotFound` where one of them does not exist, others where the file system cannot.
pub(crate) fn exchange(a: &Path, b: &Path) -> io::Result<()> {
    let (a, b) = (to_c(a)?, to_c(b)?);
    // SAFETY: `a` and `b` are NUL-terminated and live until the call returns.
    let done =
        unsafe { libc::renameat2(libc::AT_FDCWD, a.as_ptr(), libc::AT_FDCWD, b.as_ptr(), libc::RENAME_EXCHANGE) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Bytes that this user may still write to the disk of a folder; `None` where that cannot be told.
pub(crate) fn free_space(folder: &Path) -> Option<u64> {
    let folder = to_c(folder).ok()?;
    // SAFETY: all zeros is a statvfs, and the call fills it; `folder` is NUL-terminated and lives until it returns.
    let about = unsafe {
        let mut about: libc::statvfs = std::mem::zeroed();
        if libc::statvfs(folder.as_ptr(), &raw mut about) != 0 {
            return None;
        }
        about
    };
    Some(about.f_bavail.saturating_mul(about.f_frsize))
}

fn to_c(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
}
