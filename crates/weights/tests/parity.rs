//! Graphs of every family beside transformers and open_clip, which read the same files.

mod common;

use common::*;
use std::path::Path;
use weights::{Options, Precision, Report, convert_with};

/// The bounds that the project promises.
const TEXT: f64 = 0.99999;
const IMAGE: f64 = 0.9999;

/// Worst cosines of the texts and images of a golden model, which are run alone and in batches.
fn worst(golden: &Golden, target: &Path, suffix: &str, report: &Report) -> (f64, f64) {
    let mut texts = load(&target.join(format!("onnx/text_model{suffix}.onnx")));
    let mut near = Vec::new();
    let mut compare = |rows: &[Vec<i64>], texts_of_rows: &[&Text]| {
        let vectors = run_texts(&mut texts, rows);
        near.extend(texts_of_rows.iter().zip(&vectors).map(|(text, vector)| cosine(&text.embedding, vector)));
    };
    for text in &golden.texts {
        compare(std::slice::from_ref(&text.ids), &[text]);
    }
    // Padded to the longest of their batch, with what an end token is followed by and with another token.
    for pad in [0, 1, 41] {
        for batch in [&golden.texts[..], &golden.texts[..2], &golden.texts[2..5]] {
            let longest = batch.iter().map(|text| text.ids.len()).max().unwrap();
            let padded = |text: &Text| [text.ids.clone(), vec![pad; longest - text.ids.len()]].concat();
            let rows: Vec<Vec<i64>> = batch.iter().map(padded).collect();
            compare(&rows, &batch.iter().collect::<Vec<_>>());
        }
    }
    let text = near.iter().copied().fold(1.0, f64::min);

    let mut images = load(&target.join(format!("onnx/vision_model{suffix}.onnx")));
    let (height, width) = report.image_size;
    let pixels: Vec<Vec<f32>> = golden.images.iter().map(|image| noise(image.seed, 3 * height * width)).collect();
    let mut image = 1.0f64;
    for (index, expected) in golden.images.iter().enumerate() {
        let alone = run_images(&mut images, &pixels[index..=index], height, width);
        image = image.min(cosine(&expected.embedding, &alone[0]));
    }
    for (expected, vector) in golden.images.iter().zip(run_images(&mut images, &pixels, height, width)) {
        image = image.min(cosine(&expected.embedding, &vector));
    }
    (text, image)
}

#[test]
fn every_family_is_its_reference() {
    let golden = golden();
    assert_eq!(golden.len(), 11);
    for (name, expected) in &golden {
        let target = tempfile::tempdir().unwrap();
        let report = convert_with(&model_dir(name), target.path(), &Options::default()).unwrap();
        let (text, image) = worst(expected, target.path(), "", &report);
        let texts: Vec<_> = expected.texts.iter().map(|text| &text.embedding).collect();
        let images: Vec<_> = expected.images.iter().map(|image| &image.embedding).collect();
        let ((text_mean, text_most), (image_mean, image_most)) = (spread(&texts), spread(&images));
        println!(
            "{name:28} text {text:.8} (two texts {text_mean:.3}, at most {text_most:.4}), image {image:.8} (two images \
             {image_mean:.3}, at most {image_most:.4})"
        );
        assert!(text >= TEXT && image >= IMAGE, "{name}: text {text}, image {image}");
        // Two vectors that could be taken for each other would show nothing.
        assert!(text_most < 0.999 && image_most < 0.999, "{name}: {text_most}, {image_most}");
    }
}

#[test]
fn half_precision_is_near() {
    for name in ["clip", "siglip", "open_clip-custom-text"] {
        let target = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.precision = Precision::F16;
        let report = convert_with(&model_dir(name), target.path(), &options).unwrap();
        let (text, image) = worst(&golden()[name], target.path(), "_fp16", &report);
        println!("{name:28} text {text:.6}, image {image:.6}");
        assert!(text >= 0.9995 && image >= 0.9995, "{name}: text {text}, image {image}");
        assert!(text < 1.0 - 1e-9, "{name} was not written in half precision");
    }
}

#[test]
fn weights_in_a_second_file() {
    for name in ["clip", "open_clip-siglip"] {
        let target = tempfile::tempdir().unwrap();
        let mut options = Options::default();
        options.max_inside = 10_000;
        let report = convert_with(&model_dir(name), target.path(), &options).unwrap();
        for file in ["onnx/text_model.onnx", "onnx/text_model.onnx_data", "onnx/vision_model.onnx_data"] {
            assert!(report.files.iter().any(|written| written == file), "{:?}", report.files);
        }
        let (text, image) = worst(&golden()[name], target.path(), "", &report);
        assert!(text >= TEXT && image >= IMAGE, "{name}: text {text}, image {image}");
        let size = |file: &str| target.path().join(file).metadata().unwrap().len();
        assert!(size("onnx/text_model.onnx") < size("onnx/text_model.onnx_data"));
        let total: u64 = report.files.iter().filter(|file| file.starts_with("onnx/")).map(|file| size(file)).sum();
        assert_eq!(total, report.bytes);
        // Written again in one file, the second is gone.
        convert_with(&model_dir(name), target.path(), &Options::default()).unwrap();
        assert!(!target.path().join("onnx/text_model.onnx_data").exists());
        let (text, image) = worst(&golden()[name], target.path(), "", &report);
        assert!(text >= TEXT && image >= IMAGE, "{name}: text {text}, image {image}");
    }
}
