//! Which files of a source are the model in the wanted precision: a repository has up to nine times as much.

use crate::error::{Error, Result, show};
use crate::listing::RemoteFile;
use crate::name::is_safe_path;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Most bytes of a file of settings; the largest tokenizers have 34 MB.
const MAX_SETTINGS: u64 = 128 << 20;
/// Most bytes of a model.
const MAX_MODEL: u64 = 64 << 30;

/// The precisions of exports, the most exact first. What is not among them comes last.
const PRECISIONS: [&str; 9] = ["fp32", "fp16", "w8a8", "quantized", "int8", "uint8", "q4", "q4f16", "bnb4"];

/// Small files that say how a model is used, wherever the model's own files are.
const SETTINGS: [&str; 16] = [
    "added_tokens.json",
    "config.json",
    "config_sentence_transformers.json",
    "merges.txt",
    "model_config.json",
    "modules.json",
    "open_clip_config.json",
    "preprocess_cfg.json",
    "preprocessor_config.json",
    "processor_config.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
];
/// Vocabularies that a tokenizer.json beside them makes superfluous.
const SENTENCE_PIECES: [&str; 3] = ["sentencepiece.bpe.model", "spiece.model", "tokenizer.model"];
/// What people have to be able to read later.
const LEGAL: [&str; 6] = ["LICENSE", "LICENSE.md", "LICENSE.txt", "LICENCE", "NOTICE", "README.md"];
const FOLDERS: [&str; 6] = ["", "onnx/", "text/", "textual/", "vision/", "visual/"];

/// How a source arranges a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `text_model.onnx` and `vision_model.onnx`, in `onnx/` or at the root.
    TwoEncoders,
    /// `model.onnx` with the inputs of both encoders.
    SingleFile,
    /// `textual/model.onnx` and `visual/model.onnx`.
    Immich,
    /// `text.onnx` and `visual.onnx`.
    OpenClipOnnx,
    /// `text/model.onnx` and `vision/model.onnx`, each with its settings: two repositories.
    Pair,
    /// No ONNX, but the weights of PyTorch: safetensors or a pickle.
    Weights,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TwoEncoders => "two encoders",
            Self::SingleFile => "single file",
            Self::Immich => "textual and visual",
            Self::OpenClipOnnx => "text and visual",
            Self::Pair => "text and vision",
            Self::Weights => "PyTorch weights",
        })
    }
}

/// The files that are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// How they are arranged.
    pub layout: Layout,
    /// The precision, where the layout has names for it; two, where the encoders differ.
    pub precision: Option<String>,
    /// The files, the large ones first.
    pub files: Vec<RemoteFile>,
}

impl Selection {
    /// Bytes of all files whose size is known.
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.size).sum()
    }
}

/// Reads what somebody asked for: `None` and `auto` mean the most exact that there is.
///
/// # Errors
/// [`Error::InvalidPrecision`].
pub(crate) fn precision(asked: Option<&str>) -> Result<Option<&str>> {
    match asked {
        None | Some("auto" | "") => Ok(None),
        Some(name) if name.len() <= 20 && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9')) => {
            Ok(Some(name))
        }
        Some(other) => Err(Error::InvalidPrecision { precision: show(other) }),
    }
}

/// Chooses what is needed of the files of a source. ONNX is preferred to weights, safetensors to a pickle.
///
/// # Errors
/// [`Error::NoModel`], [`Error::SeveralModels`], [`Error::NoSuchPrecision`], [`Error::InvalidPrecision`],
/// [`Error::TooLarge`].
pub fn select(files: &[RemoteFile], asked: Option<&str>, source_name: &str) -> Result<Selection> {
    let asked = precision(asked)?;
    let known = files.iter().filter(|file| is_safe_path(&file.path)).map(|file| (file.path.as_str(), file)).collect();
    let chooser = Chooser { files: known, source_name };
    let (layout, precision, mut chosen) = chooser.model(asked)?;
    chosen.extend(chooser.settings());
    let mut files: Vec<RemoteFile> = chosen.into_iter().map(|path| chooser.files[path].clone()).collect();
    // What takes longest begins first.
    files.sort_by_key(|file| (std::cmp::Reverse(file.size), file.path.clone()));
    let selection = Selection { layout, precision, files };
    let found = selection.bytes();
    if found > MAX_MODEL {
        return Err(Error::TooLarge { source_name: source_name.to_owned(), unit: "bytes", found, max: MAX_MODEL });
    }
    Ok(selection)
}

