//! Vectors of `f32`.

/// Partial sums: independent of each other, so that the compiler keeps them in vector registers.
const LANES: usize = 16;

/// Sum of the products. Extra values of the longer slice do not count.
#[inline]
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// Cosine of the angle between two vectors, -1 to 1. NaN where one of them has length zero, as pgvector has it.
pub fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let sum = |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let cosine = sum(a, b) / (sum(a, a) * sum(b, b)).sqrt();
    cosine.clamp(-1.0, 1.0) as f32
}

/// The vector of length 1 in the same direction; `None` where there is no direction.
pub fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    scaled(vector.iter().map(|value| f64::from(*value)).collect())
}

/// The sum of vectors of length 1 in the directions of `vectors`, each times its weight, scaled to length 1. `None`
/// where they cancel each other out. A vector without direction adds nothing.
///
/// All vectors have as many values as the first.
pub fn combine(vectors: &[Vec<f32>], weights: &[f64]) -> Option<Vec<f32>> {
    let mut sum = vec![0.0f64; vectors.first()?.len()];
    let mut total = 0.0f64;
    for (vector, weight) in vectors.iter().zip(weights) {
        let Some(vector) = unit(vector) else { continue };
        total += weight.abs();
        for (sum, value) in sum.iter_mut().zip(&vector) {
            *sum += weight * f64::from(*value);
        }
    }
    // What rounding leaves of two opposite vectors is no direction.
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length <= total * 1e-6 { None } else { scaled(sum) }
}

fn scaled(vector: Vec<f64>) -> Option<Vec<f32>> {
    let length = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
    (length > 0.0 && length.is_finite()).then(|| vector.iter().map(|value| (value / length) as f32).collect())
}
