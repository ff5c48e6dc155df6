//! The reference's values: ids, pixels and embeddings.

mod common;

use clip::{
    Cancel, Gray16, ImageEncoder, Limits, LongText, ModelSpec, Precision, Preprocessor, Reading, TextEncoder,
    Tokenizer, Transparency,
};
use common::*;

/// The bounds that the project promises.
const TEXT: f64 = 0.99999;
const IMAGE: f64 = 0.9999;

#[test]
fn different_inputs_have_different_vectors() {
    // Otherwise the other tests prove nothing.
    let golden = golden();
    let texts: Vec<&Vec<f32>> = golden.texts.iter().map(|text| &text.embedding).collect();
    let images: Vec<&Vec<f32>> = golden.images.iter().map(|image| &image.embedding).collect();
    for (name, vectors) in [("texts", texts), ("images", images)] {
        let pairs = (0..vectors.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        let mut cosines: Vec<f64> = pairs.map(|(a, b)| cosine(vectors[a], vectors[b])).collect();
        cosines.sort_by(f64::total_cmp);
        let (median, ninth) = (cosines[cosines.len() / 2], cosines[cosines.len() * 9 / 10]);
        println!("{name}: pairwise cosine min {:.3}, median {median:.3}, 90 % {ninth:.3}", cosines[0]);
        assert!(cosines[0] < 0.2 && median < 0.8 && ninth < 0.98, "the vectors of {name} are too much alike");
    }
}

#[test]
fn tokens_are_the_references() {
    let (spec, golden) = (spec(), golden());
    let tokenizer = Tokenizer::load(&spec).unwrap();
    for GoldenText { text, tokens, ids, .. } in &golden.texts {
        assert_eq!(&tokenizer.encode(text, LongText::Truncate).unwrap(), ids, "{text:?}");
        match tokenizer.encode(text, LongText::Error) {
            Ok(all) => assert_eq!(all.len(), *tokens),
            Err(clip::Error::TextTooLong { tokens: found, context_length, .. }) => {
                assert_eq!((found, context_length), (*tokens, 77));
                assert!(found > 77 && ids.len() == 77, "{text:?}");
                assert_eq!(ids.last(), spec.tokens.eos.as_ref(), "the end token is kept");
            }
            Err(error) => panic!("{text:?}: {error}"),
        }
    }
}

/// Embeds the golden texts one by one and all together; says how far they are from each other and from the reference.
fn check_text(spec: &ModelSpec, precision: Precision, bound: f64) {
    let golden = golden();
    let mut encoder = TextEncoder::load(spec, &on_cpu(precision), &runtime()).unwrap();
    let ids: Vec<&[u32]> = golden.texts.iter().map(|text| text.ids.as_slice()).collect();
    let wanted: Vec<Vec<f32>> = golden.texts.iter().map(|text| text.embedding.clone()).collect();
    let single = embed_one_by_one(&mut encoder, &ids);
    let together = encoder.embed(&ids, &Cancel::new()).unwrap();
    let (reference, batch) = (worst(&single, &wanted), worst(&single, &together));
    println!("{precision}: worst cosine with the reference {reference:.9}, of single and padded in a batch {batch:.9}");
    assert!(reference >= bound && batch >= bound);
    assert!(encoder.embed(&[], &Cancel::new()).unwrap().is_empty());
}

#[test]
fn text_embeddings_are_the_references() {
    check_text(&spec(), Precision::Fp32, TEXT);
}

#[test]
fn text_graph_in_half_precision() {
    check_text(&spec(), Precision::Fp16, 0.999);
}

#[test]
fn text_graph_with_attention_mask() {
    check_text(&Copy::with_text_graph("free_mask.onnx").spec().unwrap(), Precision::Fp32, TEXT);
}

#[test]
fn text_graph_of_fixed_length() {
    check_text(&Copy::with_text_graph("fixed.onnx").spec().unwrap(), Precision::Fp32, TEXT);
}

#[test]
fn text_graph_of_fixed_length_with_mask_in_int32() {
    check_text(&Copy::with_text_graph("fixed_mask_int32.onnx").spec().unwrap(), Precision::Fp32, TEXT);
}

#[test]
fn text_graph_of_batch_1_with_positions_and_another_output_name() {
    check_text(&Copy::with_text_graph("batch1_positions.onnx").spec().unwrap(), Precision::Fp32, TEXT);
}

#[test]
fn pixels_are_the_references() {
    let golden = golden();
    let reading = Reading { gray16: Gray16::Pil, ..Reading::default() };
    let mut spec = spec();
    (spec.image.rescale, spec.image.normalize) = (None, None);
    let preprocessor = Preprocessor::new(&spec).with_reading(reading);
    let all = std::fs::read(golden_dir().join("pixels.bin")).unwrap();
    let size = 48 * 48 * 3;
    assert_eq!(all.len(), golden.images.len() * size);
    for (image, wanted) in golden.images.iter().zip(all.chunks_exact(size)) {
        let bytes = image_file(&image.file);
        let decoded = clip::decode(&bytes, &Limits::default(), reading).unwrap();
        assert_eq!(decoded.dimensions(), (image.width, image.height), "{}", image.file);
        let pixels = preprocessor.run(&bytes, &Limits::default()).unwrap();
        let found = pixels.permuted_axes([1, 2, 0]);
        let differences = found.iter().zip(wanted).map(|(a, b)| (*a - f32::from(*b)).abs());
        let largest = differences.fold(0.0, f32::max);
        println!("{}: largest difference {largest} levels", image.file);
        // libjpeg rounds and upsamples the colours a little differently from the decoder here.
        let is_lossy = image.file.ends_with(".jpg");
        assert!(largest <= if is_lossy { 4.0 } else { 0.0 }, "{}", image.file);
    }
}

fn check_images(spec: &ModelSpec, precision: Precision, bound: f64) {
    let (golden, limits) = (golden(), Limits::default());
    // As the reference's processor reads images.
    let reading = Reading {
        transparency: Transparency::White,
        apply_orientation: false,
        gray16: Gray16::Pil,
        ..Reading::default()
    };
    let preprocessor = Preprocessor::new(spec).with_reading(reading);
    let mut encoder = ImageEncoder::load(spec, &on_cpu(precision), &runtime()).unwrap();
    let mut single = Vec::new();
    let inputs: Vec<_> =
        golden.images.iter().map(|image| preprocessor.run(&image_file(&image.file), &limits).unwrap()).collect();
    for (image, input) in golden.images.iter().zip(&inputs) {
        let vector = encoder.embed(&[input.view()], &Cancel::new()).unwrap().remove(0);
        println!("{}: cosine {:.7}", image.file, cosine(&vector, image.of_the_processor()));
        single.push(vector);
    }
    let views: Vec<_> = inputs.iter().map(|input| input.view()).collect();
    let together = encoder.embed(&views, &Cancel::new()).unwrap();
    let wanted: Vec<Vec<f32>> = golden.images.iter().map(|image| image.of_the_processor().clone()).collect();
    let (reference, batch) = (worst(&single, &wanted), worst(&single, &together));
    println!("{precision}: worst cosine with the reference {reference:.7}, of single and batch {batch:.9}");
    assert!(reference >= bound && batch >= TEXT.min(bound));
}

#[test]
fn image_embeddings_are_the_references() {
    check_images(&spec(), Precision::Fp32, IMAGE);
}

#[test]
fn image_graph_in_half_precision() {
    check_images(&spec(), Precision::Fp16, 0.999);
}

/// ONNX Runtime cannot optimise these graphs: they run as they are.
#[test]
fn graphs_in_half_precision_with_layer_normalization_spelled_out() {
    let copy = Copy::new();
    for file in ["text_model_fp16.onnx", "vision_model_fp16.onnx"] {
        std::fs::copy(golden_dir().join("spelled_out").join(file), copy.file("onnx").join(file)).unwrap();
    }
    let spec = copy.spec().unwrap();
    check_text(&spec, Precision::Fp16, 0.999);
    check_images(&spec, Precision::Fp16, 0.999);
    let note = |spec: &ModelSpec, precision| {
        let text = TextEncoder::load(spec, &on_cpu(precision), &runtime()).unwrap().note().map(str::to_owned);
        let image = ImageEncoder::load(spec, &on_cpu(precision), &runtime()).unwrap().note().map(str::to_owned);
        [text, image]
    };
    for note in note(&spec, Precision::Fp16) {
        let note = note.expect("a note that says so");
        assert!(note.starts_with("graph optimization level disabled"), "{note}");
        assert!(note.contains("LayerNormalization"), "{note}");
    }
    assert_eq!(note(&spec, Precision::Fp32), [None, None]);
}

#[test]
fn transparent_images_are_those_of_pil() {
    let (spec, golden) = (spec(), golden());
    let preprocessor = Preprocessor::new(&spec);
    let mut encoder = ImageEncoder::load(&spec, &on_cpu(Precision::Fp32), &runtime()).unwrap();
    let mut seen = 0;
    for image in &golden.images {
        if let Some(on_white) = &image.embedding_on_white {
            let input = preprocessor.run(&image_file(&image.file), &Limits::default()).unwrap();
            let vector = encoder.embed(&[input.view()], &Cancel::new()).unwrap().remove(0);
            assert!(cosine(&vector, &image.embedding) >= IMAGE, "{}", image.file);
            assert!(cosine(&vector, on_white) < IMAGE, "{}", image.file);
            seen += 1;
        }
    }
    assert!(seen >= 1);
}

#[test]
fn the_spec_says_what_the_files_say() {
    let spec = spec();
    assert_eq!((spec.dimension, spec.context_length), (32, 77));
    assert_eq!((spec.image.height, spec.image.width), (48, 48));
    assert_eq!(spec.logit_scale, Some(20.0));
    assert_eq!(spec.precisions(), [Precision::Fp32, Precision::Fp16]);
    assert!(spec.size_on_disk > 400_000);
    let ids = Tokenizer::load(&spec).unwrap().encode("", LongText::Truncate).unwrap();
    assert_eq!(ids, [spec.tokens.bos.unwrap(), spec.tokens.eos.unwrap()]);
    assert_eq!(spec.tokens.pad, 0, "as CLIP was trained; CLIPTokenizer pads with the end token, which no text sees");
}
