//! Images that promise much end soon and take little memory, whatever they promise.

use clip::{Limits, ModelName, ModelSpec, Preprocessor};
use fuzz_targets::memory::peak_of;
use fuzz_targets::seeds::bombs::{self, Outcome};
use fuzz_targets::{LIMITS, MEMORY};

fn preprocessor() -> Preprocessor {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/models/golden/small");
    let name = ModelName::parse("golden/small").unwrap();
    Preprocessor::new(&ModelSpec::read(directory.as_ref(), &name).unwrap())
}

/// Reads each bomb, describes it and makes a thumbnail of it; what is wrong with any is said at the end.
fn explode(limits: &Limits, most: usize) {
    // Printing a backtrace takes memory that would count as the decoder's.
    fuzz_targets::tolerate_caught_panics();
    let preprocessor = preprocessor();
    let mut wrong = Vec::new();
    for bomb in bombs::all() {
        let (result, peak) = peak_of(|| preprocessor.run(&bomb.bytes, limits).map(|_| ()));
        let (_, small) = peak_of(|| clip::thumbnail(&bomb.bytes, 64, limits).is_ok());
        let (_, described) = peak_of(|| clip::image_info(&bomb.bytes, limits));
        let said = result.as_ref().map_or_else(ToString::to_string, |()| "an image".to_owned());
        let peak = peak.max(small).max(described);
        let line = format!("{}: {} bytes, {} KiB: {said}", bomb.name, bomb.bytes.len(), peak >> 10);
        println!("{line}");
        let fine = match result {
            Ok(()) => bomb.outcome == Outcome::Ignored,
            Err(error) => error.is_about_image(),
        };
        if !fine || peak > most {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "more than {} KiB, or read although it is no image:\n{}", most >> 10, wrong.join("\n"));
}

#[test]
fn within_small_limits() {
    explode(&LIMITS, MEMORY);
}

#[test]
fn within_the_default_limits() {
    // Bombs of more than a megabyte get further here; none has more pixels.
    explode(&Limits::default(), MEMORY);
}
