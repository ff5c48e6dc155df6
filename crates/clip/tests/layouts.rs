//! Models of each family in the layouts in which they are published, against the references: token ids and embeddings,
//! alone and in batches. tests/golden/make_layouts.py made the models, which are tiny and random, and the values.

mod common;

use clip::{Cancel, ImageEncoder, Limits, LongText, Precision, Preprocessor, TextEncoder, Tokenizer};
use common::*;
use parity::{LAYOUTS_PATH, compare_images, compare_texts, layout_models, layout_promises, layout_spec, layouts_dir};

/// The bounds that the project promises.
const TEXT: f64 = 0.99999;
const IMAGE: f64 = 0.9999;

fn check(name: &str) {
    let model = &layout_models()[name];
    let spec = layout_spec(name).unwrap_or_else(|error| panic!("{error}"));
    let texts = compare_texts(&spec, &model.texts).unwrap();
    let images = compare_images(&spec, &model.images).unwrap();
    println!("{name} ({}, {})\n  texts  {texts:?}\n  images {images:?}", model.family, model.layout);
    assert!(texts.reference >= TEXT && texts.batch >= TEXT, "{name}");
    assert!(images.reference >= IMAGE && images.batch >= TEXT, "{name}");
    assert!(texts.spread < 0.7 && texts.median < 0.98, "{name}: the texts are too much alike");
    assert!(images.spread < 0.9 && images.median < 0.98, "{name}: the images are too much alike");
}

#[test]
fn one_file_with_both_inputs() {
    check("clip/single");
}

#[test]
fn siglip_1_is_canonicalised() {
    check("siglip/base");
}

#[test]
fn siglip_2_is_lower_cased() {
    check("siglip/two");
}

#[test]
fn chinese_clip_is_masked() {
    check("chinese/clip");
    let spec = layout_spec("chinese/clip").unwrap();
    assert_eq!(spec.context_length, 52, "the tokenizer's, not the 512 of the positions");
}

#[test]
fn metaclip_2_with_files_at_the_root() {
    check("metaclip/worldwide");
}

#[test]
fn altclip_counts_positions_from_behind_the_padding() {
    check("alt/clip");
    assert_eq!(layout_spec("alt/clip").unwrap().context_length, 512);
}

#[test]
fn jina_clip_is_one_graph_without_a_mask() {
    check("jina/two");
}

