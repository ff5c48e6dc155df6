//! The files of a model directory, put together as the target takes them apart.

use serde_json::{Value, json};

use super::Seed;
use crate::golden;
use crate::model::FILES;

/// The golden model's files, one by one and together; small ones of other models; ones that are not as they should be.
pub fn models() -> Vec<Seed> {
    let mut seeds = vec![("golden".to_owned(), Vec::new())];
    let files: Vec<Vec<u8>> =
        FILES.iter().map(|file| std::fs::read(golden::model_dir().join(file)).unwrap_or_default()).collect();
    for (position, bytes) in files.iter().enumerate() {
        seeds.push((FILES[position].to_owned(), at(position, bytes)));
        seeds.push((format!("half-{}", FILES[position]), at(position, &bytes[..bytes.len() / 2])));
    }
    seeds.push(("all".to_owned(), files.join(&0)));
    let jsons = |position: usize, prefix: &str, values: Vec<Value>| {
        let seed = |(i, value): (usize, Value)| (format!("{prefix}-{i}"), at(position, value.to_string().as_bytes()));
        values.into_iter().enumerate().map(seed).collect::<Vec<Seed>>()
    };
    seeds.extend(jsons(0, "config", configs()));
    seeds.extend(jsons(1, "preprocessor", preprocessors()));
    seeds.extend(jsons(2, "tokenizer", tokenizers()));
    let names = json!({"bos_token": {"content": "a"}, "eos_token": "b", "pad_token": null});
    seeds.extend(jsons(3, "names", vec![names.clone()]));
    seeds.extend(jsons(4, "map", vec![names]));
    let nested = ["[".repeat(20_000), "{\"a\":".repeat(5_000), format!("{{\"model\":{}", "[".repeat(20_000))];
    for (position, text) in nested.into_iter().enumerate() {
        seeds.push((format!("nested-{position}"), at(position, text.as_bytes())));
    }
    seeds
}

/// The bytes of one file, with the golden model's for the others.
fn at(position: usize, bytes: &[u8]) -> Vec<u8> {
    let mut input = vec![0; position];
    input.extend(bytes);
    input
}

fn configs() -> Vec<Value> {
    let siglip = json!({"image_size": 48});
    vec![
        json!({}),
        json!({"model_type": "siglip", "vision_config": siglip, "text_config": {"hidden_size": 8}}),
        json!({"model_type": "x", "projection_dim": 65536, "text_config": {"max_position_embeddings": 4096}}),
        json!({"vision_config": {"image_size": [48, 48]}, "logit_scale": 1e308, "text_config": {"bos_token_id": 7}}),
        json!({"text_config_dict": {"max_position_embeddings": 3}, "vision_config_dict": {"image_size": 48}}),
        json!({"logit_scale": -1, "projection_dim": 1e300, "text_config": {"eos_token_id": [1, 2]}}),
    ]
}

fn preprocessors() -> Vec<Value> {
    let size = |key: &str, value: f64| json!({"size": 48, "crop_size": 48, key: value});
    vec![
        size("rescale_factor", 1e300),
        size("image_mean", 3e38),
        size("image_std", 2e-38),
        json!({"size": {"height": 48, "width": 48}, "do_center_crop": false, "resample": 0}),
        json!({"size": {"shortest_edge": 1}, "crop_size": [48, 48], "do_rescale": false, "do_normalize": false}),
        json!({"size": {"shortest_edge": 4096}, "crop_size": {"height": 48, "width": 48}, "resample": 1}),
        json!({"image_processor_type": "SiglipImageProcessor", "size": [48, 48], "image_std": [1, 2, 3], "resample": 5}),
        json!({"do_resize": false, "crop_size": {"shortest_edge": 48}, "resample": 4, "image_mean": [0, 0, 0]}),
    ]
}

/// One small tokenizer for each kind of model, with each kind of the other parts.
fn tokenizers() -> Vec<Value> {
    let vocabulary = json!({"<unk>": 0, "a": 1, "b": 2, "ab": 3, "p": 4, "h": 5});
    let bpe = json!({"type": "BPE", "vocab": vocabulary, "merges": ["a b"], "unk_token": "<unk>",
        "end_of_word_suffix": "</w>", "fuse_unk": true, "byte_fallback": true, "dropout": 0.5});
    let words = json!({"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"});
    let pieces = json!({"type": "WordPiece", "vocab": vocabulary, "unk_token": "<unk>", "continuing_subword_prefix": "##",
        "max_input_chars_per_word": 10});
    let unigram = json!({"type": "Unigram", "unk_id": 0, "vocab": [["<unk>", 0.0], ["a", -1.5], ["b", -2.0]]});
    let part = |model: &Value, key: &str, value: Value| {
        let mut file = json!({"version": "1.0", "added_tokens": [], "model": model});
        file[key] = value;
        file
    };
    let added = json!([{"id": 6, "content": "ph", "single_word": true, "lstrip": true, "rstrip": true,
        "normalized": true, "special": false}]);
    let template = json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}],
        "special_tokens": {"a": {"id": "a", "ids": [1, 2], "tokens": ["a", "b"]}}});
    let bert = json!({"type": "BertProcessing", "sep": ["a", 1], "cls": ["b", 2]});
    let normalizers = json!({"type": "Sequence", "normalizers": [{"type": "NFKD"}, {"type": "StripAccents"},
        {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Prepend", "prepend": "_"},
        {"type": "Replace", "pattern": {"String": "a"}, "content": "aa"}, {"type": "ByteLevel"}]});
    let charsmap = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
    let splits = json!({"type": "Sequence", "pretokenizers": [{"type": "BertPreTokenizer"}, {"type": "Whitespace"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        {"type": "Digits", "individual_digits": true}, {"type": "Punctuation", "behavior": "Isolated"},
        {"type": "CharDelimiterSplit", "delimiter": "x"}, {"type": "UnicodeScripts"},
        {"type": "Split", "pattern": {"Regex": "(a|aa)+$"}, "behavior": "MergedWithNext", "invert": false}]});
    vec![
        part(&bpe, "added_tokens", added.clone()),
        part(&bpe, "normalizer", normalizers),
        part(&words, "pre_tokenizer", splits),
        part(&pieces, "post_processor", template),
        part(&pieces, "post_processor", bert),
        part(&unigram, "normalizer", charsmap),
        part(&unigram, "added_tokens", added),
        part(
            &unigram,
            "truncation",
            json!({"max_length": 0, "stride": 9, "strategy": "LongestFirst", "direction": "Left"}),
        ),
        part(
            &words,
            "padding",
            json!({"strategy": {"Fixed": 4_000_000_000_u32}, "direction": "Right", "pad_id": 9,
            "pad_to_multiple_of": 0, "pad_type_id": 0, "pad_token": "!"}),
        ),
    ]
}
