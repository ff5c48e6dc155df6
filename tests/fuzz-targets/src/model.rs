//! The files of a model directory.

use std::cell::OnceCell;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use clip::{Error, ModelSpec, Preprocessor, RgbImage, Tokenizer};
use tempfile::TempDir;

use crate::memory::peak_of;
use crate::{golden, text};

/// The files that an input is cut into, in this order.
pub(crate) const FILES: [&str; 5] =
    ["config.json", "preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];

/// What a byte of the files may take. A regular expression or a list of numbers takes many times its text.
const MEMORY_PER_BYTE: usize = 4096;
/// What reading takes anyway: tables of the tokenizer, buffers.
const MEMORY: usize = 16 << 20;
/// Largest side of an input that is really made: a larger one takes time and tries nothing else.
const MAX_SIDE: u32 = 256;

const TEXTS: [&str; 5] = ["", "abab ab ababab ab", "a photo of a cat", "  Ünïcode 猫 👩‍👧 <|endoftext|>\0\u{ad}", "x"];

/// Reads a model directory. The input is cut at its zero bytes into `FILES`; where a part is empty or missing, the file
/// is the golden model's.
///
/// # Panics
/// Where an error is not about the model, memory is out of proportion to the files, or what was read without an error
/// cannot be used: a value of the input that is not finite, too many tokens.
pub fn model(bytes: &[u8]) {
    thread_local!(static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() });
    DIRECTORY.with(|directory| {
        let directory = directory.get_or_init(|| make().expect("a directory can be made")).path();
        let mut parts = bytes.split(|byte| *byte == 0);
        for file in FILES {
            let part = parts.next().unwrap_or_default();
            // libFuzzer's alarm interrupts.
            while let Err(error) = write(directory, file, part) {
                assert!(error.kind() == ErrorKind::Interrupted, "{error}");
            }
        }
        let ((), peak) = peak_of(|| read(directory));
        assert!(peak <= bytes.len() * MEMORY_PER_BYTE + MEMORY, "{} bytes took {peak}", bytes.len());
    });
}

fn read(directory: &Path) {
    let spec = match ModelSpec::read(directory, &golden::name()) {
        Ok(spec) => spec,
        Err(error) => return check_error(&error),
    };
    let sides = [spec.image.height, spec.image.width];
    if sides.iter().all(|side| *side <= MAX_SIDE) {
        for (width, height) in [(1, 1), (5, 3), (300, 2)] {
            let image = RgbImage::from_fn(width, height, |x, y| image::Rgb([x as u8, 255, (y * 80) as u8]));
            let input = Preprocessor::new(&spec).input(&image);
            assert_eq!(input.shape(), [3, sides[0] as usize, sides[1] as usize]);
            assert!(input.iter().all(|value| value.is_finite()), "a value is not finite: {:?}", spec.image);
        }
    }
    match Tokenizer::load(&spec) {
        Ok(tokenizer) => TEXTS.iter().for_each(|text| drop(text::check(&tokenizer, &spec, text))),
        Err(error) => check_error(&error),
    }
}

fn check_error(error: &Error) {
    assert!(matches!(error, Error::BadModel { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.len() < 4_000 && !text.contains(char::is_control), "{text:?}");
}

/// In memory where the system has such a place: files are written for each execution.
fn make() -> std::io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let directory = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }?;
    fs::create_dir(directory.path().join("onnx"))?;
    for file in ["onnx/text_model.onnx", "onnx/vision_model.onnx"] {
        fs::write(directory.path().join(file), "")?;
    }
    Ok(directory)
}

fn write(directory: &Path, file: &str, part: &[u8]) -> std::io::Result<()> {
    let target = directory.join(file);
    let golden = golden::model_dir().join(file);
    match part {
        [] if golden.exists() => fs::copy(golden, target).map(|_| ()),
        [] if target.exists() => fs::remove_file(target),
        [] => Ok(()),
        part => fs::write(target, part),
    }
}