#[test]
fn pair_of_repositories() {
    check("qdrant/pair");
    let copy = Copy::of_layout("qdrant/pair");
    let fingerprint = || copy.spec().unwrap().fingerprint(Precision::Fp32).unwrap();
    let before = fingerprint();
    for file in ["text/tokenizer_config.json", "vision/preprocessor_config.json"] {
        let was = std::fs::read_to_string(copy.file(file)).unwrap();
        std::fs::write(copy.file(file), format!("{was} ")).unwrap();
        assert_ne!(fingerprint(), before, "{file}");
        std::fs::write(copy.file(file), was).unwrap();
    }
    // Only one of them.
    std::fs::copy(copy.file("text/config.json"), copy.file("config.json")).unwrap();
    std::fs::copy(copy.file("text/tokenizer.json"), copy.file("tokenizer.json")).unwrap();
    std::fs::rename(copy.file("text/model.onnx"), copy.file("model.onnx")).unwrap();
    std::fs::copy(copy.file("vision/preprocessor_config.json"), copy.file("preprocessor_config.json")).unwrap();
    match copy.spec() {
        Err(clip::Error::BadModel { reason, .. }) => assert!(reason.contains("repository of its own"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn mobileclip_2_with_the_configuration_of_an_image_encoder() {
    check("mobileclip/two");
    assert_eq!(layout_spec("mobileclip/two").unwrap().tokens.pad, 0);
}

#[test]
fn mobileclip_is_padded_with_0_to_the_context() {
    check("mobileclip/s0");
    assert_eq!(layout_spec("mobileclip/s0").unwrap().tokens.pad, 0);
}

#[test]
fn mobileclip_whose_positions_are_fixed_inside() {
    check("mobileclip/s1");
}

#[test]
fn immich() {
    check("immich/shortest");
    check("immich/longest");
}

#[test]
fn every_model_is_compared() {
    let source = std::fs::read_to_string(workspace().join("crates/clip/tests/layouts.rs")).unwrap();
    for name in layout_models().keys() {
        assert!(source.contains(&format!("check(\"{name}\")")), "{name}");
    }
    let document = std::fs::read_to_string(workspace().join(LAYOUTS_PATH)).unwrap();
    let rows = layout_promises(&document);
    assert_eq!(rows.len(), layout_models().len() + 1, "run `make parity`");
    for model in layout_models().values() {
        let row = format!("| {} | {} | {} ", model.family, model.layout, model.reference);
        assert!(rows.contains(&row), "run `make parity`: {row}");
    }
}

/// BERT without a mask: padding would change vectors, so that each text is run at its own length.
#[test]
fn bert_without_a_mask() {
    let copy = Copy::of_layout("chinese/clip");
    std::fs::copy(layouts_dir().join("chinese_no_mask.onnx"), copy.file("onnx/text_model.onnx")).unwrap();
    let worst = compare_texts(&copy.spec().unwrap(), &layout_models()["chinese/clip"].texts).unwrap();
    assert!(worst.reference >= TEXT && worst.batch >= TEXT, "{worst:?}");
    // With a length that is fixed there is nothing that can be done.
    std::fs::copy(layouts_dir().join("chinese_no_mask_fixed.onnx"), copy.file("onnx/text_model.onnx")).unwrap();
    match TextEncoder::load(&copy.spec().unwrap(), &on_cpu(Precision::Fp32), &runtime()) {
        Err(clip::Error::BadModel { reason, .. }) => assert!(reason.contains("attention_mask"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn vocabulary_and_merges_without_a_tokenizer_file() {
    let copy = Copy::new();
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(copy.file("tokenizer.json")).unwrap()).unwrap();
    std::fs::write(copy.file("vocab.json"), file["model"]["vocab"].to_string()).unwrap();
    let merges = file["model"]["merges"].as_array().unwrap().iter();
    let line = |merge: &serde_json::Value| match merge {
        serde_json::Value::String(merge) => merge.clone(),
        parts => format!("{} {}", parts[0].as_str().unwrap(), parts[1].as_str().unwrap()),
    };
    let lines: Vec<String> = merges.map(line).collect();
    std::fs::write(copy.file("merges.txt"), format!("#version: 0.2\n{}\n", lines.join("\n"))).unwrap();
    std::fs::remove_file(copy.file("tokenizer.json")).unwrap();
    let spec = copy.spec().unwrap();
    let tokenizer = Tokenizer::load(&spec).unwrap();
    for text in golden().texts {
        assert_eq!(tokenizer.encode(&text.text, LongText::Truncate).unwrap(), text.ids, "{:?}", text.text);
    }
    let before = spec.fingerprint(Precision::Fp32).unwrap();
    std::fs::write(copy.file("merges.txt"), lines[1..].join("\n")).unwrap();
    assert_ne!(before, copy.spec().unwrap().fingerprint(Precision::Fp32).unwrap());
}

/// A tokenizer.json whose start and end tokens an older version put around texts by itself.
#[test]
fn tokenizer_without_start_and_end() {
    let copy = Copy::new();
    let mut file: serde_json::Value =
        serde_json::from_slice(&std::fs::read(copy.file("tokenizer.json")).unwrap()).unwrap();
    let around = file["post_processor"].take();
    std::fs::write(copy.file("tokenizer.json"), file.to_string()).unwrap();
    let tokenizer = Tokenizer::load(&copy.spec().unwrap()).unwrap();
    for text in golden().texts {
        assert_eq!(tokenizer.encode(&text.text, LongText::Truncate).unwrap(), text.ids, "{:?}", text.text);
    }
    // Others than the model's.
    file["post_processor"] = around;
    file["post_processor"]["sep"] = serde_json::json!(["!", 0]);
    std::fs::write(copy.file("tokenizer.json"), file.to_string()).unwrap();
    match Tokenizer::load(&copy.spec().unwrap()) {
        Err(clip::Error::BadModel { reason, .. }) => assert!(reason.contains("start and end tokens"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn encoders_in_different_precisions() {
    let copy = Copy::new();
    let quantized = layouts_dir().join("quantized/vision_model_quantized.onnx");
    std::fs::copy(quantized, copy.file("onnx/vision_model_quantized.onnx")).unwrap();
    for file in ["text_model.onnx", "vision_model.onnx", "vision_model_fp16.onnx"] {
        std::fs::remove_file(copy.file("onnx").join(file)).unwrap();
    }
    let spec = copy.spec().unwrap();
    assert_eq!(spec.precisions(), []);
    let chosen = spec.choose(None).unwrap();
    assert_eq!(chosen.to_string(), "text fp16, image quantized");
    assert_eq!(spec.fingerprint(chosen).unwrap().len(), 32);
    TextEncoder::load(&spec, &on_cpu(chosen.text), &runtime()).unwrap();
    ImageEncoder::load(&spec, &on_cpu(chosen.image), &runtime()).unwrap();
    let error = spec.choose(Some(Precision::Fp16)).unwrap_err().to_string();
    assert_eq!(error, "model \"golden/copy\" has no fp16 files, only text fp16, image quantized");
}

/// Every precision answers the same alone and in a batch, also where activations are quantised by what is in the batch.
#[test]
fn vectors_alone_and_in_batches() {
    let golden = golden();
    let copy = Copy::new();
    for encoder in ["text_model", "vision_model"] {
        let file = format!("{encoder}_quantized.onnx");
        std::fs::copy(layouts_dir().join("quantized").join(&file), copy.file("onnx").join(&file)).unwrap();
    }
    let spec = copy.spec().unwrap();
    assert_eq!(spec.precisions(), [Precision::Fp32, Precision::Fp16, Precision::Quantized]);
    for &precision in spec.precisions() {
        let mut texts = TextEncoder::load(&spec, &on_cpu(precision), &runtime()).unwrap();
        let ids: Vec<&[u32]> = golden.texts.iter().map(|text| text.ids.as_slice()).collect();
        let single = embed_one_by_one(&mut texts, &ids);
        let batch = texts.embed(&ids, &Cancel::new()).unwrap();
        let together = worst(&single, &batch);
        // Runs of one item each are the same runs.
        assert!(precision != Precision::Quantized || single == batch, "texts");
        let mut images = ImageEncoder::load(&spec, &on_cpu(precision), &runtime()).unwrap();
        let preprocessor = Preprocessor::new(&spec);
        let run = |entry: &GoldenImage| preprocessor.run(&image_file(&entry.file), &Limits::default()).unwrap();
        let inputs: Vec<_> = golden.images.iter().map(run).collect();
        let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
        let one = |view: &clip::ArrayView3<'_, f32>| images.embed(&[*view], &Cancel::new()).unwrap().remove(0);
        let single: Vec<Vec<f32>> = views.iter().map(one).collect();
        let batch = images.embed(&views, &Cancel::new()).unwrap();
        let images_together = worst(&single, &batch);
        assert!(precision != Precision::Quantized || single == batch, "images");
        println!("{precision}: texts {together:.7}, images {images_together:.7}");
        assert!(together >= TEXT && images_together >= TEXT, "{precision}");
    }
}
