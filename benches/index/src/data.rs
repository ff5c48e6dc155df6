//! Vectors that are alike in the way embeddings are: clusters of uneven size along few directions, in a cone.
//!
//! Independent random numbers would not do: in 512 dimensions all such vectors are about equally far from each other,
//! so that neither neighbours nor recall mean anything.

use fastrand::Rng;

/// Numbers of a vector.
pub const DIMENSION: usize = 512;
/// Directions in which vectors differ by more than noise.
const LATENT: usize = 64;
/// Subjects, of which some are much more frequent than others.
const CLUSTERS: usize = 2000;
/// How far members of a cluster are from its centre, with the centres from each other for 1.
const SPREAD: f32 = 0.7;
/// Noise of each number, with the standard deviation of the rest for 1.
const NOISE: f32 = 0.2;
/// Length of what all vectors have in common, with the length of the rest for 1. CLIP's embeddings lie in a cone, too.
const COMMON: f32 = 0.7;

/// What vectors are drawn from.
pub struct Data {
    directions: Vec<[f32; DIMENSION]>,
    centres: Vec<[f32; LATENT]>,
    common: [f32; DIMENSION],
}

impl Data {
    /// The same each time.
    pub fn new() -> Self {
        let mut random = Rng::with_seed(1);
        let scale = 1.0 / (LATENT as f32).sqrt();
        // The directions matter less and less, as those of trained models do.
        let decay = |place: usize| 2.0 * (1.0 + place as f32 / 8.0).powf(-0.5);
        let directions =
            (0..LATENT).map(|at| std::array::from_fn(|_| normal(&mut random) * scale * decay(at))).collect();
        let centres = (0..CLUSTERS).map(|_| std::array::from_fn(|_| normal(&mut random))).collect();
        let common = std::array::from_fn(|_| normal(&mut random) * COMMON);
        Self { directions, centres, common }
    }

    /// One of length 1.
    pub fn draw(&self, random: &mut Rng) -> Vec<f32> {
        // Squared, so that the first clusters are the most frequent.
        let centre = &self.centres[(random.f32().powi(2) * CLUSTERS as f32) as usize % CLUSTERS];
        let mut vector = self.common;
        for (direction, place) in self.directions.iter().zip(centre) {
            let along = place + SPREAD * normal(random);
            vector.iter_mut().zip(direction).for_each(|(sum, part)| *sum += along * part);
        }
        // Uniform: twice the square root of 3 wide for a standard deviation of 1.
        vector.iter_mut().for_each(|sum| *sum += NOISE * 3.464 * (random.f32() - 0.5));
        let length = dot(&vector, &vector).sqrt();
        vector.iter().map(|value| value / length).collect()
    }
}

/// A normally distributed number, near enough.
fn normal(random: &mut Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}

/// In lanes, which the compiler turns into vector instructions.
pub fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// A vector as pgvector's receive function takes it: dimension, an unused number, and the values.
pub fn binary(vector: &[f32]) -> Vec<u8> {
    let head = [vector.len() as i16, 0].into_iter().flat_map(i16::to_be_bytes);
    head.chain(vector.iter().flat_map(|value| value.to_be_bytes())).collect()
}

/// The nearest of all vectors that were seen.
pub struct Nearest {
    query: Vec<f32>,
    /// Similarity and id, the nearest first.
    found: Vec<(f32, i32)>,
    wanted: usize,
}

impl Nearest {
    /// Of a query, so many.
    pub fn new(query: Vec<f32>, wanted: usize) -> Self {
        Self { query, found: Vec::new(), wanted }
    }

    /// Looks at one more vector.
    pub fn see(&mut self, id: i32, vector: &[f32]) {
        let similarity = dot(&self.query, vector);
        if self.found.len() == self.wanted && self.found.last().is_some_and(|last| similarity <= last.0) {
            return;
        }
        let place = self.found.partition_point(|other| other.0 >= similarity);
        self.found.insert(place, (similarity, id));
        self.found.truncate(self.wanted);
    }

    /// The query.
    pub fn query(&self) -> &[f32] {
        &self.query
    }

    /// The ids, the nearest first.
    pub fn ids(&self) -> Vec<i32> {
        self.found.iter().map(|(_, id)| *id).collect()
    }

    /// The similarity of the last.
    pub fn least(&self) -> f32 {
        self.found.last().map_or(f32::NAN, |(similarity, _)| *similarity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_of_length_one_and_have_neighbours() {
        let data = Data::new();
        let mut random = Rng::with_seed(5);
        let vectors: Vec<_> = (0..3000).map(|_| data.draw(&mut random)).collect();
        assert!(vectors.iter().all(|vector| (dot(vector, vector) - 1.0).abs() < 1e-4));
        let mut nearest = Nearest::new(data.draw(&mut random), 10);
        (0..).zip(&vectors).for_each(|(id, vector)| nearest.see(id, vector));
        let mean = vectors.iter().map(|vector| dot(vector, nearest.query())).sum::<f32>() / 3000.0;
        assert!(nearest.least() > mean + 0.2, "{} {mean}", nearest.least());
    }

    #[test]
    fn the_nearest_come_first() {
        let unit = |at: usize, value: f32| {
            let mut vector = vec![0.0; DIMENSION];
            vector[at] = value;
            vector
        };
        let mut nearest = Nearest::new(unit(0, 1.0), 2);
        for (id, value) in [(7, 0.1), (8, 0.9), (9, -1.0), (10, 0.5)] {
            nearest.see(id, &unit(0, value));
        }
        assert_eq!(nearest.ids(), [8, 10]);
    }
}
