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
    if vectors.is_empty() {
        return Err(ArgumentError::NoVectors.into());
    }
    let weights = weights(call, 1, vectors.len())?;
    vector::to_datum(&combination(&vectors, &weights)?)
}

/// An argument that has a weight for each of so many vectors; 1 each where it is NULL or not there.
///
/// # Errors
/// [`ArgumentError::Weights`], [`ArgumentError::Weight`].
pub fn weights(call: Arguments, index: usize, vectors: usize) -> Result<Vec<f64>> {
    let weights = call.list(index, "weights", |datum| f64::from_bits(datum.value() as u64))?;
    let weights = weights.unwrap_or_else(|| vec![1.0; vectors]);
    if weights.len() != vectors {
        return Err(ArgumentError::Weights { vectors, weights: weights.len() }.into());
    }
    if let Some(index) = weights.iter().position(|weight| !weight.is_finite()) {
        return Err(ArgumentError::Weight { index: index + 1, value: weights[index] }.into());
    }
    Ok(weights)
}

/// The sum of vectors, of which there is one at least, each of length 1 times its weight; of length 1 itself.
///
/// # Errors
/// [`ArgumentError::MixedDimensions`], [`ArgumentError::NoDirection`].
pub fn combination(vectors: &[Vec<f32>], weights: &[f64]) -> Result<Vec<f32>> {
    let first = vectors[0].len();
    if let Some(index) = vectors.iter().position(|vector| vector.len() != first) {
        return Err(ArgumentError::MixedDimensions { index: index + 1, dimension: vectors[index].len(), first }.into());
    }
    Ok(similarity::combine(vectors, weights).ok_or(ArgumentError::NoDirection)?)
}
