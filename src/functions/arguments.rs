//! The arguments of a call, as Rust has them.
//!
//! What makes reading them sound is the declaration in `sql/clip_search--*.sql`: each function asks for the types that
//! it is declared with, and for no more arguments than it has. Everything is copied out of Postgres's memory: a datum
//! may be toasted, and a wait may end by longjmp.

use crate::errors::{ArgumentError, Error, Result};
use crate::{settings, text, vector};
use pgrx::pg_sys::{self, Datum, FunctionCallInfo};
use pgrx::{FromDatum, datum::Array};
use std::ffi::CStr;

pub use crate::text::{bytes_of, text_of};

/// The arguments of one call, counted from 0.
#[derive(Clone, Copy)]
pub struct Arguments(pub FunctionCallInfo);

impl Arguments {
    /// How many there are; defaults included.
    pub fn len(self) -> usize {
        // SAFETY: the call at hand.
        unsafe { (*self.0).nargs as usize }
    }

    /// The datum; `None` where it is NULL, or there are fewer arguments.
    pub fn datum(self, index: usize) -> Option<Datum> {
        if index >= self.len() {
            return None;
        }
        // SAFETY: the call at hand has so many arguments.
        unsafe { pgrx::pg_getarg_datum(self.0, index) }
    }

    /// The type of an argument that is declared as polymorphic.
    pub fn type_of(self, index: usize) -> pg_sys::Oid {
        // SAFETY: the call at hand.
        unsafe { pg_sys::get_fn_expr_argtype((*self.0).flinfo, index as i32) }
    }

    /// An integer.
    pub fn int(self, index: usize) -> Option<i32> {
        self.datum(index).map(|datum| datum.value() as i32)
    }

    /// A bigint.
    pub fn bigint(self, index: usize) -> Option<i64> {
        self.datum(index).map(|datum| datum.value() as i64)
    }

    /// A real.
    pub fn real(self, index: usize) -> Option<f32> {
        self.datum(index).map(|datum| f32::from_bits(datum.value() as u32))
    }

    /// A double.
    pub fn double(self, index: usize) -> Option<f64> {
        self.datum(index).map(|datum| f64::from_bits(datum.value() as u64))
    }

    /// A boolean.
    pub fn boolean(self, index: usize) -> Option<bool> {
        self.datum(index).map(|datum| datum.value() as u8 != 0)
    }

    /// An object's id, such as a regclass.
    pub fn oid(self, index: usize) -> Option<pg_sys::Oid> {
        self.datum(index).map(|datum| pg_sys::Oid::from(datum.value() as u32))
    }

    /// A text, in UTF-8.
    pub fn text(self, index: usize) -> Option<String> {
        self.datum(index).map(text_of)
    }

    /// A model's name, or that of the session where there is none.
    pub fn model(self, index: usize) -> String {
        self.text(index).unwrap_or_else(settings::model)
    }

    /// A bytea.
    pub fn bytes(self, index: usize) -> Option<Vec<u8>> {
        // SAFETY: declared as bytea.
        self.datum(index).map(|datum| unsafe { bytes_of(datum) })
    }

    /// A name, in UTF-8.
    pub fn name(self, index: usize) -> Option<String> {
        // SAFETY: declared as name, which is NUL-terminated.
        self.datum(index).map(|datum| text::from_c(unsafe { CStr::from_ptr(datum.cast_mut_ptr::<i8>().cast()) }))
    }

    /// A vector.
    pub fn vector(self, index: usize) -> Option<Vec<f32>> {
        // SAFETY: declared as vector.
        self.datum(index).map(|datum| unsafe { vector::from_datum(datum) })
    }

    /// A halfvec.
    pub fn half_vector(self, index: usize) -> Option<Vec<f32>> {
        // SAFETY: declared as halfvec.
        self.datum(index).map(|datum| unsafe { vector::from_half_datum(datum) })
    }

    /// The elements of an array of one dimension.
    ///
    /// # Errors
    /// [`Error::ArrayDimensions`].
    pub fn elements(self, index: usize) -> Result<Option<Vec<Option<Datum>>>> {
        let Some(datum) = self.datum(index) else { return Ok(None) };
        // SAFETY: declared as an array; the detoasted copy lives until the call's memory context is reset.
        let array = unsafe {
            let datum = pg_sys::pg_detoast_datum(datum.cast_mut_ptr());
            let dimensions = (*datum.cast::<pg_sys::ArrayType>()).ndim;
            if dimensions > 1 {
                return Err(Error::ArrayDimensions { dimensions });
            }
            Array::<Datum>::from_datum(datum.into(), false).expect("not NULL")
        };
        Ok(Some(array.iter().collect()))
    }

    /// The elements of an array of any type, as their type writes them.
    ///
    /// # Errors
    /// As [`Arguments::elements`].
    pub fn element_texts(self, index: usize) -> Result<Option<Vec<Option<String>>>> {
        let Some(elements) = self.elements(index)? else { return Ok(None) };
        // SAFETY: the type of an array's elements.
        let element = unsafe { pg_sys::get_element_type(pg_sys::getBaseType(self.type_of(index))) };
        Ok(Some(elements.into_iter().map(|datum| datum.map(|datum| text::of_value(element, datum))).collect()))
    }

    /// The elements of an array that may have no NULL among them; `name` is the argument's, for the error.
    ///
    /// # Errors
    /// [`Error::ArrayDimensions`], [`ArgumentError::NullElement`].
    pub fn list<T>(self, index: usize, name: &'static str, of: impl Fn(Datum) -> T) -> Result<Option<Vec<T>>> {
        let Some(elements) = self.elements(index)? else { return Ok(None) };
        let element = |(index, datum): (usize, Option<Datum>)| {
            datum.map(&of).ok_or_else(|| ArgumentError::NullElement { name, index: index + 1 }.into())
        };
        elements.into_iter().enumerate().map(element).collect::<Result<_>>().map(Some)
    }

    /// The texts of an array that may have no NULL among them.
    ///
    /// # Errors
    /// As [`Arguments::list`].
    pub fn texts(self, index: usize, name: &'static str) -> Result<Option<Vec<String>>> {
        self.list(index, name, text_of)
    }
}

/// Fails where an argument that has to be there is NULL.
///
/// # Errors
/// [`ArgumentError::Null`].
pub fn required<T>(argument: Option<T>, name: &'static str) -> Result<T> {
    argument.ok_or_else(|| ArgumentError::Null { name }.into())
}

/// Fails where an integer is out of its range.
///
/// # Errors
/// [`ArgumentError::Null`], [`ArgumentError::OutOfRange`].
pub fn within(argument: Option<impl Into<i64>>, name: &'static str, min: i32, max: i32) -> Result<i32> {
    let value = required(argument, name)?.into();
    let out_of_range =
        || ArgumentError::OutOfRange { name, value: value.to_string(), range: format!("{min} to {max}") }.into();
    i32::try_from(value).ok().filter(|value| (min..=max).contains(value)).ok_or_else(out_of_range)
}
