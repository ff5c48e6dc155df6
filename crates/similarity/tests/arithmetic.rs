//! What the arithmetic promises, on any vectors.

use proptest::prelude::*;
use similarity::{Background, Labels, Logits, combine, cosine, dot, threshold, unit};

fn vector(dimension: usize) -> impl Strategy<Value = Vec<f32>> {
    proptest::collection::vec(-1.0f32..1.0, dimension)
        .prop_filter("has a direction", |vector| dot(vector, vector) > 1e-3)
}

fn scale(scale: f64) -> Logits {
    Logits { scale: Some(scale), bias: None }
}

fn vectors() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    (1usize..70).prop_flat_map(|dimension| (vector(dimension), vector(dimension)))
}

proptest! {
    #[test]
    fn dot_is_the_sum_of_products((a, b) in vectors()) {
        let exact: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
        prop_assert!((f64::from(dot(&a, &b)) - exact).abs() < 1e-4);
    }

    #[test]
    fn cosine_does_not_see_lengths((a, b) in vectors(), factor in 0.01f32..100.0) {
        let longer: Vec<f32> = a.iter().map(|value| value * factor).collect();
        prop_assert!((cosine(&a, &b) - cosine(&longer, &b)).abs() < 1e-5);
        prop_assert!((cosine(&a, &b) - cosine(&b, &a)).abs() < 1e-6);
        prop_assert!((cosine(&a, &a) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn a_combination_has_length_one((a, b) in vectors(), weight in 0.1f64..3.0) {
        let Some(sum) = combine(&[a.clone(), b.clone()], &[1.0, weight]) else { return Ok(()) };
        prop_assert!((dot(&sum, &sum) - 1.0).abs() < 1e-4);
        // More weight, more of it.
        let heavier = combine(&[a, b.clone()], &[1.0, weight * 2.0]).unwrap();
        prop_assert!(cosine(&heavier, &b) >= cosine(&sum, &b) - 1e-5);
    }

    #[test]
    fn probabilities_are_a_distribution(labels in proptest::collection::vec(vector(24), 1..12), image in vector(24)) {
        let labels_count = labels.len();
        let set = Labels::new(&labels, 1, scale(30.0)).unwrap();
        let scores = set.classify(&image).unwrap();
        prop_assert_eq!(scores.len(), labels_count);
        prop_assert!((scores.iter().map(|score| score.probability).sum::<f32>() - 1.0).abs() < 1e-4);
        prop_assert!(scores.is_sorted_by(|a, b| a.probability >= b.probability && a.similarity >= b.similarity));
        for score in &scores {
            prop_assert!((score.similarity - cosine(&labels[score.label], &image)).abs() < 1e-4);
        }
        let best = set.best(&image).unwrap();
        let found = scores.iter().find(|score| score.label == best).unwrap();
        prop_assert!(scores[0].similarity - found.similarity < 1e-5);
    }

    #[test]
    fn a_threshold_lets_through_what_it_says(center in -0.5f64..0.5, deviation in 0.001f64..0.1, rate in 0.0001f64..0.5) {
        let background = Background { center, deviation };
        let found = threshold(&[background], rate).unwrap();
        let share = 0.5 * libm::erfc((found - center) / (deviation * std::f64::consts::SQRT_2));
        prop_assert!((share - rate).abs() < 1e-6, "{share} instead of {rate}");
    }
}

#[test]
fn softmax_of_known_numbers() {
    // Similarities 1 and 0 at scale 2: e^2 / (e^2 + 1).
    let labels = Labels::new(&[vec![1.0, 0.0], vec![0.0, 1.0]], 1, scale(2.0)).unwrap();
    let scores = labels.classify(&[5.0, 0.0]).unwrap();
    assert!((scores[0].probability - 0.880_797).abs() < 1e-5 && scores[0].label == 0);
    // The paper's scale where the model has none: nothing is left for the second.
    let labels = Labels::new(&[vec![1.0, 0.0], vec![0.0, 1.0]], 1, Logits::default()).unwrap();
    assert_eq!(labels.classify(&[1.0, 0.0]).unwrap()[0].probability, 1.0);
}

/// Expected values by hand, as `torch.sigmoid(scale * similarity + bias)` gives them.
#[test]
fn sigmoid_of_known_numbers() {
    let rows = [vec![1.0, 0.0], vec![0.0, 1.0], vec![-1.0, 0.0]];
    let labels = Labels::new(&rows, 1, Logits { scale: Some(4.0), bias: Some(-3.0) }).unwrap();
    let scores = labels.classify(&[1.0, 0.0]).unwrap();
    for (score, (label, probability)) in scores.iter().zip([(0, 0.731_058_6), (1, 0.047_425_87), (2, 0.000_911_051)]) {
        assert_eq!(score.label, label);
        assert!((score.probability - probability).abs() < 1e-6, "{score:?}");
    }
    // Far beyond what `exp` holds.
    let labels = Labels::new(&rows, 1, Logits { scale: Some(1e9), bias: Some(-1.0) }).unwrap();
    let scores = labels.classify(&[1.0, 0.0]).unwrap();
    assert_eq!((scores[0].probability, scores[2].probability), (1.0, 0.0));
}

#[test]
fn an_ensemble_is_the_mean_of_its_templates() {
    let templates = [vec![1.0, 0.0, 0.0], vec![0.0, 2.0, 0.0], vec![0.0, 0.0, 1.0], vec![0.0, 0.0, 3.0]];
    let labels = Labels::new(&templates, 2, scale(1.0)).unwrap();
    let scores = labels.classify(&[1.0, 1.0, 0.0]).unwrap();
    assert!((scores[0].similarity - 1.0).abs() < 1e-6, "lengths of single embeddings do not count");
    assert_eq!((scores[0].label, scores[1].similarity), (0, 0.0));
}

#[test]
fn what_has_no_direction() {
    assert_eq!(unit(&[0.0, 0.0]), None);
    assert_eq!(combine(&[vec![1.0, 2.0], vec![-1.0, -2.0]], &[1.0, 1.0]), None);
    assert_eq!(combine(&[vec![0.3, 0.1]], &[0.0]), None);
    assert_eq!(combine(&[], &[]), None);
    assert!(cosine(&[0.0, 0.0], &[1.0, 0.0]).is_nan());
    let labels = Labels::new(&[vec![1.0, 0.0]], 1, Logits::default()).unwrap();
    assert_eq!((labels.classify(&[0.0, 0.0]), labels.best(&[0.0, 0.0])), (None, None));
    assert!(Labels::new(&[vec![1.0, 0.0], vec![-1.0, 0.0]], 2, Logits::default()).is_none());
    // Lengths whose squares no f32 holds
    for length in [1e30, 1e-30] {
        assert_eq!(labels.best(&[length, 0.0]), Some(0));
        assert_eq!(labels.classify(&[length, 0.0]).unwrap()[0].similarity, 1.0);
    }
}

#[test]
fn the_fit_does_not_see_a_few_matches() {
    // A deterministic normal sample: the inverse of its distribution at even steps.
    let quantile = |share: f64| {
        let (mut low, mut high) = (-10.0f64, 10.0f64);
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if 0.5 * libm::erfc(-middle / std::f64::consts::SQRT_2) < share { low = middle } else { high = middle }
        }
        low
    };
    let mut sample: Vec<f32> =
        (0..1000).map(|step| (0.2 + 0.03 * quantile((f64::from(step) + 0.5) / 1000.0)) as f32).collect();
    let clean = Background::fit(&mut sample).unwrap();
    assert!((clean.center - 0.2).abs() < 1e-3 && (clean.deviation - 0.03).abs() < 1e-3, "{clean:?}");
    for similarity in &mut sample[..20] {
        *similarity = 0.9;
    }
    let with_matches = Background::fit(&mut sample).unwrap();
    assert!((with_matches.center - 0.2).abs() < 3e-3 && (with_matches.deviation - 0.03).abs() < 3e-3);
}

#[test]
fn the_threshold_of_many_queries_is_an_average() {
    let narrow = Background { center: 0.1, deviation: 0.01 };
    let wide = Background { center: 0.2, deviation: 0.05 };
    let of = |backgrounds: &[Background]| threshold(backgrounds, 0.01).unwrap();
    assert!(of(&[narrow]) < of(&[narrow, wide]) && of(&[narrow, wide]) < of(&[wide]));
    assert_eq!(threshold(&[], 0.01), None);
    // One similarity, or all alike: nothing to estimate a width from.
    assert_eq!(Background::fit(&mut [0.5, 0.5, 0.5]).unwrap(), Background { center: 0.5, deviation: 0.0 });
    assert_eq!(Background::fit(&mut []), None);
}