struct Chooser<'a> {
    files: BTreeMap<&'a str, &'a RemoteFile>,
    source_name: &'a str,
}

type Chosen<'a> = (Layout, Option<String>, BTreeSet<&'a str>);

impl<'a> Chooser<'a> {
    fn model(&self, asked: Option<&str>) -> Result<Chosen<'a>> {
        let encoders = [
            (Layout::TwoEncoders, ("onnx/", "text_model"), ("onnx/", "vision_model")),
            (Layout::TwoEncoders, ("", "text_model"), ("", "vision_model")),
            (Layout::Pair, ("text/", "model"), ("vision/", "model")),
        ];
        for (layout, text_file, image_file) in encoders {
            let text = self.precisions(text_file.0, text_file.1);
            let image = self.precisions(image_file.0, image_file.1);
            if !text.is_empty() && !image.is_empty() {
                let (text, image) = self.pair(&text, &image, asked)?;
                let precision = if text == image { text.to_owned() } else { format!("{text}, {image}") };
                let files = [onnx(text_file.0, text_file.1, text), onnx(image_file.0, image_file.1, image)];
                return Ok((layout, Some(precision), self.with_data(&files)));
            }
        }
        let pairs = [
            (Layout::Immich, ["textual/model.onnx", "visual/model.onnx"]),
            (Layout::OpenClipOnnx, ["text.onnx", "visual.onnx"]),
        ];
        for (layout, pair) in pairs {
            if pair.iter().all(|path| self.files.contains_key(path)) {
                self.only_fp32(asked)?;
                return Ok((layout, None, self.with_data(&pair.map(str::to_owned))));
            }
        }
        for folder in ["onnx/", ""] {
            let found = self.precisions(folder, "model");
            if !found.is_empty() {
                let precision = self.one_of(&found, asked)?;
                let file = onnx(folder, "model", precision);
                return Ok((Layout::SingleFile, Some(precision.to_owned()), self.with_data(&[file])));
            }
        }
        if let Some(files) = self.weights() {
            self.only_fp32(asked)?;
            return Ok((Layout::Weights, None, files));
        }
        Err(self.nothing())
    }

    /// The precisions of `<folder><stem>[_<precision>].onnx`, the most exact first.
    fn precisions(&self, folder: &str, stem: &str) -> Vec<&'a str> {
        let precision = |path: &&'a str| {
            let rest = path.strip_prefix(folder)?.strip_prefix(stem)?.strip_suffix(".onnx")?;
            if rest.is_empty() { Some("fp32") } else { rest.strip_prefix('_').filter(|name| !name.contains('/')) }
        };
        let mut found: Vec<&str> = self.files.keys().filter_map(precision).collect();
        found.sort_by_key(|name| PRECISIONS.iter().position(|known| known == name).unwrap_or(PRECISIONS.len()));
        found
    }

    fn pair<'p>(&self, text: &[&'p str], image: &[&'p str], asked: Option<&str>) -> Result<(&'p str, &'p str)> {
        let both: Vec<&'p str> = text.iter().copied().filter(|name| image.contains(name)).collect();
        if asked.is_none() && both.is_empty() {
            return Ok((text[0], image[0]));
        }
        self.one_of(&both, asked).map(|name| (name, name))
    }

    fn one_of<'p>(&self, available: &[&'p str], asked: Option<&str>) -> Result<&'p str> {
        let found = match asked {
            None => available.first(),
            Some(asked) => available.iter().find(|name| **name == asked),
        };
        found.copied().ok_or_else(|| self.no_precision(asked, available))
    }

    fn only_fp32(&self, asked: Option<&str>) -> Result<()> {
        match asked {
            None | Some("fp32") => Ok(()),
            other => Err(self.no_precision(other, &["fp32"])),
        }
    }

    fn no_precision(&self, asked: Option<&str>, available: &[&str]) -> Error {
        Error::NoSuchPrecision {
            source_name: self.source_name.to_owned(),
            precision: asked.unwrap_or("fp32").to_owned(),
            available: available.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// ONNX files and the weights that lie beside them: `X.onnx_data`, `X.onnx_data_1`, `X.onnx.data`.
    fn with_data(&self, graphs: &[String]) -> BTreeSet<&'a str> {
        let belongs = |path: &&&'a str| {
            graphs.iter().filter_map(|graph| path.strip_prefix(graph.as_str())).any(|rest| {
                rest.is_empty() || ((rest.starts_with("_data") || rest.starts_with(".data")) && !rest.contains('/'))
            })
        };
        self.files.keys().filter(belongs).copied().collect()
    }

    /// The weights of PyTorch, in the best form that there is.
    fn weights(&self) -> Option<BTreeSet<&'a str>> {
        let has = |path| self.files.contains_key(path);
        let form = |path: &str| self.files.get_key_value(path).map(|(path, _)| BTreeSet::from([*path]));
        let shards = |index: &str, stem: &str, end: &str| {
            let index = *self.files.get_key_value(index)?.0;
            let is_shard = |path: &&&'a str| {
                let number = path.strip_prefix(stem).and_then(|rest| rest.strip_suffix(end));
                number.is_some_and(|rest| rest.contains("-of-") && !rest.contains('/'))
            };
            let mut files: BTreeSet<&str> = self.files.keys().filter(is_shard).copied().collect();
            files.insert(index);
            (files.len() > 1).then_some(files)
        };
        let transformers = || {
            form("model.safetensors")
                .or_else(|| shards("model.safetensors.index.json", "model-", ".safetensors"))
                .or_else(|| form("pytorch_model.bin"))
                .or_else(|| shards("pytorch_model.bin.index.json", "pytorch_model-", ".bin"))
        };
        let open_clip = |path| has("open_clip_config.json").then(|| form(path)).flatten();
        let safe = || open_clip("open_clip_model.safetensors");
        let pickle = || open_clip("open_clip_pytorch_model.bin");
        let first = has("config.json").then(transformers).flatten();
        // A pickle of one package does not go before the safetensors of the other.
        match first {
            Some(files) if files.iter().any(|path| path.ends_with(".safetensors")) => Some(files),
            first => safe().or(first).or_else(pickle),
        }
    }

    fn settings(&self) -> Vec<&'a str> {
        let wanted = |path: &&'a str| {
            let (folder, name) = path.rfind('/').map_or(("", *path), |slash| path.split_at(slash + 1));
            let piece =
                SENTENCE_PIECES.contains(&name) && !self.files.contains_key(&*format!("{folder}tokenizer.json"));
            let legal = ["", "text/", "vision/"].contains(&folder) && LEGAL.contains(&name);
            let small = self.files[path].size.is_none_or(|size| size <= MAX_SETTINGS);
            FOLDERS.contains(&folder) && small && (SETTINGS.contains(&name) || piece || legal)
        };
        self.files.keys().copied().filter(wanted).collect()
    }

    fn nothing(&self) -> Error {
        let source_name = self.source_name.to_owned();
        let folder = |path: &&'a str| {
            let folder = path.strip_suffix("/text_model.onnx")?;
            Some(folder.strip_prefix("onnx/").unwrap_or(folder)).filter(|folder| !folder.contains('/'))
        };
        let with_weights = |path: &&'a str| {
            let folder =
                ["/model.safetensors", "/pytorch_model.bin"].iter().find_map(|file| path.strip_suffix(file))?;
            let is_model = !folder.contains('/') && self.files.contains_key(&*format!("{folder}/config.json"));
            is_model.then_some(folder)
        };
        let folders: BTreeSet<&str> =
            self.files.keys().filter_map(|path| folder(path).or_else(|| with_weights(path))).collect();
        if !folders.is_empty() {
            return Error::SeveralModels { source_name, folders: folders.into_iter().map(str::to_owned).collect() };
        }
        let onnx: Vec<&str> = self.files.keys().copied().filter(|path| path.ends_with(".onnx")).take(3).collect();
        let reason = match (self.files.is_empty(), onnx.is_empty()) {
            (true, _) => "it is empty".to_owned(),
            (false, true) => "it has no ONNX file, and no config.json with weights".to_owned(),
            (false, false) => format!("its ONNX files are named otherwise ({})", onnx.join(", ")),
        };
        Error::NoModel { source_name, reason }
    }
}

