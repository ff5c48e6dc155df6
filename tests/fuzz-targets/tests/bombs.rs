//! Pictures that promise much end soon and take little memory, whatever they promise.

use clip::{Limits, ModelName, ModelSpec, Preprocessor};
use fuzz_targets::memory::peak_of;
use fuzz_targets::seeds::bombs::{self, Outcome};
use fuzz_targets::{LIMITS, MEMORY};

fn preprocessor() -> Preprocessor {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden/models/golden/small");
    let name = ModelName::parse("golden/small").unwrap();
    Preprocessor::new(&ModelSpec::read(directory.as_ref(), &name).unwrap())
}

/// The work on each bomb, with the most memory that it took.
fn explode(limits: &Limits, most: usize) {
    let preprocessor = preprocessor();
    for bomb in bombs::all() {
        let (result, peak) = peak_of(|| preprocessor.run(&bomb.bytes, limits).map(|_| ()));
        let said = result.as_ref().map_or_else(ToString::to_string, |()| "a picture".to_owned());
        println!("{}: {} bytes, {} KiB at most: {said}", bomb.name, bomb.bytes.len(), peak >> 10);
        assert!(peak <= most, "{} took {peak} bytes", bomb.name);
        match result {
            Ok(()) => assert_eq!(bomb.outcome, Outcome::Ignored, "{} was read", bomb.name),
            Err(error) => assert!(error.is_about_picture(), "{}: {error}", bomb.name),
        }
        let (_, peak) = peak_of(|| clip::thumbnail(&bomb.bytes, 64, limits).is_ok());
        assert!(peak <= most, "the thumbnail of {} took {peak} bytes", bomb.name);
    }
}

#[test]
fn within_small_limits() {
    explode(&LIMITS, MEMORY);
}
