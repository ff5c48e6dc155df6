//! Names, the catalogue, and model directories that are not as they should be.

mod common;

use std::fs;

use clip::{
    Device, Devices, Error, Filter, ImageEncoder, LongText, ModelName, ModelSpec, Precision, Resize, TextEncoder,
    Tokenizer, catalog,
};
use common::*;
use proptest::prelude::*;
use serde_json::{Value, json};

#[test]
fn names_that_are_not_owner_slash_name() {
    let long = format!("a/{}", "b".repeat(199));
    for name in [
        "",
        "/",
        "a",
        "a/",
        "/a",
        "a/b/c",
        "../../etc",
        "a/..",
        "../a",
        "a/.b",
        ".a/b",
        "-a/b",
        "a/_b",
        "a/b..c",
        "/a/b",
        "a//b",
        "a/b ",
        " a/b",
        "a\\b/c",
        "a/b\0",
        "a/b\n",
        "ä/b",
        "a/ß",
        "C:/x",
        "a/b;",
        &long,
    ] {
        match ModelName::parse(name) {
            Err(Error::InvalidModelName { .. }) => {}
            other => panic!("{name:?}: {other:?}"),
        }
    }
    for name in ["a/b", "Xenova/clip-vit-base-patch32", "0/1", "a.b_c-d/E.f_", &long[..200]] {
        assert_eq!(ModelName::parse(name).unwrap().as_str(), name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_name_stays_below_its_root(name in "[a./_-]{0,12}|\\PC{0,20}") {
        if let Ok(name) = ModelName::parse(&name) {
            let path = std::path::Path::new("/root").join(name.as_str());
            prop_assert_eq!(path.components().count(), 4);
            prop_assert!(path.components().skip(1).all(|part| matches!(part, std::path::Component::Normal(_))));
        }
    }
}

#[test]
fn the_first_root_wins() {
    let (one, two) = (Copy::new(), Copy::new());
    let name = ModelName::parse("golden/copy").unwrap();
    let (golden, nowhere) = (golden_dir().join("models"), one.root().join("nowhere"));
    let roots = [nowhere.as_path(), two.root(), one.root(), &golden];
    assert_eq!(catalog::find(&roots, &name).unwrap(), two.file("").components().collect::<std::path::PathBuf>());
    let all = catalog::list(&roots);
    assert_eq!(all.keys().map(ModelName::as_str).collect::<Vec<_>>(), ["golden/copy", "golden/small"]);
    assert!(all[&name].starts_with(two.root()));

    let other = ModelName::parse("golden/other").unwrap();
    let error = catalog::find(&roots[..2], &other).unwrap_err();
    assert_eq!(
        error,
        Error::NoSuchModel { name: "golden/other".into(), roots: vec![nowhere.clone(), two.root().into()] }
    );
    // Where models lie on the disk is not for everybody who may embed.
    assert_eq!(error.to_string(), "model \"golden/other\" is not installed");
    assert_eq!(catalog::find::<&str>(&[], &other).unwrap_err().to_string(), error.to_string());
    // A directory without config.json is no model.
    fs::remove_file(two.file("config.json")).unwrap();
    assert!(catalog::find(&roots, &name).unwrap().starts_with(one.root()));
}

/// Changes one value of a JSON file; `null` in the place of the value takes it out.
fn edit(copy: &Copy, file: &str, pointer: &str, value: Value) {
    let mut json: Value = serde_json::from_slice(&fs::read(copy.file(file)).unwrap()).unwrap();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let parent = json.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Value::Null => parent.remove(key),
        value => parent.insert(key.to_owned(), value),
    };
    fs::write(copy.file(file), json.to_string()).unwrap();
}

const CONFIG: &str = "config.json";
const PREPROCESSOR: &str = "preprocessor_config.json";
const TOKENIZER: &str = "tokenizer.json";

#[test]
fn values_that_cannot_be_used() {
    let huge = json!(u64::MAX);
    let cases: Vec<(&str, &str, Value)> = vec![
        (CONFIG, "/projection_dim", json!(0)),
        (CONFIG, "/projection_dim", json!(-1)),
        (CONFIG, "/projection_dim", json!(1e300)),
        (CONFIG, "/projection_dim", huge.clone()),
        (CONFIG, "/projection_dim", json!("32")),
        (CONFIG, "/text_config", json!(7)),
        (CONFIG, "/text_config/max_position_embeddings", json!(2)),
        (CONFIG, "/text_config/max_position_embeddings", huge.clone()),
        (CONFIG, "/vision_config/image_size", json!(0)),
        (CONFIG, "/vision_config/image_size", json!(5000)),
        (CONFIG, "/vision_config/image_size", json!([48])),
        (CONFIG, "/vision_config/image_size", json!("48")),
        (CONFIG, "/logit_scale", json!(0)),
        (CONFIG, "/logit_scale", json!(-3.5)),
        (PREPROCESSOR, "/size", json!({"shortest_edge": 0})),
        (PREPROCESSOR, "/size", json!({"height": 48})),
        (PREPROCESSOR, "/size", json!({"max_height": 48, "max_width": 48})),
        (PREPROCESSOR, "/size", huge.clone()),
        (PREPROCESSOR, "/size", json!([48, 48, 3])),
        (PREPROCESSOR, "/crop_size", json!(4097)),
        (PREPROCESSOR, "/crop_size", json!({"height": 48, "width": -48})),
        // Not the size of the image encoder's input.
        (PREPROCESSOR, "/crop_size", json!(40)),
        (PREPROCESSOR, "/crop_size", json!({"height": 48, "width": 40})),
        (PREPROCESSOR, "/do_center_crop", json!(false)),
        (PREPROCESSOR, "/do_pad", json!(true)),
        (PREPROCESSOR, "/do_resize", json!("yes")),
        (PREPROCESSOR, "/resample", json!(6)),
        (PREPROCESSOR, "/resample", json!("area")),
        (PREPROCESSOR, "/image_processor_type", json!("OtherImageProcessor")),
        (PREPROCESSOR, "/antialias", json!(true)),
        (PREPROCESSOR, "/rescale_factor", json!(0)),
        (PREPROCESSOR, "/image_mean", json!([0.5, 0.5])),
        (PREPROCESSOR, "/image_mean", json!([1e300, 0.5, 0.5])),
        (PREPROCESSOR, "/image_mean", json!("half")),
        (PREPROCESSOR, "/image_std", json!([0.5, 0, 0.5])),
        (PREPROCESSOR, "/image_std", json!([0.5, 1e-60, 0.5])),
        (TOKENIZER, "/added_tokens", json!("none")),
        (TOKENIZER, "/padding", json!({"pad_id": -1})),
    ];
    for (file, pointer, value) in cases {
        let copy = Copy::new();
        edit(&copy, file, pointer, value.clone());
        match copy.spec() {
            Err(Error::BadModel { model, file: found, reason }) => {
                assert_eq!((model.as_str(), found.as_str()), ("golden/copy", file), "{pointer} {value}");
                assert!(!reason.is_empty() && reason.len() < 300, "{reason}");
            }
            other => panic!("{file} {pointer} {value}: {other:?}"),
        }
    }
}

#[test]
fn files_that_are_missing_or_malformed() {
    for file in [CONFIG, PREPROCESSOR, TOKENIZER] {
        for content in [None, Some(""), Some("{"), Some("[]"), Some("\u{0}"), Some("null")] {
            let copy = Copy::new();
            match content {
                None => fs::remove_file(copy.file(file)).unwrap(),
                Some(content) => fs::write(copy.file(file), content).unwrap(),
            }
            match copy.spec() {
                Err(Error::BadModel { file: found, .. }) => assert_eq!(found, file, "{content:?}"),
                other => panic!("{file} {content:?}: {other:?}"),
            }
        }
        let copy = Copy::new();
        fs::remove_file(copy.file(file)).unwrap();
        fs::create_dir(copy.file(file)).unwrap();
        assert!(matches!(copy.spec(), Err(Error::BadModel { .. })), "{file} is a directory");
    }
    let copy = Copy::new();
    fs::write(copy.file(CONFIG), vec![b' '; 5 << 20]).unwrap();
    assert!(copy.spec().unwrap_err().to_string().contains("more than"));
    // No endless waiting for whoever writes into a pipe.
    let copy = Copy::new();
    fs::remove_file(copy.file(CONFIG)).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(copy.file(CONFIG)).status().unwrap().success());
    assert!(copy.spec().unwrap_err().to_string().contains("not a regular file"));
    // Deep nesting does not exhaust the stack.
    let copy = Copy::new();
    fs::write(copy.file(PREPROCESSOR), format!("{{\"size\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)))
        .unwrap();
    assert!(matches!(copy.spec(), Err(Error::BadModel { .. })));
}

#[test]
fn the_forms_that_a_size_can_have() {
    let clip = |size: Value, crop: Value| vec![("/size", size), ("/crop_size", crop)];
    let exact = Resize::Exact { height: 48, width: 48 };
    let shortest = |edge| Some(Resize::ShortestEdge(edge));
    let cases = [
        (clip(json!(50), json!(48)), shortest(50), true),
        (clip(json!({"shortest_edge": 52}), json!({"height": 48, "width": 48})), shortest(52), true),
        (clip(json!({"height": 48, "width": 48}), json!(48)), Some(exact), true),
        (clip(json!([48, 48]), json!([48, 48])), Some(exact), true),
        (vec![("/do_center_crop", json!(false)), ("/size", json!({"height": 48, "width": 48}))], Some(exact), false),
        (vec![("/do_resize", json!(false))], None, true),
    ];
    for (changes, resize, crop) in cases {
        let copy = Copy::new();
        for (pointer, value) in &changes {
            edit(&copy, PREPROCESSOR, pointer, value.clone());
        }
        let image = copy.spec().unwrap_or_else(|error| panic!("{changes:?}: {error}")).image;
        assert_eq!((image.resize, image.center_crop, image.height, image.width), (resize, crop, 48, 48), "{changes:?}");
    }
    // An int is a square for other processors than CLIP's.
    let copy = Copy::new();
    edit(&copy, PREPROCESSOR, "/image_processor_type", json!("SiglipImageProcessor"));
    edit(&copy, PREPROCESSOR, "/do_center_crop", Value::Null);
    edit(&copy, PREPROCESSOR, "/size", json!(48));
    edit(&copy, PREPROCESSOR, "/image_mean", Value::Null);
    edit(&copy, PREPROCESSOR, "/resample", json!(2));
    let image = copy.spec().unwrap().image;
    assert_eq!((image.resize, image.center_crop, image.filter), (Some(exact), false, Filter::Bilinear));
    assert_eq!(image.normalize.unwrap().mean, [0.5; 3]);
}

#[test]
fn what_is_left_out_is_as_in_transformers() {
    let copy = Copy::new();
    fs::write(copy.file(CONFIG), "{}").unwrap();
    fs::write(copy.file(PREPROCESSOR), "{}").unwrap();
    let spec = copy.spec().unwrap();
    assert_eq!((spec.model_type.as_str(), spec.dimension, spec.context_length), ("clip", 512, 77));
    assert_eq!((spec.image.resize, spec.image.center_crop), (Some(Resize::ShortestEdge(224)), true));
    assert_eq!((spec.image.filter, spec.image.rescale), (Filter::Bicubic, Some(1.0 / 255.0)));
    assert_eq!(spec.image.normalize.unwrap().std, [0.26862954, 0.26130258, 0.27577711]);
    assert_eq!(spec.logit_scale, None);
    // Newer versions write the image processor into one file with the rest.
    let image = fs::read_to_string(golden_dir().join("models/golden/small").join(PREPROCESSOR)).unwrap();
    let copy = Copy::new();
    fs::remove_file(copy.file(PREPROCESSOR)).unwrap();
    fs::write(copy.file("processor_config.json"), format!("{{\"image_processor\": {image}}}")).unwrap();
    assert_eq!(copy.spec().unwrap().image, spec_in(&golden_dir().join("models"), "golden/small").unwrap().image);
}

#[test]
fn the_fingerprint_is_that_of_the_contents() {
    let (one, two) = (Copy::new(), Copy::new());
    let of = |spec: &ModelSpec, precision| spec.fingerprint(precision).unwrap();
    let first = of(&one.spec().unwrap(), Precision::Fp32);
    assert_eq!(first.len(), 32);
    assert_eq!(first, of(&two.spec().unwrap(), Precision::Fp32));
    let half = of(&one.spec().unwrap(), Precision::Fp16);
    assert_ne!(first, half);
    fs::write(two.file("README.md"), "x").unwrap();
    assert_eq!(first, of(&two.spec().unwrap(), Precision::Fp32), "a file that decides nothing");
    fs::write(two.file("onnx/text_model.onnx_data"), "weights").unwrap();
    assert_ne!(first, of(&two.spec().unwrap(), Precision::Fp32));
    assert_eq!(half, of(&two.spec().unwrap(), Precision::Fp16), "a file of another precision");
    edit(&one, PREPROCESSOR, "/resample", json!(2));
    assert_ne!(first, of(&one.spec().unwrap(), Precision::Fp32));
}

#[test]
fn precisions_need_both_files() {
    let copy = Copy::new();
    fs::copy(copy.file("onnx/text_model.onnx"), copy.file("onnx/text_model_q4.onnx")).unwrap();
    fs::remove_file(copy.file("onnx/vision_model.onnx")).unwrap();
    let spec = copy.spec().unwrap();
    assert_eq!(spec.precisions(), [Precision::Fp16]);
    let wanted =
        Error::NoSuchPrecision { model: "golden/copy".into(), precision: "q4".into(), available: vec!["fp16".into()] };
    assert_eq!(spec.fingerprint(Precision::Q4).unwrap_err(), wanted);
    assert_eq!(spec.choose(Some(Precision::Q4)).unwrap_err(), wanted);
    assert_eq!(ImageEncoder::load(&spec, &on_cpu(Precision::Q4), &runtime()).unwrap_err(), wanted);
    fs::remove_dir_all(copy.file("onnx")).unwrap();
    assert!(matches!(copy.spec(), Err(Error::BadModel { file, .. }) if file == "onnx"));
}

#[test]
fn graphs_that_do_not_fit_their_files() {
    let load_text = |copy: &Copy| TextEncoder::load(&copy.spec()?, &on_cpu(Precision::Fp32), &runtime()).map(|_| ());
    let load_image = |copy: &Copy| ImageEncoder::load(&copy.spec()?, &on_cpu(Precision::Fp32), &runtime()).map(|_| ());
    let says = |result: clip::Result<()>, words: &str| match result {
        Err(Error::BadModel { file, reason, .. }) => assert!(reason.contains(words), "{file}: {reason}"),
        other => panic!("{words}: {other:?}"),
    };
    let copy = Copy::new();
    edit(&copy, CONFIG, "/projection_dim", json!(16));
    says(load_text(&copy), "projection_dim");
    says(load_image(&copy), "projection_dim");
    let copy = Copy::new();
    edit(&copy, CONFIG, "/vision_config/image_size", json!(40));
    edit(&copy, PREPROCESSOR, "/crop_size", json!(40));
    says(load_image(&copy), "40 x 40");
    let copy = Copy::with_text_graph("fixed.onnx");
    edit(&copy, CONFIG, "/text_config/max_position_embeddings", json!(64));
    says(load_text(&copy), "77 tokens");
    // The encoders' files swapped.
    let copy = Copy::new();
    fs::copy(copy.file("onnx/vision_model.onnx"), copy.file("onnx/text_model.onnx")).unwrap();
    says(load_text(&copy), "pixel_values");
    let copy = Copy::with_text_graph("free_mask.onnx");
    fs::copy(copy.file("onnx/text_model.onnx"), copy.file("onnx/vision_model.onnx")).unwrap();
    says(load_image(&copy), "pixel_values");
    let whole = fs::read(golden_dir().join("models/golden/small/onnx/text_model.onnx")).unwrap();
    for content in [&b""[..], b"not a graph", &whole[..whole.len() / 2]] {
        let copy = Copy::new();
        fs::write(copy.file("onnx/text_model.onnx"), content).unwrap();
        assert!(matches!(load_text(&copy), Err(Error::BadModel { .. })));
    }
}

#[test]
fn tokenizers_that_cannot_be_used() {
    for (pointer, value) in
        [("/model", json!({"type": "BPE"})), ("/model", json!({})), ("/model/merges", json!(["x y z"]))]
    {
        let copy = Copy::new();
        edit(&copy, TOKENIZER, pointer, value);
        let result = copy.spec().and_then(|spec| Tokenizer::load(&spec));
        assert!(matches!(result, Err(Error::BadModel { file, .. }) if file == TOKENIZER), "{pointer}");
    }
    // Its own padding and truncation are switched off.
    let copy = Copy::new();
    let padding = json!({"strategy": {"Fixed": 77}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 5, "pad_type_id": 0, "pad_token": "!"});
    edit(&copy, TOKENIZER, "/padding", padding);
    edit(
        &copy,
        TOKENIZER,
        "/truncation",
        json!({"max_length": 4, "stride": 0, "strategy": "LongestFirst", "direction": "Right"}),
    );
    let tokenizer = Tokenizer::load(&copy.spec().unwrap()).unwrap();
    let plain = Tokenizer::load(&spec()).unwrap();
    let text = "a photo of a cat";
    let ids = plain.encode(text, LongText::Error).unwrap();
    assert_eq!(tokenizer.encode(text, LongText::Error).unwrap(), ids);
}

#[test]
fn devices_and_precisions_as_text() {
    for (text, device) in
        [("auto", Device::Auto), ("cpu", Device::Cpu), ("cuda", Device::Cuda(0)), ("cuda:12", Device::Cuda(12))]
    {
        assert_eq!(text.parse::<Device>().unwrap(), device);
        assert_eq!(device.to_string().parse::<Device>().unwrap(), device);
    }
    for text in ["", "CPU", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:1 ", "cuda:99999999999", "cuda1"] {
        assert!(matches!(text.parse::<Device>(), Err(Error::InvalidDevice { .. })), "{text}");
    }
    let several = Devices::Each(vec![Device::Cuda(0), Device::Cuda(1), Device::Cuda(0)]);
    for (text, devices) in [
        ("cuda:all", Devices::AllCuda),
        ("auto", Devices::Each(vec![Device::Auto])),
        ("cuda:7", Devices::Each(vec![Device::Cuda(7)])),
        ("cuda:0, cuda:1,cuda", several),
    ] {
        assert_eq!(text.parse::<Devices>().unwrap(), devices, "{text}");
    }
    for text in ["", "cuda:0,", ",", "cpu,cuda:0", "cuda:0,auto", "cuda:all,cuda:0", "cuda: 0", "cuda:0;cuda:1"] {
        let Err(Error::InvalidDevice { value }) = text.parse::<Devices>() else { panic!("{text} is no list") };
        assert_eq!(value, text, "the whole list is told");
    }
    for precision in Precision::ALL {
        assert_eq!(precision.to_string().parse::<Precision>().unwrap(), precision);
    }
    assert!("fp64".parse::<Precision>().unwrap_err().to_string().contains("fp32, fp16"));
}
