//! Files that are truncated, lie, or mean harm: an error that says where, before anything large is allocated.

mod common;

use std::io::{Cursor, Write};
use std::path::Path;

use common::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use weights::{Error, convert};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

const FILE: &str = "model.safetensors";
const PICKLE: &str = "pytorch_model.bin";

/// What a conversion says, which is to leave nothing behind.
fn error(source: &Path) -> Error {
    let target = tempfile::tempdir().unwrap();
    let error = convert(source, target.path()).expect_err("was converted");
    let text = error.to_string();
    assert!(text.len() < 500 && !text.contains('\n'), "{text}");
    let left: Vec<_> = std::fs::read_dir(target.path().join("onnx")).into_iter().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    error
}

/// The golden model with another file of weights.
fn with(name: &str, file: &str, bytes: &[u8]) -> Error {
    let copy = copy(name);
    std::fs::write(copy.path().join(file), bytes).unwrap();
    error(copy.path())
}

fn reason(error: Error) -> String {
    match error {
        Error::BadFile { reason, .. } => reason,
        other => panic!("{other:?}"),
    }
}

fn bytes(name: &str, file: &str) -> Vec<u8> {
    std::fs::read(model_dir(name).join(file)).unwrap()
}

/// Header and values of the golden file.
fn split() -> (Value, Vec<u8>) {
    let bytes = bytes("clip", FILE);
    let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
    (serde_json::from_slice(&bytes[8..header]).unwrap(), bytes[header..].to_vec())
}

fn join(header: &str, values: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), values].concat()
}

/// The reason where the header is changed.
fn header(change: impl Fn(&mut Value)) -> Error {
    let (mut header, values) = split();
    change(&mut header);
    with("clip", FILE, &join(&header.to_string(), &values))
}

/// A change of a JSON file.
type Change<'a> = &'a dyn Fn(&mut Value);

const TENSOR: &str = "text_model.final_layer_norm.bias";

#[test]
fn safetensors_that_are_none() {
    let read = |bytes: &[u8]| reason(with("clip", FILE, bytes));
    assert_eq!(read(b""), "0 bytes are no safetensors file");
    assert_eq!(read(b"1234567"), "7 bytes are no safetensors file");
    assert_eq!(read(&[0xff; 100]), format!("its header has {} bytes, at most 8388608 are read", u64::MAX));
    assert_eq!(read(&[&5_000_000u64.to_le_bytes()[..], b"{}"].concat()), "its header has 5000000 bytes, the file 10");
    assert!(read(&join("[]", b"")).starts_with("its header is malformed"));
    assert!(read(&join("\"\u{7}", b"")).starts_with("its header is malformed"));
    assert!(read(&join(&"[".repeat(1_000_000), b"")).starts_with("its header is malformed"));
    assert_eq!(
        read(b"version https://git-lfs.example/spec/v1\noid sha256:0\n"),
        "it is a git-lfs pointer, not the file itself"
    );
    assert!(matches!(with("clip", FILE, &join("{}", b"")), Error::MissingTensor { .. }));
}

#[test]
fn truncated_safetensors() {
    let whole = bytes("clip", FILE);
    for length in (0..40).map(|part| whole.len() * part / 40).chain([whole.len() - 1]) {
        reason(with("clip", FILE, &whole[..length]));
    }
    let text = reason(with("clip", FILE, &[&whole[..], b"x"].concat()));
    assert_eq!(text, format!("it has {} bytes, its header says {}", whole.len() + 1, whole.len()));
}

