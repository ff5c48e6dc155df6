//! PostgreSQL's lists.

use pgrx::pg_sys::{self, List};
use std::ffi::c_void;

/// The addresses of a list's cells; a NULL list is empty.
///
/// # Safety
/// A list of pointers, which must not grow while the addresses are in use.
pub unsafe fn cells<T>(list: *mut List) -> impl Iterator<Item = *mut *mut T> {
    // SAFETY: NULL or a list, which has `length` cells.
    let (start, length) =
        unsafe { list.as_ref() }.map_or((std::ptr::null_mut(), 0), |list| (list.elements, list.length as usize));
    // SAFETY: within the list.
    (0..length).map(move |index| unsafe { start.add(index) }.cast::<*mut T>())
}

/// The elements of a list; a NULL list is empty.
///
/// # Safety
/// A list of pointers to `T`.
pub unsafe fn elements<T>(list: *mut List) -> impl Iterator<Item = *mut T> {
    // SAFETY: by the caller's promise.
    unsafe { cells::<T>(list) }.map(|cell| unsafe { *cell })
}

/// The integers of a list.
///
/// # Safety
/// A list of integers.
pub unsafe fn integers(list: *mut List) -> Vec<i32> {
    // SAFETY: cells of integers have the size of those of pointers.
    unsafe { cells::<c_void>(list) }.map(|cell| unsafe { *cell.cast::<i32>() }).collect()
}

/// A list of integers, in the current memory context.
pub fn integer_list(values: &[i32]) -> *mut List {
    // SAFETY: appends to a list of integers.
    values.iter().fold(std::ptr::null_mut(), |list, value| unsafe { pg_sys::lappend_int(list, *value) })
}
