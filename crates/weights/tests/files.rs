//! What lies in the target after a conversion.

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::*;
use serde_json::{Value, json};
use weights::convert;

fn json_in(directory: &Path, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(directory.join(file)).unwrap()).unwrap()
}

#[test]
fn configuration_and_tokenizer_come_along() {
    let (source, target) = (copy("siglip"), tempfile::tempdir().unwrap());
    for file in ["tokenizer.json", "tokenizer_config.json", "preprocessor_config.json", "README.md"] {
        std::fs::write(source.path().join(file), format!("{{\"is\": \"{file}\"}}")).unwrap();
    }
    std::fs::write(target.path().join("tokenizer_config.json"), "kept").unwrap();
    let report = convert(source.path(), target.path()).unwrap();
    let wanted =
        ["config.json", "onnx/text_model.onnx", "onnx/vision_model.onnx", "preprocessor_config.json", "tokenizer.json"];
    assert_eq!(report.files, wanted);
    assert!(report.has_tokenizer);
    assert_eq!(std::fs::read_to_string(target.path().join("tokenizer_config.json")).unwrap(), "kept");
    assert!(!target.path().join("README.md").exists());
    // What the weights know and the configuration does not.
    let (before, mut after) = (json_in(source.path(), "config.json"), json_in(target.path(), "config.json"));
    let scale = after.as_object_mut().unwrap().remove("logit_scale").unwrap().as_f64().unwrap();
    let bias = after.as_object_mut().unwrap().remove("logit_bias").unwrap();
    assert!((scale - 25.0).abs() < 1e-4, "{scale}");
    assert_eq!(bias, json!(-13.0));
    assert_eq!(before, after);
    assert_eq!((report.logit_scale, report.logit_bias), (Some(scale), Some(-13.0)));
}

#[test]
fn in_place() {
    let directory = copy("clip");
    let before = std::fs::read(directory.path().join("config.json")).unwrap();
    let report = convert(directory.path(), directory.path()).unwrap();
    assert_eq!(report.files, ["onnx/text_model.onnx", "onnx/vision_model.onnx"]);
    assert_eq!(std::fs::read(directory.path().join("config.json")).unwrap(), before);
    assert!(!report.has_tokenizer);
    let names: Vec<_> =
        std::fs::read_dir(directory.path().join("onnx")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    // As any file that is made: others than the owner may read it, where the umask lets them.
    let mode = |file: &Path| file.metadata().unwrap().permissions().mode() & 0o777;
    std::fs::write(directory.path().join("new"), "").unwrap();
    assert_eq!(mode(&directory.path().join("onnx/text_model.onnx")), mode(&directory.path().join("new")));
}

#[test]
fn reports() {
    let target = tempfile::tempdir().unwrap();
    let clip = convert(&model_dir("clip-shards-bf16"), target.path()).unwrap();
    assert_eq!((clip.family, clip.dimension, clip.context_length), ("CLIP (transformers)", 20, 12));
    assert_eq!((clip.image_size, &clip.weight_types[..]), ((32, 32), &["BF16".to_owned()][..]));
    let bytes =
        ["text", "vision"].map(|name| target.path().join(format!("onnx/{name}_model.onnx")).metadata().unwrap().len());
    assert_eq!(clip.bytes, bytes.iter().sum::<u64>());
    assert!(clip.bytes > 4 * clip.parameters && clip.bytes < 4 * clip.parameters + 60_000, "{clip:?}");
}

#[test]
fn open_clip_gets_the_files_of_transformers() {
    let target = tempfile::tempdir().unwrap();
    let report = convert(&model_dir("open_clip"), target.path()).unwrap();
    let wanted = ["config.json", "onnx/text_model.onnx", "onnx/vision_model.onnx", "preprocessor_config.json"];
    assert_eq!(report.files, wanted);
    let config = json_in(target.path(), "config.json");
    assert_eq!((&config["model_type"], &config["projection_dim"]), (&json!("clip"), &json!(20)));
    assert_eq!(config["text_config"]["max_position_embeddings"], 12);
    assert_eq!(config["text_config"]["hidden_act"], "gelu");
    assert!((config["logit_scale"].as_f64().unwrap() - 27.0).abs() < 1e-4);
    let images = json_in(target.path(), "preprocessor_config.json");
    assert_eq!(images["size"], json!({"shortest_edge": 32}));
    assert_eq!(images["crop_size"], json!({"height": 32, "width": 32}));
    assert_eq!((&images["resample"], &images["image_mean"][0]), (&json!(3), &json!(0.48145466)));

    let target = tempfile::tempdir().unwrap();
    convert(&model_dir("open_clip-siglip"), target.path()).unwrap();
    let config = json_in(target.path(), "config.json");
    assert_eq!((&config["model_type"], &config["text_config"]["projection_size"]), (&json!("siglip"), &json!(24)));
    assert_eq!(config["vision_config"]["hidden_act"], "gelu");
    assert_eq!(config["text_config"]["hidden_act"], "gelu_pytorch_tanh");
    let images = json_in(target.path(), "preprocessor_config.json");
    assert_eq!(images["image_processor_type"], "SiglipImageProcessor");
    assert_eq!((&images["size"], &images["image_std"]), (&json!({"height": 48, "width": 48}), &json!([0.5, 0.5, 0.5])));
    // A repository of both layouts: that of transformers is complete and comes first.
    let both = copy("open_clip");
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(model_dir("clip").join(file), both.path().join(file)).unwrap();
    }
    assert_eq!(convert(both.path(), target.path()).unwrap().family, "CLIP (transformers)");
    // timm's configuration is not one of transformers.
    std::fs::write(both.path().join("config.json"), r#"{"architecture": "vit_base_patch32_clip_224"}"#).unwrap();
    assert_eq!(convert(both.path(), both.path()).unwrap().family, "open_clip");
    assert_eq!(json_in(both.path(), "config.json")["model_type"], "clip");
}

#[test]
fn a_target_that_cannot_be_written() {
    let target = tempfile::tempdir().unwrap();
    std::fs::write(target.path().join("onnx"), "").unwrap();
    let error = convert(&model_dir("clip"), target.path()).unwrap_err().to_string();
    assert!(error.starts_with("could not write onnx/"), "{error}");
}

/// A text that is longer than the positions of the model is an error of the graph, not another text's vector.
#[test]
fn texts_beyond_the_context() {
    let target = tempfile::tempdir().unwrap();
    convert(&model_dir("clip"), target.path()).unwrap();
    let mut session = load(&target.path().join("onnx/text_model.onnx"));
    assert!(try_texts(&mut session, &[vec![41; 13]]).is_err());
    assert!(try_texts(&mut session, &[vec![80, 41]]).is_err(), "a token that is not in the vocabulary");
    assert_eq!(try_texts(&mut session, &[vec![41; 12]]).unwrap().len(), 1);
}