#[test]
fn headers_that_lie() {
    let malformed = |change: fn(&mut Value)| {
        let text = reason(header(change));
        assert!(text.starts_with("its header is malformed"), "{text}");
    };
    // Overlapping, with a gap, backwards, beyond the end of numbers, of a shape that does not fit or overflows.
    malformed(|header| header[TENSOR]["data_offsets"] = json!([0, 64]));
    malformed(|header| header[TENSOR]["data_offsets"][1] = json!(1u64 << 40));
    malformed(|header| header[TENSOR]["data_offsets"] = json!([64, 0]));
    malformed(|header| header[TENSOR]["data_offsets"] = json!([u64::MAX, u64::MAX]));
    malformed(|header| header[TENSOR]["data_offsets"] = json!([-1, 64]));
    malformed(|header| header[TENSOR]["shape"] = json!([17]));
    malformed(|header| header[TENSOR]["shape"] = json!([1u64 << 63, 4]));
    malformed(|header| header[TENSOR]["shape"] = json!([u64::MAX, u64::MAX]));
    malformed(|header| header[TENSOR]["dtype"] = json!("F31"));
    malformed(|header| header[TENSOR] = json!(1));

    let of_integers = header(|header| header[TENSOR]["dtype"] = json!("I32"));
    assert_eq!(of_integers.to_string(), format!("tensor \"{TENSOR}\" is of type I32, not F32, F16, BF16 or F64"));
    let reshaped = header(|header| header[TENSOR]["shape"] = json!([4, 4]));
    assert_eq!(reshaped.to_string(), format!("tensor \"{TENSOR}\" has the shape [4, 4], its configuration says [16]"));
    assert_eq!(reshaped, Error::Shape { tensor: TENSOR.to_owned(), found: vec![4, 4], expected: vec![16] });
    let renamed = header(|header| {
        let value = header.as_object_mut().unwrap().remove(TENSOR).unwrap();
        header["extra"] = value;
    });
    assert_eq!(renamed, Error::MissingTensor { file: FILE.to_owned(), tensor: TENSOR.to_owned() });
    let long = header(|header| {
        let value = header.as_object_mut().unwrap().remove(TENSOR).unwrap();
        header["x".repeat(100_000)] = value;
    });
    assert!(reason(long).starts_with("the name of a tensor is too long"));
}

#[test]
fn tensors_that_are_left_over() {
    let (mut header, mut values) = split();
    let end = values.len();
    for (index, name) in ["text_model.extra\n", "text_model.more"].iter().enumerate() {
        let from = end + 4 * index;
        header[*name] = json!({"dtype": "F32", "shape": [1], "data_offsets": [from, from + 4]});
        values.extend([0; 4]);
    }
    let text = with("clip", FILE, &join(&header.to_string(), &values)).to_string();
    let wanted = "model.safetensors has a tensor \"text_model.extra\\n\" that the model of its configuration does not have, \
                  and 1 more";
    assert_eq!(text, wanted);
}

#[test]
fn values_that_are_not_finite() {
    let (header, mut values) = split();
    let at = header[TENSOR]["data_offsets"][0].as_u64().unwrap() as usize;
    values[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let found = with("clip", FILE, &join(&header.to_string(), &values));
    assert_eq!(found.to_string(), format!("tensor \"{TENSOR}\" has values that are not finite"));
}

#[test]
fn indexes_of_shards() {
    let name = "clip-shards-bf16";
    let index: Value = serde_json::from_slice(&bytes(name, "model.safetensors.index.json")).unwrap();
    let changed = |change: Change| {
        let mut index = index.clone();
        change(&mut index["weight_map"]);
        with(name, "model.safetensors.index.json", index.to_string().as_bytes())
    };
    for path in
        ["../model.safetensors", "/etc/passwd", "a/b.safetensors", ".safetensors", "config.json", "x\u{0}.safetensors"]
    {
        let text = reason(changed(&|map| map[TENSOR] = json!(path)));
        assert!(text.starts_with("it names the file"), "{text}");
    }
    assert_eq!(reason(changed(&|map| map[TENSOR] = json!("another.safetensors"))), "there is no such file");
    assert!(
        matches!(changed(&|map| map["extra"] = map[TENSOR].clone()), Error::MissingTensor { tensor, .. } if tensor == "extra")
    );
    let unnamed = changed(&|map| drop(map.as_object_mut().unwrap().remove(TENSOR)));
    assert!(reason(unnamed).contains("does not say that"));
    let many = changed(&|map| (0..300).for_each(|n| map[format!("t{n}")] = json!(format!("{n}.safetensors"))));
    assert!(reason(many).contains("at most 256 are read"));
    assert!(matches!(with(name, "model.safetensors.index.json", b"{}"), Error::BadFile { .. }));
    let copy = copy(name);
    std::fs::File::create(copy.path().join("model.safetensors.index.json")).unwrap().set_len(1 << 40).unwrap();
    assert!(reason(error(copy.path())).contains("at most 4194304 are read"));
}

/// The container of the golden pickle, with some entries changed.
fn repacked(compressed: bool, change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut container = ZipArchive::new(Cursor::new(bytes("clip-pickle-2021", PICKLE))).unwrap();
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for index in 0..container.len() {
        let mut entry = container.by_index(index).unwrap();
        let (name, mut bytes) = (entry.name().unwrap().into_owned(), Vec::new());
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        let Some(bytes) = change(&name, bytes) else { continue };
        writer.start_file(name, SimpleFileOptions::default().compression_method(CompressionMethod::Stored)).unwrap();
        writer.write_all(&bytes).unwrap();
    }
    assert!(!compressed);
    writer.finish().unwrap().into_inner()
}

fn pickled(change: impl Fn(&str, Vec<u8>) -> Option<Vec<u8>>) -> Error {
    with("clip-pickle-2021", PICKLE, &repacked(false, change))
}

fn with_pickle(pickle: &[u8]) -> Error {
    pickled(|name, bytes| Some(if name.ends_with("data.pkl") { pickle.to_vec() } else { bytes }))
}

/// Replaces bytes that are there once.
fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at..].starts_with(from)).collect();
    assert_eq!(at.len(), 1, "{at:?}");
    [&bytes[..at[0]], to, &bytes[at[0] + from.len()..]].concat()
}

