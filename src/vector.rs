//! The datum of pgvector's types `vector` and, read only, `halfvec`. Nobody else in this library knows its layout.
//!
//! ```text
//! byte  0            4        6        8
//!       ┌────────────┬────────┬────────┬──────────────────┐
//!       │ varlena    │ dim    │ unused │ float4 × dim     │
//!       │ header u32 │ i16    │ 0      │                  │
//!       └────────────┴────────┴────────┴──────────────────┘
//! ```

use crate::compat;
use crate::errors::{Error, Result};
use pgrx::pg_sys;
use std::cell::OnceCell;
use std::ffi::CStr;

/// Most dimensions that pgvector allows.
const MAX_DIM: usize = 16_000;

#[repr(C)]
struct Header {
    varlena: u32,
    dim: i16,
    unused: i16,
}

const _: () = assert!(size_of::<Header>() == 8 && align_of::<Header>() == 4);

/// Makes a `vector` in the current memory context.
///
/// # Errors
/// [`Error::VectorDimension`] where pgvector would not accept it.
pub fn to_datum(values: &[f32]) -> Result<pg_sys::Datum> {
    if values.is_empty() || values.len() > MAX_DIM {
        return Err(Error::VectorDimension { dimension: values.len() });
    }
    let size = size_of::<Header>() + size_of_val(values);
    // SAFETY: palloc returns `size` bytes aligned for any type, or raises; header and values fill exactly that size, and
    // the two ranges do not overlap with `values`, which is Rust's.
    unsafe {
        let start = pg_sys::palloc(size).cast::<u8>();
        pgrx::set_varsize_4b(start.cast(), size as i32);
        let header = start.cast::<Header>();
        (*header).dim = values.len() as i16;
        (*header).unused = 0;
        std::ptr::copy_nonoverlapping(values.as_ptr(), start.add(size_of::<Header>()).cast::<f32>(), values.len());
        Ok(pg_sys::Datum::from(start))
    }
}

/// Copies the values out of a `vector`.
///
/// # Safety
/// `datum` must be a `vector`.
pub unsafe fn from_datum(datum: pg_sys::Datum) -> Vec<f32> {
    // SAFETY: as promised.
    unsafe { values(datum, |value: &f32| *value) }
}

/// Copies the values out of a `halfvec`.
///
/// # Safety
/// `datum` must be a `halfvec`, which has 16-bit floats where a `vector` has those of 32.
pub unsafe fn from_half_datum(datum: pg_sys::Datum) -> Vec<f32> {
    // SAFETY: as promised.
    unsafe { values(datum, |bits: &u16| half::f16::from_bits(*bits).to_f32()) }
}

/// The values behind the header, of whatever size.
unsafe fn values<T>(datum: pg_sys::Datum, value: impl Fn(&T) -> f32) -> Vec<f32> {
    // SAFETY: pgvector keeps `dim` values behind the header; a detoasted copy is freed again.
    unsafe {
        let original = datum.cast_mut_ptr::<pg_sys::varlena>();
        let plain = pg_sys::pg_detoast_datum(original);
        let dim = (*plain.cast::<Header>()).dim as usize;
        let stored = std::slice::from_raw_parts(plain.cast::<u8>().add(size_of::<Header>()).cast::<T>(), dim);
        let values = stored.iter().map(value).collect();
        if plain != original {
            pg_sys::pfree(plain.cast());
        }
        values
    }
}

/// Makes a `vector[]` of one dimension in the current memory context; `None` becomes NULL.
///
/// # Errors
/// As [`to_datum`].
pub fn to_array_datum(values: &[Option<&[f32]>], element: pg_sys::Oid) -> Result<pg_sys::Datum> {
    if values.is_empty() {
        // SAFETY: makes an array without elements in the current memory context.
        return Ok(unsafe { pg_sys::construct_empty_array(element) }.into());
    }
    let mut nulls: Vec<bool> = values.iter().map(Option::is_none).collect();
    let mut datums = Vec::with_capacity(values.len());
    for value in values {
        datums.push(value.map_or(Ok(pg_sys::Datum::null()), to_datum)?);
    }
    let (mut length, mut by_value, mut align) = (0, false, 0);
    let (mut dims, mut lower) = ([values.len() as i32], [1]);
    // SAFETY: the pointers are to arrays of the lengths that are passed (one dimension), valid during the calls, and
    // construct_md_array copies the elements. The element type exists: it is the function's declared result.
    unsafe {
        pg_sys::get_typlenbyvalalign(element, &mut length, &mut by_value, &mut align);
        let array = pg_sys::construct_md_array(
            datums.as_mut_ptr(),
            nulls.as_mut_ptr(),
            1,
            dims.as_mut_ptr(),
            lower.as_mut_ptr(),
            element,
            length.into(),
            by_value,
            align,
        );
        Ok(array.into())
    }
}

/// pgvector's types for embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `vector`, of 32-bit floats.
    Single,
    /// `halfvec`, of 16-bit floats.
    Half,
}

/// Which of pgvector's types this is: the one whose values pgvector's library reads. Its name and its extension tell
/// nothing: any schema may have a type called vector, and the extension's owner may make it a member.
pub fn kind_of(type_id: pg_sys::Oid) -> Option<Kind> {
    if type_id.to_u32() < pg_sys::FirstNormalObjectId {
        return None;
    }
    let (mut input, mut parameter) = (pg_sys::Oid::INVALID, pg_sys::Oid::INVALID);
    let mut info = pg_sys::FmgrInfo::default();
    // SAFETY: a type that exists, its input function, and a struct for that to be described in.
    unsafe {
        // A domain has its base type's layout, but a function and checks of its own; a composite type has neither.
        if pg_sys::get_typtype(type_id) as u8 != pg_sys::TYPTYPE_BASE {
            return None;
        }
        pg_sys::getTypeInputInfo(type_id, &raw mut input, &raw mut parameter);
        pg_sys::fmgr_info(input, &raw mut info);
    }
    let code = info.fn_addr.map(|code| code as usize)?;
    let [single, half] = input_functions();
    match code {
        code if code == single => Some(Kind::Single),
        code if code == half => Some(Kind::Half),
        _ => None,
    }
}

/// The addresses of the functions that read `vector` and `halfvec`; 0 where the library is too old to have one.
fn input_functions() -> [usize; 2] {
    thread_local! {
        static FOUND: OnceCell<[usize; 2]> = const { OnceCell::new() };
    }
    let find = |name: &CStr| compat::function_in(LIBRARY, name);
    FOUND.with(|found| *found.get_or_init(|| [c"vector_in", c"halfvec_in"].map(find)))
}

const LIBRARY: &CStr = c"$libdir/vector";

/// Loads pgvector's library, which brings its settings. Once for each session.
pub fn load_library() {
    thread_local! {
        static LOADED: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
    if !LOADED.get() {
        // SAFETY: the path is NUL-terminated; a library that is loaded already stays as it is.
        unsafe { pg_sys::load_file(LIBRARY.as_ptr(), false) };
        LOADED.set(true);
    }
}
