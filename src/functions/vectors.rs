//! `clip_similarity`, `clip_combine`: arithmetic on embeddings.

use super::arguments::Arguments;
use super::sql_function;
use crate::errors::{ArgumentError, Result};
use crate::result_rows::real;
use crate::vector;
use pgrx::pg_sys::Datum;

sql_function!(clip_similarity, pg_finfo_clip_similarity, similarity);
sql_function!(clip_combine, pg_finfo_clip_combine, combine);

/// STRICT.
fn similarity(call: Arguments) -> Result<Datum> {
    let (a, b) = (call.vector(0).expect("STRICT"), call.vector(1).expect("STRICT"));
    if a.len() != b.len() {
        return Err(ArgumentError::Dimensions { a: a.len(), b: b.len() }.into());
    }
    Ok(real(similarity::cosine(&a, &b)))
}

/// STRICT. The second argument, where there is one, has a weight for each vector.
fn combine(call: Arguments) -> Result<Datum> {
    // SAFETY: the elements are vectors by the SQL declaration.
    let vectors = call.list(0, "vectors", |datum| unsafe { vector::from_datum(datum) })?.expect("STRICT");
    let Some(first) = vectors.first().map(Vec::len) else {
        return Err(ArgumentError::NoVectors.into());
    };
    if let Some(index) = vectors.iter().position(|vector| vector.len() != first) {
        return Err(ArgumentError::MixedDimensions { index: index + 1, dimension: vectors[index].len(), first }.into());
    }
    let weights = call.list(1, "weights", |datum| f64::from_bits(datum.value() as u64))?;
    let weights = weights.unwrap_or_else(|| vec![1.0; vectors.len()]);
    if weights.len() != vectors.len() {
        return Err(ArgumentError::Weights { vectors: vectors.len(), weights: weights.len() }.into());
    }
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(ArgumentError::Weight { index: index + 1, value: weights[index] }.into());
    }
    vector::to_datum(&similarity::combine(&vectors, &weights).ok_or(ArgumentError::NoDirection)?)
}