#[test]
fn pickles_that_are_none() {
    let read = |bytes: &[u8]| reason(with("clip-pickle-2021", PICKLE, bytes));
    assert_eq!(read(b""), "0 bytes are no file of PyTorch");
    assert_eq!(read(b"\x80\x02\x8a\x0a"), "it is in the format that PyTorch wrote before version 1.6");
    assert!(read(b"PK\x03\x04").starts_with("it is not a file of PyTorch"));
    assert!(read(&[b'x'; 1000]).starts_with("it is not a file of PyTorch"));
    let whole = bytes("clip-pickle-2021", PICKLE);
    for length in (1..40).map(|part| whole.len() * part / 40).chain([whole.len() - 1]) {
        read(&whole[..length]);
    }
}

#[test]
fn containers_that_lie() {
    assert!(reason(pickled(|name, bytes| (!name.ends_with("data.pkl")).then_some(bytes))).contains("not one data.pkl"));
    let big = pickled(|name, bytes| Some(if name.ends_with("byteorder") { b"big".to_vec() } else { bytes }));
    assert_eq!(reason(big), "its byte order is not \"little\"");
    let missing = pickled(|name, bytes| (!name.ends_with("/data/0")).then_some(bytes));
    assert!(reason(missing).contains("its values are missing"));
    let short = pickled(|name, bytes| Some(if name.contains("/data/") { bytes[..1].to_vec() } else { bytes }));
    assert!(reason(short).contains("beyond the end of their storage"));
    let large = pickled(|name, bytes| Some(if name.ends_with("data.pkl") { vec![b'N'; 5 << 20] } else { bytes }));
    assert_eq!(reason(large), "its data.pkl has 5242880 bytes, at most 4194304 are read");
    // Compression methods of the entries, in their own headers and in the directory.
    let mut bytes = bytes("clip-pickle-2021", PICKLE);
    for at in 0..bytes.len() - 12 {
        match &bytes[at..at + 4] {
            b"PK\x03\x04" => bytes[at + 8] = 8,
            b"PK\x01\x02" => bytes[at + 10] = 8,
            _ => {}
        }
    }
    assert!(reason(with("clip-pickle-2021", PICKLE, &bytes)).ends_with("is compressed or encrypted"));
}

/// A directory of a container that says how many entries it has, and has none.
#[test]
fn containers_of_too_many_entries() {
    for count in [1u64 << 20, 1 << 40, u64::MAX] {
        let mut bytes = b"PK\x06\x06".to_vec();
        bytes.extend(44u64.to_le_bytes());
        bytes.extend([45, 0, 45, 0]);
        bytes.extend([0; 8]);
        for value in [count, count, count.saturating_mul(46), 0] {
            bytes.extend(value.to_le_bytes());
        }
        bytes.extend(b"PK\x06\x07\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0");
        bytes.extend(b"PK\x05\x06\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0");
        let text = reason(with("clip-pickle-2021", PICKLE, &bytes));
        assert!(text.starts_with("it is not a file of PyTorch"), "{text}");
    }
}

