//! Zero-shot classification, as section 3.1 of the CLIP paper (Radford et al., "Learning Transferable Visual Models From
//! Natural Language Supervision", 2021): the similarities of an image to the texts of all labels, times the model's
//! logit scale, through a softmax. Models that were trained with a sigmoid have a bias beside the scale, and each label
//! has a probability of its own: Zhai et al., "Sigmoid Loss for Language Image Pre-Training", 2023, section 3.2.

use crate::vectors::{combine, dot, unit};
use std::borrow::Cow;

/// What the paper's models have learned, where a model does not say: they clip it there.
const DEFAULT_LOGIT_SCALE: f64 = 100.0;

/// How well a label fits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// Position of the label.
    pub label: usize,
    /// 0 to 1: softmax over the labels, all together 1; or the sigmoid of this label, see [`Logits::bias`].
    pub probability: f32,
    /// Cosine similarity.
    pub similarity: f32,
}

/// What a model makes of a cosine similarity: `scale * similarity + bias`, in front of a softmax or a sigmoid.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logits {
    /// 100 where the model does not say.
    pub scale: Option<f64>,
    /// Only models that were trained with a sigmoid have one.
    pub bias: Option<f64>,
}

/// The embeddings of a set of labels.
pub struct Labels {
    /// One row of length 1 for each label.
    rows: Vec<f32>,
    dimension: usize,
    logits: Logits,
}

impl Labels {
    /// Labels with one embedding for each template (a prompt ensemble): a label's own is the mean of them, of length 1.
    /// `embeddings` has those of the first label, one for each template, then those of the second, and so on.
    /// `None` where a label's embeddings cancel each other out, or there are none.
    pub fn new(embeddings: &[Vec<f32>], templates: usize, logits: Logits) -> Option<Self> {
        let dimension = embeddings.first()?.len();
        let mut rows = Vec::with_capacity(embeddings.len() / templates * dimension);
        for ensemble in embeddings.chunks(templates) {
            rows.extend(combine(ensemble, &vec![1.0; templates])?);
        }
        Some(Self { rows, dimension, logits })
    }

    /// Length of the vectors.
    pub fn dimension(&self) -> usize {
        self.dimension
    }

    /// Scores of all labels, best first; of equal ones the one that comes first. `None` where the embedding has no
    /// direction. `embedding` has as many values as the labels' vectors.
    pub fn classify(&self, embedding: &[f32]) -> Option<Vec<Score>> {
        let similarities = self.similarities(embedding)?;
        let probabilities = self.logits.probabilities(&similarities);
        let mut scores: Vec<Score> = similarities
            .into_iter()
            .zip(probabilities)
            .enumerate()
            .map(|(label, (similarity, probability))| Score { label, probability, similarity })
            .collect();
        scores.sort_by(|a, b| b.similarity.total_cmp(&a.similarity));
        Some(scores)
    }

    /// Position of the best label; see [`Labels::classify`].
    pub fn best(&self, embedding: &[f32]) -> Option<usize> {
        let mut best = (0, f32::MIN);
        let direction = direction(embedding)?;
        for (label, row) in self.rows.chunks_exact(self.dimension).enumerate() {
            let product = dot(row, &direction);
            if product > best.1 {
                best = (label, product);
            }
        }
        Some(best.0)
    }

    fn similarities(&self, embedding: &[f32]) -> Option<Vec<f32>> {
        let direction = direction(embedding)?;
        let length = dot(&direction, &direction).sqrt();
        let rows = self.rows.chunks_exact(self.dimension);
        Some(rows.map(|row| (dot(row, &direction) / length).clamp(-1.0, 1.0)).collect())
    }
}

impl Logits {
    fn probabilities(self, similarities: &[f32]) -> Vec<f32> {
        let scale = self.scale.unwrap_or(DEFAULT_LOGIT_SCALE);
        if let Some(bias) = self.bias {
            let sigmoid = |similarity: &f32| 1.0 / (1.0 + (-(scale * f64::from(*similarity) + bias)).exp());
            return similarities.iter().map(|similarity| sigmoid(similarity) as f32).collect();
        }
        // From the best one, so that nothing overflows.
        let best = similarities.iter().copied().fold(f32::MIN, f32::max);
        let powers: Vec<f64> =
            similarities.iter().map(|similarity| (scale * f64::from(*similarity - best)).exp()).collect();
        let total: f64 = powers.iter().sum();
        powers.iter().map(|power| (power / total) as f32).collect()
    }
}

/// The embedding, or one of length 1 in its direction where its square is beyond what an `f32` holds.
fn direction(embedding: &[f32]) -> Option<Cow<'_, [f32]>> {
    let square = dot(embedding, embedding);
    if square.is_normal() { Some(Cow::Borrowed(embedding)) } else { unit(embedding).map(Cow::Owned) }
}