fn onnx(folder: &str, stem: &str, precision: &str) -> String {
    match precision {
        "fp32" => format!("{folder}{stem}.onnx"),
        other => format!("{folder}{stem}_{other}.onnx"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn try_chosen(paths: &[&str], precision: Option<&str>) -> Result<(Layout, Option<String>, Vec<String>)> {
        let file = |path: &&str| RemoteFile::new((*path).to_owned(), Some(1), None);
        let files: Vec<RemoteFile> = paths.iter().map(file).collect();
        let Selection { layout, precision, files } = select(&files, precision, "a/b")?;
        Ok((layout, precision, files.into_iter().map(|file| file.path).collect()))
    }

    fn chosen(paths: &[&str], precision: Option<&str>) -> (Layout, Option<String>, Vec<String>) {
        try_chosen(paths, precision).unwrap_or_else(|error| panic!("{paths:?}: {error}"))
    }

    fn check(paths: &[&str], precision: Option<&str>, layout: Layout, found: &str, wanted: &[&str]) {
        let (chosen_layout, chosen_precision, files) = chosen(paths, precision);
        assert_eq!((chosen_layout, chosen_precision.as_deref().unwrap_or("")), (layout, found), "{paths:?}");
        assert_eq!(files, wanted, "{paths:?}");
    }

    const XENOVA: [&str; 15] = [
        ".gitattributes",
        "README.md",
        "config.json",
        "merges.txt",
        "onnx/model.onnx",
        "onnx/model_fp16.onnx",
        "onnx/text_model.onnx",
        "onnx/text_model_fp16.onnx",
        "onnx/text_model_q4.onnx",
        "onnx/vision_model.onnx",
        "onnx/vision_model_fp16.onnx",
        "preprocessor_config.json",
        "quantize_config.json",
        "tokenizer.json",
        "vocab.json",
    ];

    #[test]
    fn two_encoders_in_one_precision() {
        let settings = ["preprocessor_config.json", "tokenizer.json", "vocab.json"];
        let begin = ["README.md", "config.json", "merges.txt"];
        for (asked, name, suffix) in [(None, "fp32", ""), (Some("auto"), "fp32", ""), (Some("fp16"), "fp16", "_fp16")] {
            let onnx = [format!("onnx/text_model{suffix}.onnx"), format!("onnx/vision_model{suffix}.onnx")];
            let wanted: Vec<&str> = begin.into_iter().chain(onnx.iter().map(String::as_str)).chain(settings).collect();
            check(&XENOVA, asked, Layout::TwoEncoders, name, &wanted);
        }
        let Err(Error::NoSuchPrecision { precision, available, .. }) = try_chosen(&XENOVA, Some("q4")) else {
            panic!()
        };
        assert_eq!((precision.as_str(), available), ("q4", vec!["fp32".to_owned(), "fp16".to_owned()]));
        for bad in ["FP16", "../x", "fp16\0", "a/b", "x".repeat(30).as_str()] {
            assert!(matches!(try_chosen(&XENOVA, Some(bad)), Err(Error::InvalidPrecision { .. })), "{bad}");
        }
    }

    #[test]
    fn encoders_of_different_precision_where_there_is_no_other() {
        let paths = ["onnx/text_model_fp16.onnx", "onnx/vision_model_int8.onnx", "onnx/vision_model_q4.onnx"];
        check(&paths, None, Layout::TwoEncoders, "fp16, int8", &paths[..2]);
    }

    #[test]
    fn external_data_belongs_to_its_graph() {
        let paths = [
            "text_model.onnx",
            "text_model.onnx_data",
            "text_model.onnx_data_1",
            "vision_model.onnx",
            "vision_model.onnx.data",
            "vision_model.onnx2",
            "vision_model_fp16.onnx_data",
        ];
        check(&paths, None, Layout::TwoEncoders, "fp32", &paths[..5]);
    }

    #[test]
    fn other_layouts() {
        let single = ["config.json", "model.onnx", "model.onnx_data", "model_fp16.onnx"];
        check(&single, None, Layout::SingleFile, "fp32", &single[..3]);
        check(&single, Some("fp16"), Layout::SingleFile, "fp16", &["config.json", "model_fp16.onnx"]);
        let immich = [
            "config.json",
            "textual/fp16/model.armnn",
            "textual/model.onnx",
            "textual/tokenizer.json",
            "visual/model.onnx",
            "visual/preprocess_cfg.json",
            "visual/rknpu/rk3566/model.rknn",
        ];
        let wanted = [immich[0], immich[2], immich[3], immich[4], immich[5]];
        check(&immich, None, Layout::Immich, "", &wanted);
        assert!(matches!(try_chosen(&immich, Some("fp16")), Err(Error::NoSuchPrecision { .. })));
        let open_clip = ["model_config.json", "open_clip_config.json", "text.onnx", "visual.onnx", "visual.onnx.data"];
        check(&open_clip, None, Layout::OpenClipOnnx, "", &open_clip);
    }

    #[test]
    fn a_pair_with_settings_of_both() {
        let pair = [
            "text/README.md",
            "text/config.json",
            "text/model.onnx",
            "text/model.onnx_data",
            "text/tokenizer.json",
            "vision/config.json",
            "vision/model.onnx",
            "vision/preprocessor_config.json",
        ];
        check(&pair, None, Layout::Pair, "fp32", &pair);
        let other = ["text/model_fp16.onnx", "vision/model.onnx", "vision/model_int8.onnx"];
        check(&other, None, Layout::Pair, "fp16, fp32", &other[..2]);
        assert!(matches!(try_chosen(&other, Some("int8")), Err(Error::NoSuchPrecision { .. })));
        assert!(matches!(try_chosen(&pair[..5], None), Err(Error::NoModel { .. })));
    }

    #[test]
    fn weights_in_their_best_form() {
        let check = |paths: &[&str], wanted: &[&str]| check(paths, None, Layout::Weights, "", wanted);
        let all = ["config.json", "flax_model.msgpack", "model.safetensors", "pytorch_model.bin", "tf_model.h5"];
        check(&all, &["config.json", "model.safetensors"]);
        check(&["config.json", "pytorch_model.bin"], &["config.json", "pytorch_model.bin"]);
        let sharded = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "pytorch_model.bin",
        ];
        check(&sharded, &sharded[..4]);
        let open_clip = ["open_clip_config.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin"];
        check(&open_clip, &open_clip[..2]);
        let both = ["config.json", "open_clip_config.json", "open_clip_model.safetensors", "pytorch_model.bin"];
        check(&both, &both[..3]);
        let without = ["model.safetensors"];
        assert!(matches!(try_chosen(&without, None), Err(Error::NoModel { .. })));
    }

    #[test]
    fn sentence_pieces_only_without_a_tokenizer() {
        let onnx = ["text_model.onnx", "vision_model.onnx"];
        let (_, _, files) = chosen(&[&onnx[..], &["spiece.model", "tokenizer.json"]].concat(), None);
        assert!(!files.contains(&"spiece.model".to_owned()));
        let (_, _, files) = chosen(&[&onnx[..], &["spiece.model"]].concat(), None);
        assert!(files.contains(&"spiece.model".to_owned()));
    }

    #[test]
    fn paths_that_lead_out_are_not_taken() {
        let paths =
            ["../text_model.onnx", "/etc/config.json", "onnx/../config.json", "text_model.onnx", "vision_model.onnx"];
        check(&paths, None, Layout::TwoEncoders, "fp32", &paths[3..]);
    }

    #[test]
    fn what_there_is_instead_is_told() {
        let message = |paths: &[&str]| try_chosen(paths, None).unwrap_err().to_string();
        assert!(message(&[]).contains("it is empty"));
        assert!(message(&["a.txt"]).contains("no ONNX file"));
        assert!(message(&["clip.onnx"]).contains("clip.onnx"));
        assert!(message(&["onnx/s0/text_model.onnx", "onnx/s2/text_model.onnx"]).contains("s0, s2"));
        // As sentence-transformers has it.
        assert!(message(&["0_CLIPModel/config.json", "0_CLIPModel/model.safetensors"]).ends_with(": 0_CLIPModel"));
    }
}