#[test]
fn pickles_that_lie() {
    let whole = {
        let mut container = ZipArchive::new(Cursor::new(bytes("clip-pickle-2021", PICKLE))).unwrap();
        let index = (0..container.len())
            .find(|&index| container.by_index(index).unwrap().name().unwrap().ends_with("data.pkl"));
        let mut pickle = Vec::new();
        std::io::Read::read_to_end(&mut container.by_index(index.unwrap()).unwrap(), &mut pickle).unwrap();
        pickle
    };
    for length in (0..40).map(|part| whole.len() * part / 40).chain([whole.len() - 1]) {
        reason(with_pickle(&whole[..length]));
    }
    assert_eq!(reason(with_pickle(b"N.")), "it is not a dictionary of tensors");
    assert_eq!(reason(with_pickle(b"}.")), "there are no tensors in it");
    assert_eq!(reason(with_pickle(b"cposix\nsystem\nX\x02\x00\x00\x00id\x85R.")), "it is not a dictionary of tensors");
    assert!(reason(with_pickle(b"\x80\x02\x93.")).starts_with("data.pkl: instruction 0x93 of a pickle is not known"));

    // One tensor, its description changed: too few arguments, odd sizes, negative, overlapping, huge, beyond its end.
    let one = |arguments: &str| {
        let storage =
            b"((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ".to_vec();
        let arguments: Vec<u8> = arguments
            .split_whitespace()
            .flat_map(|part| match part.parse::<i32>() {
                Ok(number) => [&b"J"[..], &number.to_le_bytes()].concat(),
                Err(_) => part.as_bytes().to_vec(),
            })
            .collect();
        let start = b"\x80\x02}(X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n".to_vec();
        reason(with_pickle(&[start, storage, arguments, b"tRu.".to_vec()].concat()))
    };
    assert_eq!(one(""), "tensor \"w\": its description is not known");
    assert_eq!(one("0 ( 1 t"), "tensor \"w\": its description is not known");
    assert_eq!(one("0 ( -1 t ( 1 t"), "tensor \"w\": its description is not known");
    assert_eq!(one("-1 ( 1 t ( 1 t"), "tensor \"w\": its description is not known");
    assert_eq!(one("0 ) ( 1 t"), "tensor \"w\": it has 0 dimensions");
    assert_eq!(one("0 ( 1 1 1 1 1 1 1 1 1 t ( 1 1 1 1 1 1 1 1 1 t"), "tensor \"w\": it has 9 dimensions");
    assert_eq!(one("0 ( 1000000000 1000000000 t ( 0 0 t"), "tensor \"w\": its values overlap");
    assert_eq!(
        one("0 ( 2147483647 2147483647 2147483647 t ( 2147483647 2147483647 1 t"),
        "tensor \"w\": its shape is too large"
    );
    assert_eq!(one("2147483647 ( 1 t ( 1 t"), "tensor \"w\": its values lie beyond the end of their storage");
    assert!(one("0 ( 2147483647 t ( 1 t").contains("beyond the end of their storage"));
    // A thousand times the same values are more than the file has.
    let mut shared = b"\x80\x02}(".to_vec();
    for n in 0..1000 {
        shared.extend(format!("X\x04\x00\x00\x00{n:04}").bytes());
        shared.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x001X\x03\x00\x00\x00cpuK\x01tQK\x00(K\x10K\x10t(K\x10K\x01ttR");
    }
    shared.extend(b"u.");
    let text = reason(with_pickle(&shared));
    assert!(text == "its tensors have more values than the file" || text.contains("beyond the end"), "{text}");
    let storage = replaced(&whole, b"ctorch\nFloatStorage\n", b"ctorch\nQInt8Storage\n");
    assert!(matches!(with_pickle(&storage), Error::BadTensor { .. }));
}

#[test]
fn configurations() {
    let changed = |name: &str, file: &str, change: Change| {
        let mut config: Value = serde_json::from_slice(&bytes(name, file)).unwrap();
        change(&mut config);
        with(name, file, config.to_string().as_bytes()).to_string()
    };
    let clip = |change: Change| changed("clip", "config.json", change);
    let cases: [(Change, &str); 19] = [
        (&|c| c["model_type"] = json!("bert\u{1b}[0m"), "config.json: model_type \"bert\\u{1b}[0m\" is not supported"),
        (
            &|c| c["model_type"] = json!("siglip2"),
            "config.json: model_type \"siglip2\" (NaFlex, any resolution) is not supported",
        ),
        (
            &|c| c["model_type"] = json!("clip_text_model"),
            "config.json: model_type \"clip_text_model\" (one encoder without the other) is not supported",
        ),
        (&|c| c["model_type"] = json!(7), "config.json cannot be used: model_type is 7"),
        (&|c| c["text_config"] = json!([]), "config.json cannot be used: text_config is []"),
        (
            &|c| c["text_config"]["hidden_act"] = json!("relu"),
            "config.json: text_config.hidden_act = \"relu\" is not supported",
        ),
        (
            &|c| c["text_config"]["hidden_size"] = json!(1u64 << 40),
            "config.json cannot be used: text_config.hidden_size is 1099511627776",
        ),
        (
            &|c| c["text_config"]["hidden_size"] = json!(4_000_000_000u32),
            "config.json cannot be used: text_config: the width is 4000000000, it must be 1 to 32768",
        ),
        (
            &|c| c["text_config"]["hidden_size"] = json!("16"),
            "config.json cannot be used: text_config.hidden_size is \"16\"",
        ),
        (
            &|c| c["text_config"]["num_hidden_layers"] = json!(1_000_000),
            "config.json cannot be used: text_config: the number of layers is 1000000, it must be 1 to 512",
        ),
        (
            &|c| c["text_config"]["num_hidden_layers"] = json!(0),
            "config.json cannot be used: text_config: the number of layers is 0, it must be 1 to 512",
        ),
        (
            &|c| c["text_config"]["num_attention_heads"] = json!(3),
            "config.json cannot be used: text_config: the width, 16, is no multiple of 3 heads",
        ),
        (
            &|c| c["text_config"]["layer_norm_eps"] = json!(0.0),
            "config.json cannot be used: text_config: the epsilon of layer normalisation is 0",
        ),
        (
            &|c| c["text_config"]["eos_token_id"] = json!([1, 2]),
            "config.json: text_config.eos_token_id = [1,2] is not supported",
        ),
        (
            &|c| c["vision_config"]["patch_size"] = json!(0),
            "config.json cannot be used: image: the patch size is 0, it must be 1 to 32",
        ),
        (
            &|c| c["vision_config"]["patch_size"] = json!(33),
            "config.json cannot be used: image: the patch size is 33, it must be 1 to 32",
        ),
        (
            &|c| c["vision_config"]["image_size"] = json!(60_000),
            "config.json cannot be used: image: the image size is 60000, it must be 1 to 4096",
        ),
        (
            &|c| c["vision_config"]["num_channels"] = json!(4),
            "config.json: vision_config.num_channels = 4 is not supported",
        ),
        (
            &|c| c["vision_config"]["num_hidden_layers"] = json!(4),
            "model.safetensors has no tensor \"vision_model.encoder.layers.3.layer_norm1.weight\"",
        ),
    ];
    for (change, wanted) in cases {
        assert_eq!(clip(change), wanted);
    }
    let fewer = clip(&|c| c["vision_config"]["num_hidden_layers"] = json!(2));
    assert!(
        fewer.starts_with("model.safetensors has a tensor \"vision_model.encoder.layers.2.layer_norm1.bias\""),
        "{fewer}"
    );
    let siglip = changed("siglip", "config.json", &|c| c["vision_config"]["vision_use_head"] = json!(false));
    assert_eq!(siglip, "config.json: vision_config.vision_use_head = false is not supported");

    let open = |name: &str, change: Change| changed(name, "open_clip_config.json", &|c| change(c));
    let cases: [(&str, Change, &str); 16] = [
        (
            "open_clip",
            &|c| c["model_cfg"]["multimodal_cfg"] = json!({}),
            "model_cfg.multimodal_cfg = {} is not supported",
        ),
        ("open_clip", &|c| drop(c["model_cfg"].take()), "open_clip_config.json cannot be used: there is no model_cfg"),
        ("open_clip", &|c| c["model_cfg"]["embed_dim"] = json!(0), "the dimension is 0, it must be 1 to 32768"),
        (
            "open_clip",
            &|c| c["model_cfg"]["vision_cfg"]["layers"] = json!([3, 4, 6, 3]),
            "a ResNet (model_cfg.vision_cfg.layers = [3,4,6,3]) is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["vision_cfg"]["ls_init_value"] = json!(1e-4),
            "model_cfg.vision_cfg.ls_init_value = 0.0001 is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["vision_cfg"]["attentional_pool"] = json!(true),
            "model_cfg.vision_cfg.attentional_pool = true is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["vision_cfg"]["pool_type"] = json!("avg"),
            "model_cfg.vision_cfg.pool_type = \"avg\" is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["vision_cfg"]["timm_model_name"] = json!("convnext_base"),
            "model_cfg.vision_cfg.timm_model_name = \"convnext_base\" is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["vision_cfg"]["act_kwargs"] = json!({"approximate": "x"}),
            "model_cfg.vision_cfg.act_kwargs = {\"approximate\":\"x\"} is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["text_cfg"]["hf_model_name"] = json!("roberta-base"),
            "model_cfg.text_cfg.hf_model_name = \"roberta-base\" is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["text_cfg"]["no_causal_mask"] = json!(true),
            "model_cfg.text_cfg.pool_type = \"argmax\" with no causal mask is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["text_cfg"]["tokenizer_kwargs"] = json!({"strip_sep_token": true}),
            "model_cfg.text_cfg.tokenizer_kwargs = {\"strip_sep_token\":true} is not supported",
        ),
        (
            "open_clip",
            &|c| c["model_cfg"]["text_cfg"]["mlp_ratio"] = json!(1e300),
            "the hidden width is 1000000000, it must be 1 to 262144",
        ),
        (
            "open_clip",
            &|c| c["preprocess_cfg"]["resize_mode"] = json!("longest"),
            "preprocess_cfg.resize_mode = \"longest\" is not supported",
        ),
        ("open_clip", &|c| c["preprocess_cfg"]["mean"] = json!([1, 2]), "preprocess_cfg.mean is [1,2]"),
        (
            "open_clip-siglip",
            &|c| c["model_cfg"]["vision_cfg"]["timm_proj"] = json!("linear"),
            "model_cfg.vision_cfg.timm_proj = \"linear\" is not supported",
        ),
    ];
    for (name, change, wanted) in cases {
        let text = open(name, change);
        assert!(text.ends_with(wanted), "{text}");
    }
}

#[test]
fn directories_without_weights() {
    let empty = tempfile::tempdir().unwrap();
    let text = error(empty.path()).to_string();
    assert_eq!(text, "there are no PyTorch weights: there is no config.json and no open_clip_config.json");
    std::fs::write(empty.path().join("config.json"), b"{}").unwrap();
    assert!(error(empty.path()).to_string().contains("there is no model.safetensors, no model.safetensors.index.json"));
    std::fs::create_dir(empty.path().join(FILE)).unwrap();
    assert_eq!(error(empty.path()).to_string(), "model.safetensors cannot be used: it is not a regular file");
    assert!(matches!(error(Path::new("/nonexistent")), Error::NoWeights { .. }));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Some bytes of the headers changed, at any place: read or refused, and nothing else.
    #[test]
    fn changed_bytes(pickle: bool, changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let (name, file) = if pickle { ("clip-pickle-2021", PICKLE) } else { ("clip", FILE) };
        let mut bytes = bytes(name, file);
        // The descriptions are at the start, of a container at its end too.
        let headers: Vec<usize> = (0..12_000).chain(bytes.len() - 12_000..bytes.len()).collect();
        for (index, byte) in &changes {
            bytes[headers[index.index(if pickle { headers.len() } else { 12_000 })]] = *byte;
        }
        let (copy, target) = (copy(name), tempfile::tempdir().unwrap());
        std::fs::write(copy.path().join(file), &bytes).unwrap();
        let _ = convert(copy.path(), target.path());
    }
}
