//! Where the files are that came with the extension, and the data directory.

use pgrx::pg_sys;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder of the server and the ONNX Runtime library: `clip_search` beside the loaded library, or, where there is none,
/// in `$(pg_config --pkglibdir)`. The two differ where `dynamic_library_path` names a folder outside of PostgreSQL's own.
/// Code of that folder runs in this process already, so it is trusted as much as before.
pub fn package_dir() -> PathBuf {
    let beside = library_dir().map(|folder| folder.join("clip_search"));
    beside.filter(|folder| folder.is_dir()).unwrap_or_else(|| {
        // SAFETY: pkglib_path is a NUL-terminated array that the postmaster fills before it loads any library.
        to_path(unsafe { CStr::from_ptr(&raw const pg_sys::pkglib_path as *const _) }).join("clip_search")
    })
}

/// The folder of the models that came with the extension: `models` beside the server, or, where there is none,
/// `$(pg_config --sharedir)/clip_search/models`.
pub fn bundled_models() -> PathBuf {
    let beside = package_dir().join("models");
    if beside.is_dir() { beside } else { share_dir().join("clip_search/models") }
}

/// The data directory, as an absolute path.
pub fn data_dir() -> PathBuf {
    // SAFETY: a NUL-terminated string that the postmaster sets, once, before it loads any library.
    to_path(unsafe { CStr::from_ptr(pg_sys::DataDir) })
}

/// A path of the operating system.
pub fn to_path(value: &CStr) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(value.to_bytes()))
}

/// The folder that this library was loaded from; `None` where it was loaded by a relative path.
fn library_dir() -> Option<PathBuf> {
    let here = library_dir as fn() -> Option<PathBuf> as *const libc::c_void;
    let mut found = std::mem::MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: dladdr reads no memory at `here`, and writes to `found`. Of what it finds, the name is NUL-terminated and lives
    // as long as the library is loaded, and so as long as this code.
    let file = unsafe {
        if libc::dladdr(here, found.as_mut_ptr()) == 0 {
            return None;
        }
        let name = found.assume_init().dli_fname;
        if name.is_null() {
            return None;
        }
        to_path(CStr::from_ptr(name))
    };
    file.parent().filter(|folder| folder.is_absolute()).map(Path::to_owned)
}

/// `$(pg_config --sharedir)`.
fn share_dir() -> PathBuf {
    let mut buffer = [0; pg_sys::MAXPGPATH as usize];
    // SAFETY: my_exec_path is a NUL-terminated array; get_share_path writes at most MAXPGPATH bytes, NUL included.
    unsafe {
        pg_sys::get_share_path(&raw const pg_sys::my_exec_path as *const _, buffer.as_mut_ptr());
        to_path(CStr::from_ptr(buffer.as_ptr()))
    }
}
