//! `clip-search-server models`, as a shell and as a backend run it, with models from a played hub.

use played_hub::{Fault, File, Hub};
use protocol::{InstalledModel, ModelLine, VerifiedModel};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const NAME: &str = "golden/small";
const TEXT: &str = "onnx/text_model.onnx";

fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn golden() -> PathBuf {
    workspace().join("tests/golden/models").join(NAME)
}

/// A hub with the model of the golden tests, and a folder to install into.
struct Place {
    hub: Hub,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let hub = Hub::start();
        hub.publish_folder(NAME, &golden());
        Self { hub, folder: tempfile::tempdir().unwrap() }
    }

    fn models(&self) -> PathBuf {
        self.folder.path().join("models")
    }

    fn model(&self) -> PathBuf {
        self.models().join(NAME)
    }

    fn command(&self, what: &[&str]) -> Command {
        let library = std::env::var_os("CLIP_SEARCH_ONNXRUNTIME_LIBRARY")
            .map_or_else(|| workspace().join("target/setup/onnxruntime/libonnxruntime.so"), PathBuf::from);
        let mut command = Command::new(env!("CARGO_BIN_EXE_clip-search-server"));
        command.arg("models").args(what).arg("--model-dir").arg(self.models());
        match what[0] {
            "install" => command.arg("--endpoint").arg(self.hub.endpoint()).arg("--onnxruntime-library").arg(library),
            "verify" | "quantize" => command.arg("--onnxruntime-library").arg(library),
            _ => &mut command,
        };
        command.env_remove("HF_TOKEN").stdin(Stdio::null());
        command
    }

    /// The exit status and the lines.
    fn json(&self, what: &[&str]) -> (Option<i32>, Vec<ModelLine>) {
        let output = self.command(what).arg("--json").output().unwrap();
        (output.status.code(), lines(&output))
    }

    fn install(&self) -> InstalledModel {
        match self.json(&["install", NAME]) {
            (Some(0), mut lines) => match lines.pop() {
                Some(ModelLine::Installed(model) | ModelLine::Unchanged(model)) => model,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    fn verify(&self) -> (Option<i32>, VerifiedModel) {
        let (status, mut lines) = self.json(&["verify", NAME]);
        match lines.pop() {
            Some(ModelLine::Verified(model)) => (status, model),
            other => panic!("{other:?}"),
        }
    }
}

fn lines(output: &Output) -> Vec<ModelLine> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"))).collect()
}

fn error(lines: &[ModelLine]) -> (&str, &str, &str) {
    match lines.last() {
        Some(ModelLine::Error { class, message, hint }) => (class, message, hint.as_deref().unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn installed_proven_verified_and_removed() {
    let place = Place::new();
    let (status, lines) = place.json(&["install", NAME]);
    assert_eq!(status, Some(0), "{lines:?}");
    assert!(matches!(&lines[0], ModelLine::Selected { license: Some(license), .. } if license == "mit"), "{lines:?}");
    assert!(lines.contains(&ModelLine::Proving), "{lines:?}");
    let Some(ModelLine::Installed(model)) = lines.last() else { panic!("{lines:?}") };
    assert_eq!((model.dimension, model.precision.as_deref(), model.replaced), (Some(32), Some("fp32"), false));
    assert!(matches!(place.json(&["install", NAME]).1[..], [ModelLine::Unchanged(_)]));

    let (status, verified) = place.verify();
    assert_eq!((status, verified.ok, verified.identical), (Some(0), true, Some(true)), "{verified:?}");
    assert!(verified.text_cosine.unwrap() > 0.999_999 && verified.files > 3, "{verified:?}");

    let (status, lines) = place.json(&["list"]);
    let [ModelLine::Model { name, dimension: Some(32), error: None, source: Some(source), .. }] = &lines[..] else {
        panic!("{lines:?}")
    };
    assert_eq!((status, name.as_str(), source.as_str()), (Some(0), NAME, NAME));

    assert_eq!(place.json(&["remove", NAME]).0, Some(0));
    assert!(!place.model().exists());
    let (status, lines) = place.json(&["remove", NAME]);
    assert_eq!((status, error(&lines).0), (Some(1), "not-found"));
}

/// Files whose names begin so, in the folder of the model's owner and below.
fn found(folder: &Path, start: &str) -> usize {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let count = |entry: fs::DirEntry| {
        let below = if entry.path().is_dir() { found(&entry.path(), start) } else { 0 };
        below + usize::from(entry.file_name().to_string_lossy().starts_with(start))
    };
    entries.map(count).sum()
}

#[test]
fn quantized_as_part_of_the_model() {
    let place = Place::new();
    let (status, failed) = place.json(&["quantize", NAME]);
    assert_eq!((status, error(&failed).0), (Some(1), "not-found"));
    place.install();
    let owner = place.model().parent().unwrap().to_owned();
    // What somebody who was killed has left is deleted.
    fs::create_dir_all(owner.join(".small.work/left")).unwrap();
    for _ in 0..2 {
        let (status, lines) = place.json(&["quantize", NAME]);
        let Some(ModelLine::Quantized(quantized)) = lines.last() else { panic!("{lines:?}") };
        assert_eq!((status, quantized.text.count, quantized.image.count), (Some(0), 64, 64));
        for near in [quantized.text, quantized.image] {
            assert!((0.99..0.999_99).contains(&near.lowest) && near.median > 0.999, "{near:?}");
        }
        let steps =
            lines.iter().filter(|line| matches!(line, ModelLine::Calibrating { .. } | ModelLine::Measuring { .. }));
        assert_eq!(steps.count(), 4);
        assert!(!owner.join(".small.work").exists() && found(&owner, ".new-") == 0);
        let (status, verified) = place.verify();
        assert_eq!((status, verified.ok, verified.identical), (Some(0), true, Some(true)), "{verified:?}");
    }
    let [ModelLine::Model { precisions, error: None, .. }] = &place.json(&["list"]).1[..] else { panic!() };
    assert_eq!(precisions, &["fp32", "w8a8"]);
    // What was added belongs to the model: the same revision is still the same, and a file that is lost is missed.
    assert!(matches!(place.json(&["install", NAME]).1[..], [ModelLine::Unchanged(_)]));
    fs::remove_file(place.model().join("onnx/vision_model_w8a8.onnx")).unwrap();
    assert_eq!(place.verify().1.damaged, ["onnx/vision_model_w8a8.onnx is missing"]);
    assert_eq!(place.json(&["remove", NAME]).0, Some(0));
}

#[test]
fn models_that_cannot_be_quantized() {
    let place = Place::new();
    let layouts = workspace().join("tests/golden/layouts/models");
    for (folder, name) in [("clip/single", "layouts/single"), ("siglip/base", "layouts/siglip")] {
        let source = layouts.join(folder);
        let (status, lines) = place.json(&["install", source.to_str().unwrap(), "--as-name", name]);
        assert_eq!(status, Some(0), "{lines:?}");
    }
    let (status, lines) = place.json(&["quantize", "layouts/single"]);
    assert_eq!((status, error(&lines).0), (Some(3), "unusable"));
    assert!(error(&lines).1.contains("both encoders in one graph"), "{lines:?}");

    // Of random weights so large that its attention is a switch.
    let (status, lines) = place.json(&["quantize", "layouts/siglip"]);
    assert_eq!((status, error(&lines).0), (Some(3), "unusable"));
    assert!(error(&lines).1.contains("too far") && error(&lines).2.contains("--force"), "{lines:?}");
    assert_eq!(found(&place.models(), "text_model_w8a8"), 0);
    assert_eq!(found(&place.models(), ".siglip"), 0, "nothing is left");
    let (status, lines) = place.json(&["quantize", "layouts/siglip", "--force"]);
    let Some(ModelLine::Quantized(quantized)) = lines.last() else { panic!("{lines:?}") };
    assert!(status == Some(0) && quantized.text.lowest < 0.98, "{quantized:?}");
    assert_eq!(found(&place.models(), "text_model_w8a8"), 1);

    // Nothing of 32 bits.
    let model = place.models().join("layouts/siglip/onnx");
    fs::rename(model.join("text_model.onnx"), model.join("text_model_fp16.onnx")).unwrap();
    let (status, lines) = place.json(&["quantize", "layouts/siglip"]);
    assert_eq!(status, Some(3), "{lines:?}");
    assert!(error(&lines).1.contains("no fp32 files"), "{lines:?}");
}

#[test]
fn a_file_that_was_changed_is_found() {
    let place = Place::new();
    place.install();
    let path = place.model().join("preprocessor_config.json");
    let text = fs::read_to_string(&path).unwrap();
    // Still a model, with other vectors of images.
    fs::write(&path, text.replace("0.4", "0.9")).unwrap();
    let (status, verified) = place.verify();
    assert_eq!((status, verified.ok, verified.identical), (Some(3), false, Some(false)), "{verified:?}");
    assert_eq!(verified.damaged, ["preprocessor_config.json has another content"]);
    assert!(verified.text_cosine.unwrap() > 0.999_99 && verified.image_cosine.unwrap() < 0.9999, "{verified:?}");
    fs::remove_file(place.model().join(TEXT)).unwrap();
    let (status, verified) = place.verify();
    assert!(verified.damaged.contains(&format!("{TEXT} is missing")) && verified.error.is_some(), "{verified:?}");
    assert_eq!((status, verified.ok, verified.text_cosine), (Some(3), false, None));
}

#[test]
fn a_model_that_was_not_installed_is_run_and_compared_with_nothing() {
    let place = Place::new();
    fs::create_dir_all(place.models().join("golden")).unwrap();
    assert!(Command::new("cp").arg("-r").arg(golden()).arg(place.model()).status().unwrap().success());
    let (status, verified) = place.verify();
    assert_eq!((status, verified.ok, verified.files, verified.text_cosine), (Some(0), true, 0, None), "{verified:?}");
}

#[test]
fn a_model_that_does_not_work_is_not_swapped_in() {
    let place = Place::new();
    place.install();
    let other = tempfile::tempdir().unwrap();
    assert!(Command::new("cp").arg("-r").arg(golden()).arg(other.path().join("m")).status().unwrap().success());
    let folder = other.path().join("m");
    fs::write(folder.join(TEXT), "no graph").unwrap();
    place.hub.publish_folder(NAME, &folder);
    let (status, lines) = place.json(&["install", NAME]);
    let (class, message, hint) = error(&lines);
    assert_eq!((status, class), (Some(3), "unusable"), "{message}");
    assert!(message.contains("text_model.onnx") && !hint.is_empty(), "{message} {hint}");
    let (status, verified) = place.verify();
    assert_eq!((status, verified.identical), (Some(0), Some(true)), "the old revision is there and whole");
    let left: Vec<_> = fs::read_dir(place.models().join("golden")).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "nothing else is: {left:?}");
}

#[test]
fn without_a_runtime_the_download_is_kept() {
    let place = Place::new();
    let mut command = place.command(&["install", NAME]);
    // The option that comes last counts.
    let output = command.args(["--json", "--device", "cpu"]).env("X", "").output().unwrap();
    assert!(output.status.success());
    place.json(&["remove", NAME]);
    let models = place.models();
    let mut command = Command::new(env!("CARGO_BIN_EXE_clip-search-server"));
    command.args(["models", "install", NAME, "--json", "--endpoint", &place.hub.endpoint(), "--model-dir"]).arg(models);
    let output = command.args(["--onnxruntime-library", "/no/such/library.so"]).output().unwrap();
    let lines = lines(&output);
    let (class, message, hint) = error(&lines);
    assert_eq!((output.status.code(), class), (Some(1), "io"), "{message}");
    assert!(hint.contains("onnxruntime_library"), "{hint}");
    place.hub.forget();
    place.install();
    assert_eq!(place.hub.seen().len(), 1, "only the listing: {:?}", place.hub.seen());
}

#[test]
fn killed_in_the_middle_it_leaves_nothing_half_installed_and_goes_on() {
    let place = Place::new();
    let size = fs::metadata(golden().join(TEXT)).unwrap().len();
    let half = (size / 2) as usize;
    place.hub.fault(TEXT, Fault::Stall(half, Duration::from_secs(60)));
    let mut child = place.command(&["install", NAME]).arg("--json").stdout(Stdio::null()).spawn().unwrap();
    let parts = place.models().join("golden/.small.new/.parts");
    let has_half = || {
        let parts = fs::read_dir(&parts).into_iter().flatten().flatten();
        parts.filter_map(|part| part.metadata().ok()).any(|about| about.len() == half as u64)
    };
    until("half of the file is there", has_half);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!place.model().exists() && matches!(&place.json(&["list"]).1[..], []), "nothing is installed");
    place.hub.forget();
    place.install();
    let resumed = format!("range: bytes={half}-");
    assert!(place.hub.seen().iter().any(|seen| seen.head.contains(&resumed)), "{:?}", place.hub.seen());
    assert_eq!(place.verify().0, Some(0));
}

#[test]
fn a_child_of_a_backend_ends_with_it() {
    let place = Place::new();
    place.hub.fault(TEXT, Fault::Stall(0, Duration::from_secs(60)));
    let mut command = place.command(&["install", NAME]);
    let mut child =
        command.args(["--json", "--supervised"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    until("it downloads", || place.hub.seen().iter().any(|seen| seen.path.contains("text_model")));
    drop(child.stdin.take());
    let status = child.wait().unwrap();
    // No signal: the postmaster may be the one that reaps it.
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_token_comes_from_a_file_or_the_environment() {
    let place = Place::new();
    place.hub.restrict(NAME, "hf_secret");
    let (status, lines) = place.json(&["install", NAME]);
    assert_eq!((status, error(&lines).0), (Some(1), "access-denied"));
    let file = place.folder.path().join("token");
    fs::write(&file, "hf_wrong\n").unwrap();
    let (_, lines) = place.json(&["install", NAME, "--token-file", file.to_str().unwrap()]);
    assert_eq!(error(&lines).0, "access-denied");
    assert!(!format!("{lines:?}").contains("hf_wrong"));
    fs::write(&file, "hf_secret\n").unwrap();
    assert_eq!(place.json(&["install", NAME, "--token-file", file.to_str().unwrap()]).0, Some(0));
    place.json(&["remove", NAME]);
    let output = place.command(&["install", NAME]).env("HF_TOKEN", "hf_secret").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("installed golden/small: 32 dimensions"), "{output:?}");
}

#[test]
fn calls_that_make_no_sense() {
    let place = Place::new();
    for (what, status) in [
        (&["install", "no name"][..], 2),
        (&["install", "~/model"], 2),
        (&["install", NAME, "--revision", "../.."], 2),
        (&["install", NAME, "--precision", "FP 16"], 2),
        (&["install", NAME, "--as-name", "../x"], 2),
        (&["install", NAME, "--precision", "q4"], 1),
        (&["verify", "no/such"], 1),
        (&["remove", "../.."], 2),
        (&["install"], 2),
        (&["uninstall", NAME], 2),
    ] {
        let output = place.command(what).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{what:?}: {output:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{what:?}: {output:?}");
    }
    for folder in [None, Some("~/models")] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clip-search-server"));
        command.args(["models", "list"]).args(folder.map(|folder| format!("--model-dir={folder}")));
        assert_eq!(command.env_remove("CLIP_SEARCH_MODEL_DIR").output().unwrap().status.code(), Some(2));
    }
    // Without a command it is the server.
    let output = Command::new(env!("CARGO_BIN_EXE_clip-search-server")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--socket"));
}

#[test]
fn what_lies_there_and_cannot_be_used() {
    let place = Place::new();
    let weights = vec![File::small("config.json", "{}"), File::large("pytorch_model.bin", vec![0; 10])];
    place.hub.publish("only/weights", weights);
    let (status, lines) = place.json(&["install", "only/weights"]);
    assert_eq!((status, error(&lines).0), (Some(3), "unusable"));
    assert_eq!(error(&lines).1, "only/weights has neither tokenizer.json nor vocab.json with merges.txt");
    assert!(!place.models().join("only").join("weights").exists() && !error(&lines).2.is_empty(), "{lines:?}");
    for (name, file, content) in [
        ("hand/weights", "model.safetensors", "x"),
        ("hand/pointer", "onnx/text_model.onnx", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
    ] {
        let path = place.models().join(name).join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let (_, lines) = place.json(&["list"]);
    let errors: Vec<(&str, &str)> = lines
        .iter()
        .map(|line| match line {
            ModelLine::Model { name, error: Some(error), .. } => (name.as_str(), error.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = [
        ("hand/pointer", "onnx/text_model.onnx is a Git LFS pointer, not the file itself"),
        ("hand/weights", "it has PyTorch weights only (model.safetensors), and no ONNX files"),
    ];
    assert_eq!(errors, expected);
}

/// Words of the probe set, for a model of 80 tokens.
fn tokenizer() -> String {
    let words =
        "[UNK] a dog blue photo of cat on red sofa two people ride bicycles along the beach at sunset black and white";
    let mut vocabulary: serde_json::Map<_, _> =
        words.split(' ').enumerate().map(|(id, word)| (word.to_owned(), id.into())).collect();
    vocabulary.extend([("<end>".to_owned(), 41.into()), ("<start>".to_owned(), 78.into())]);
    let special = |id: u32, content: &str| {
        serde_json::json!({
            "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            "special": true
        })
    };
    serde_json::json!({
        "version": "1.0", "truncation": null, "padding": null, "decoder": null,
        "added_tokens": [special(41, "<end>"), special(78, "<start>")],
        "normalizer": { "type": "Lowercase" },
        "pre_tokenizer": { "type": "Whitespace" },
        "post_processor": { "type": "BertProcessing", "sep": ["<end>", 41], "cls": ["<start>", 78] },
        "model": { "type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]" }
    })
    .to_string()
}

#[test]
fn weights_of_pytorch_are_converted() {
    let place = Place::new();
    let source = place.folder.path().join("source");
    let weights = workspace().join("crates/weights/tests/golden/models/clip");
    assert!(Command::new("cp").arg("-r").arg(weights).arg(&source).status().unwrap().success());
    let preprocessor = fs::read_to_string(golden().join("preprocessor_config.json")).unwrap();
    fs::write(source.join("preprocessor_config.json"), preprocessor.replace("48", "32")).unwrap();
    let install = ["install", source.to_str().unwrap(), "--as-name", NAME];
    // Refused before it is converted.
    let (status, lines) = place.json(&install);
    let (class, message, hint) = error(&lines);
    assert_eq!((status, class), (Some(3), "unusable"), "{message}");
    assert!(
        message.ends_with("has neither tokenizer.json nor vocab.json with merges.txt") && !hint.is_empty(),
        "{message} {hint}"
    );
    assert!(!lines.contains(&ModelLine::Proving) && !place.model().exists());

    fs::write(source.join("tokenizer.json"), tokenizer()).unwrap();
    let (status, lines) = place.json(&install);
    assert_eq!(status, Some(0), "{lines:?}");
    assert!(lines.contains(&ModelLine::Converting), "{lines:?}");
    let Some(ModelLine::Installed(model)) = lines.last() else { panic!("{lines:?}") };
    assert_eq!((model.dimension, model.precision.as_deref()), (Some(20), Some("fp32")));
    assert!(place.model().join(TEXT).is_file() && place.model().join("onnx/vision_model.onnx").is_file());
    assert!(source.join("model.safetensors").is_file() && !place.model().join("model.safetensors").exists());
    let config = |folder: &Path| -> serde_json::Value {
        serde_json::from_str(&fs::read_to_string(folder.join("config.json")).unwrap()).unwrap()
    };
    assert!(config(&source).get("logit_scale").is_none());
    assert!(config(&place.model())["logit_scale"].as_f64().unwrap() > 1.0, "it is in the weights");

    // Files that were made, or changed, count as they are now.
    let (status, verified) = place.verify();
    assert_eq!((status, verified.ok, verified.identical), (Some(0), true, Some(true)), "{verified:?}");
    assert!(matches!(place.json(&install).1[..], [.., ModelLine::Unchanged(_)]));
    fs::write(place.model().join("onnx/vision_model.onnx"), "x").unwrap();
    assert!(place.verify().1.damaged[0].starts_with("onnx/vision_model.onnx has 1 bytes"));

    // Of the hub, weights that are not there any more are not fetched again for the same revision.
    place.hub.publish_folder("owner/weights", &source);
    assert_eq!(place.json(&["install", "owner/weights"]).0, Some(0));
    place.hub.forget();
    assert!(matches!(place.json(&["install", "owner/weights"]).1[..], [.., ModelLine::Unchanged(_)]));
    assert!(place.hub.seen().iter().all(|seen| !seen.path.contains("safetensors")), "{:?}", place.hub.seen());
}

#[test]
fn weights_that_do_not_fit_their_configuration_are_refused() {
    let place = Place::new();
    let source = place.folder.path().join("source");
    let weights = workspace().join("crates/weights/tests/golden/models/clip");
    assert!(Command::new("cp").arg("-r").arg(weights).arg(&source).status().unwrap().success());
    fs::write(source.join("tokenizer.json"), tokenizer()).unwrap();
    let config = fs::read_to_string(source.join("config.json")).unwrap();
    fs::write(source.join("config.json"), config.replace("\"vocab_size\": 80", "\"vocab_size\": 81")).unwrap();
    let (status, lines) = place.json(&["install", source.to_str().unwrap(), "--as-name", NAME]);
    let (class, message, hint) = error(&lines);
    assert_eq!((status, class), (Some(3), "unusable"), "{message}");
    assert!(message.contains("the shape [80, 16]") && hint.contains("models-pytorch.md"), "{message} {hint}");
    let left: Vec<_> = fs::read_dir(place.models()).into_iter().flatten().flatten().collect();
    assert!(!place.model().exists() && left.len() <= 1, "{left:?}");
}

fn until(what: &str, mut ready: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !ready() {
        assert!(Instant::now() < deadline, "waited for a minute: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
