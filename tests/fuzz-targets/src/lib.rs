//! What is fuzzed, as plain functions of bytes, and the bytes that fuzzing starts from.
//!
//! ```text
//! seeds, fuzz/findings ─┬─> tests/*.rs      mutated by mutate.rs, a fixed number of times    (cargo test, stable)
//!                       └─> fuzz/           mutated by libFuzzer, as long as one likes       (cargo fuzz)
//!                                │
//!                 targets: image, jpeg, frame, model, text. Each panics where something does not hold.
//! ```

pub mod memory;
pub mod mutate;
pub mod seeds;

mod frame;
mod golden;
mod image;
mod jpeg;
mod model;
mod smoke;
mod text;

pub use frame::frame;
pub use image::{LIMITS, MEMORY, image};
pub use jpeg::jpeg;
pub use model::model;
pub use smoke::smoke;
pub use text::text;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// A target by its name, with its seeds.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `cargo fuzz run NAME`.
    pub name: &'static str,
    /// Panics where something does not hold.
    pub run: fn(&[u8]),
    /// What fuzzing starts from.
    pub seeds: fn() -> Vec<seeds::Seed>,
}

/// All targets.
pub const TARGETS: [Target; 5] = [
    Target { name: "image", run: image, seeds: seeds::images },
    Target { name: "jpeg", run: jpeg, seeds: seeds::jpegs },
    Target { name: "frame", run: frame, seeds: seeds::frames },
    Target { name: "model", run: model, seeds: seeds::models },
    Target { name: "text", run: text, seeds: seeds::texts },
];

/// Lets a run go on where a panic is caught by the code under test, and says once where each was, without a backtrace.
///
/// libFuzzer's own hook would end the process. A panic that leaves a target still ends the run.
pub fn tolerate_caught_panics() {
    let seen = std::sync::Mutex::new(std::collections::BTreeSet::new());
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if seen.lock().is_ok_and(|mut seen| seen.insert(place)) {
            eprintln!("PANIC {panic}");
        }
    }));
}
