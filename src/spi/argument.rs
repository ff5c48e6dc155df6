//! Values of a statement's parameters.

use crate::text;
use pgrx::pg_sys::{self, Datum};

/// A value for `$1`, `$2`, …
#[derive(Clone, Copy)]
pub struct Argument {
    pub(super) type_id: pg_sys::Oid,
    value: Option<Datum>,
}

impl Argument {
    /// A value of any type.
    ///
    /// # Safety
    /// The datum must be of this type, and live until the statement has run.
    pub unsafe fn of_type(type_id: pg_sys::Oid, value: Datum) -> Self {
        Self { type_id, value: Some(value) }
    }

    /// A text, made in the current memory context.
    pub fn text(value: &str) -> Self {
        Self { type_id: pg_sys::TEXTOID, value: Some(text::to_datum(value)) }
    }

    /// An integer.
    pub fn int(value: i32) -> Self {
        Self { type_id: pg_sys::INT4OID, value: Some(Datum::from(value)) }
    }

    /// A jsonb.
    ///
    /// # Safety
    /// The datum must be one, and live until the statement has run.
    pub unsafe fn jsonb(value: Datum) -> Self {
        Self { type_id: pg_sys::JSONBOID, value: Some(value) }
    }

    /// A double.
    pub fn double(value: f64) -> Self {
        Self { type_id: pg_sys::FLOAT8OID, value: Some(Datum::from(value.to_bits())) }
    }

    /// A bytea, made in the current memory context.
    pub fn bytes(value: &[u8]) -> Self {
        Self { type_id: pg_sys::BYTEAOID, value: Some(text::bytes_to_datum(value)) }
    }

    /// A boolean.
    pub fn boolean(value: bool) -> Self {
        Self { type_id: pg_sys::BOOLOID, value: Some(Datum::from(value)) }
    }

    /// A big integer.
    pub fn long(value: i64) -> Self {
        Self { type_id: pg_sys::INT8OID, value: Some(Datum::from(value)) }
    }

    /// NULL, of a type.
    pub fn null(type_id: pg_sys::Oid) -> Self {
        Self { type_id, value: None }
    }

    /// An object's id.
    pub fn oid(value: pg_sys::Oid) -> Self {
        Self { type_id: pg_sys::OIDOID, value: Some(Datum::from(value)) }
    }
}

impl Argument {
    /// Its type.
    pub fn type_id(&self) -> pg_sys::Oid {
        self.type_id
    }

    /// Gives back its memory before the connection does.
    ///
    /// # Safety
    /// One of those that were made in the current memory context, and no value that is passed by value; it is not used
    /// any more.
    pub unsafe fn free(self) {
        if let Some(value) = self.value {
            // SAFETY: by the caller's promise.
            unsafe { pg_sys::pfree(value.cast_mut_ptr()) };
        }
    }
}

/// As SPI takes them.
pub(super) fn split(arguments: &[Argument]) -> (Vec<Datum>, Vec<u8>) {
    let value = |argument: &Argument| argument.value.unwrap_or(Datum::null());
    let null = |argument: &Argument| if argument.value.is_some() { b' ' } else { b'n' };
    (arguments.iter().map(value).collect(), arguments.iter().map(null).collect())
}
