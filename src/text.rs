//! Text between Postgres, which keeps it in the database's encoding, and everything here, which wants UTF-8.

use crate::compat;
use crate::encoding::{SQL_ASCII, UTF8, encoding};
use crate::errors::{Error, Raise};
use pgrx::pg_sys;
use std::ffi::{CStr, CString};

/// Whether values of a type are text, stored as text is: text, varchar, citext, and domains over them.
pub fn is_type(type_id: pg_sys::Oid) -> bool {
    // SAFETY: a type that exists, whose base type is looked at. Only superusers make casts that change nothing.
    unsafe { pg_sys::IsBinaryCoercible(type_id, pg_sys::TEXTOID) }
}

/// Converts from the database's encoding. Raises where it has bytes that no character stands for, so that what comes back
/// is UTF-8.
pub fn to_utf8(bytes: &[u8]) -> Vec<u8> {
    let text = convert(bytes);
    if let Err(error) = str::from_utf8(&text) {
        let at = error.valid_up_to();
        not_utf8(&text, at).raise();
    }
    text
}

/// Converts from the database's encoding, or finds that it cannot be done.
pub fn try_to_utf8(bytes: Vec<u8>) -> Option<Vec<u8>> {
    match encoding() {
        UTF8 | SQL_ASCII => str::from_utf8(&bytes).is_ok().then_some(bytes),
        _ if bytes.is_ascii() => Some(bytes),
        from => compat::to_utf8_without_error(&bytes, from),
    }
}

/// Converts from the database's encoding.
///
/// # Errors
/// [`Error::NotUtf8`] or [`Error::NotUtf8InSqlAscii`] where it has bytes that no character stands for.
pub fn checked(bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
    if let Some(text) = try_to_utf8(bytes.clone()) {
        return Ok(text);
    }
    let at = str::from_utf8(&bytes).map_or_else(|error| error.valid_up_to(), |_| 0);
    Err(not_utf8(&bytes, at))
}

fn not_utf8(text: &[u8], at: usize) -> Error {
    let (byte, position) = (text[at], at + 1);
    match encoding() {
        SQL_ASCII => Error::NotUtf8InSqlAscii { byte, position },
        _ => Error::NotUtf8 { byte, position },
    }
}

fn convert(bytes: &[u8]) -> Vec<u8> {
    if encoding() == SQL_ASCII {
        // Postgres would check it, too, and say nothing of why it has to be UTF-8.
        return bytes.to_vec();
    }
    let text = CString::new(bytes).expect("a text has no NUL");
    // SAFETY: the string is NUL-terminated and `bytes.len()` long; what comes back is it or a palloc'd string.
    unsafe {
        let converted = pg_sys::pg_server_to_any(text.as_ptr(), bytes.len() as i32, UTF8);
        if std::ptr::eq(converted, text.as_ptr()) {
            return text.into_bytes();
        }
        let copy = CStr::from_ptr(converted).to_bytes().to_vec();
        pg_sys::pfree(converted.cast());
        copy
    }
}

/// A C string of Postgres's as a Rust one. Raises as [`to_utf8`].
pub fn from_c(text: &CStr) -> String {
    String::from_utf8(to_utf8(text.to_bytes())).expect("checked by to_utf8")
}

/// A value as its type writes it, which is code of a superuser.
pub fn of_value(type_id: pg_sys::Oid, value: pg_sys::Datum) -> String {
    let (mut output, mut is_varlena) = (pg_sys::InvalidOid, false);
    // SAFETY: a value of this type; what its output function makes is a NUL-terminated string.
    unsafe {
        pg_sys::getTypeOutputInfo(type_id, &raw mut output, &raw mut is_varlena);
        let written = pg_sys::OidOutputFunctionCall(output, value);
        let text = from_c(CStr::from_ptr(written));
        pg_sys::pfree(written.cast());
        text
    }
}

/// What a type reads of a text; raises where it cannot read it. The opposite of [`of_value`].
pub fn to_value(type_id: pg_sys::Oid, text: &str) -> pg_sys::Datum {
    let (mut input, mut parameter) = (pg_sys::InvalidOid, pg_sys::InvalidOid);
    let text = to_c(text);
    // SAFETY: a type that exists; its input function takes a NUL-terminated string, and makes a value in the current memory
    // context.
    unsafe {
        pg_sys::getTypeInputInfo(type_id, &raw mut input, &raw mut parameter);
        pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1)
    }
}

/// A C string in the database's encoding. Raises where it cannot write a character; what follows a NUL is left out.
pub fn to_c(text: &str) -> CString {
    let text = CString::new(text.split('\0').next().unwrap_or_default()).expect("cut at the first NUL");
    // SAFETY: as in `convert`.
    unsafe {
        let converted = pg_sys::pg_any_to_server(text.as_ptr(), text.as_bytes().len() as i32, UTF8);
        if std::ptr::eq(converted, text.as_ptr()) {
            return text;
        }
        let copy = CStr::from_ptr(converted).to_owned();
        pg_sys::pfree(converted.cast());
        copy
    }
}

/// A `text` in the current memory context. Raises as [`to_c`].
pub fn to_datum(text: &str) -> pg_sys::Datum {
    let text = to_c(text);
    // SAFETY: copies a NUL-terminated string.
    unsafe { pg_sys::cstring_to_text(text.as_ptr()).into() }
}

/// A `bytea` in the current memory context.
pub fn bytes_to_datum(bytes: &[u8]) -> pg_sys::Datum {
    let size = bytes.len() + pg_sys::VARHDRSZ;
    // SAFETY: palloc returns `size` bytes, or raises; the header and `bytes` fill exactly those.
    unsafe {
        let start = pg_sys::palloc(size).cast::<u8>();
        pgrx::set_varsize_4b(start.cast(), size as i32);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), start.add(pg_sys::VARHDRSZ), bytes.len());
        pg_sys::Datum::from(start)
    }
}

/// The text of a datum that is one, in UTF-8.
pub fn text_of(datum: pg_sys::Datum) -> String {
    // SAFETY: called with data of SQL type text.
    let bytes = unsafe { bytes_of(datum) };
    String::from_utf8(to_utf8(&bytes)).expect("converted to UTF-8 by Postgres")
}

/// Copies the bytes out of a datum.
///
/// # Safety
/// `datum` must be a text or bytea, or another type of the same layout.
pub unsafe fn bytes_of(datum: pg_sys::Datum) -> Vec<u8> {
    // SAFETY: a varlena by the caller's promise; a detoasted copy is freed again.
    unsafe {
        let original = datum.cast_mut_ptr::<pg_sys::varlena>();
        let plain = pg_sys::pg_detoast_datum_packed(original);
        let copy = pgrx::varlena_to_byte_slice(plain).to_vec();
        if plain != original {
            pg_sys::pfree(plain.cast());
        }
        copy
    }
}
