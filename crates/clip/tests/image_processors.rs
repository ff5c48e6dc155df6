//! The image processor classes of transformers and open_clip, by the pixels that they make; and what is refused.

mod common;

use clip::{Error, Gray16, Limits, Preprocessor, Reading, Transparency};
use common::*;
use parity::layouts_dir;
use serde::Deserialize;
use serde_json::{Map, Value, json};

const FILE: &str = "preprocessor_config.json";

#[derive(Deserialize)]
struct Case {
    config: Map<String, Value>,
    file: String,
    shape: [usize; 3],
    /// Some of the values, at equal distances.
    values: Vec<f32>,
}

/// The golden model with another image processor, and the size of images that it makes.
fn model(config: &Value, height: usize, width: usize) -> Copy {
    let copy = Copy::new();
    std::fs::write(copy.file(FILE), config.to_string()).unwrap();
    let mut spec: Value = serde_json::from_slice(&std::fs::read(copy.file("config.json")).unwrap()).unwrap();
    spec["vision_config"]["image_size"] = json!([height, width]);
    std::fs::write(copy.file("config.json"), spec.to_string()).unwrap();
    copy
}

#[test]
fn pixels_are_those_of_the_classes() {
    let cases: Vec<Case> =
        serde_json::from_slice(&std::fs::read(layouts_dir().join("preprocessors.json")).unwrap()).unwrap();
    assert!(cases.len() > 60);
    let mut worst: f32 = 0.0;
    for Case { config, file, shape, values } in cases {
        let config = Value::from(config);
        let spec = model(&config, shape[1], shape[2]).spec().unwrap_or_else(|error| panic!("{config}: {error}"));
        let reading = Reading {
            transparency: Transparency::Drop,
            apply_orientation: false,
            gray16: Gray16::Pil,
            ..Reading::default()
        };
        let preprocessor = Preprocessor::new(&spec).with_reading(reading);
        let pixels = preprocessor.run(&image_file(&file), &Limits::default()).unwrap();
        assert_eq!(pixels.shape(), shape, "{config}");
        let found: Vec<f32> = pixels.iter().copied().step_by((pixels.len() / 61).max(1)).collect();
        assert_eq!(found.len(), values.len());
        let difference = found.iter().zip(&values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(difference < 1e-5, "{config} {file}: {difference}");
        worst = worst.max(difference);
    }
    println!("largest difference {worst:e}");
}

#[test]
fn classes_and_keys_that_are_not_known() {
    let square = json!({"height": 48, "width": 48});
    let cases = [
        (json!({"image_processor_type": "BlipImageProcessor", "size": square}), "BlipImageProcessor is not known"),
        (json!({"image_processor_type": "Siglip2ImageProcessor"}), "Siglip2ImageProcessor makes patches"),
        (json!({"feature_extractor_type": "FlavaFeatureExtractor"}), "FlavaFeatureExtractor is not known"),
        (json!({"image_processor_type": "CLIPImageProcessor", "mean": [0.5, 0.5, 0.5]}), "mean is a key of open_clip"),
        (json!({"image_processor_type": "ViTImageProcessor", "size": square, "crop_pct": 0.9}), "key crop_pct"),
        (json!({"image_processor_type": "CLIPImageProcessor", "do_thumbnail": true}), "key do_thumbnail"),
        (json!({"image_processor_type": "CLIPImageProcessor", "reducing_gap": 2}), "key reducing_gap"),
        (json!({"size": 48, "mean": [0.5, 0.5, 0.5], "resize_mode": "tile"}), "resize_mode is tile"),
        (json!({"size": 48, "mean": [0.5, 0.5, 0.5], "interpolation": "area"}), "interpolation is area"),
        (json!({"size": 48, "mean": [0.5, 0.5, 0.5], "fill_color": 300}), "fill_color is 300"),
        (json!({"size": 48, "mean": [0.5, 0.5, 0.5], "mode": "L"}), "mode is not RGB"),
        (json!({"image_processor_type": "CLIPImageProcessor", "resample": "area"}), "resample is"),
    ];
    for (config, words) in cases {
        match model(&config, 48, 48).spec() {
            Err(Error::BadModel { file, reason, .. }) => {
                assert_eq!(file, FILE);
                assert!(reason.contains(words), "{config}: {reason}");
            }
            other => panic!("{config}: {other:?}"),
        }
    }
}

#[test]
fn what_changes_nothing_is_accepted() {
    let configs = [
        json!({"image_processor_type": "CLIPImageProcessorFast", "size": 48, "crop_size": 48, "do_thumbnail": false, "pad_size": null}),
        json!({"image_processor_type": "CLIPFeatureExtractor", "size": 48, "crop_size": 48, "processor_class": "CLIPProcessor",
               "_valid_processor_keys": ["images"], "do_convert_rgb": true, "data_format": "channels_first"}),
        json!({"image_processor_type": "ViTFeatureExtractor", "size": 48}),
        json!({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 48}, "crop_size": 48, "resample": "bicubic"}),
    ];
    for config in configs {
        model(&config, 48, 48).spec().unwrap_or_else(|error| panic!("{config}: {error}"));
    }
}

/// The image processor of a file for the whole processor, as new versions of transformers write it.
#[test]
fn processor_files() {
    let config = json!({"image_processor_type": "ViTImageProcessor", "size": {"height": 48, "width": 48}});
    let copy = model(&config, 48, 48);
    let wanted = copy.spec().unwrap().image;
    std::fs::remove_file(copy.file(FILE)).unwrap();
    std::fs::write(copy.file("processor_config.json"), json!({"image_processor": config}).to_string()).unwrap();
    assert_eq!(copy.spec().unwrap().image, wanted);
}
