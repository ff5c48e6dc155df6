//! The smoke run: every seed, every finding, and a fixed number of changes of them, the same ones each time.

use std::path::Path;

use crate::Target;
use crate::mutate::mutate;
use crate::seeds::Seed;

/// Runs a target on all its seeds and findings, then on `mutations` changed ones. Returns the number of executions.
///
/// # Panics
/// Where the target does. What it was given is printed, or written to a file where it is long.
pub fn smoke(name: &str, mutations: usize) -> usize {
    // Printing a backtrace takes memory that would count as the target's.
    crate::tolerate_caught_panics();
    let target = crate::TARGETS.into_iter().find(|target| target.name == name).expect("there is such a target");
    let mut seeds = (target.seeds)();
    seeds.extend(findings(name));
    for (name, bytes) in &seeds {
        execute(target, name, bytes);
    }
    let mut rng = fastrand::Rng::with_seed(4);
    for number in 0..mutations {
        let (name, bytes) = &seeds[number % seeds.len()];
        let (_, other) = &seeds[rng.usize(..seeds.len())];
        let mut bytes = bytes.clone();
        mutate(&mut bytes, other, &mut rng);
        execute(target, &format!("{name}, change {number}"), &bytes);
    }
    seeds.len() + mutations
}

/// What fuzzing found before, kept in fuzz/findings.
fn findings(name: &str) -> Vec<Seed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/findings").join(name);
    let Ok(entries) = folder.read_dir() else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| std::fs::read(path).expect("the file can be read");
    files.iter().map(|path| (path.display().to_string(), read(path))).collect()
}

/// Says which input it was where the target panics.
fn execute(target: Target, name: &str, bytes: &[u8]) {
    struct Say<'a>(Target, &'a str, &'a [u8]);
    impl Drop for Say<'_> {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                return;
            }
            let &mut Say(target, name, bytes) = self;
            let file = std::env::temp_dir().join(format!("fuzz-{}-failed", target.name));
            match std::fs::write(&file, bytes) {
                Ok(()) => eprintln!("{name} of target {}: the bytes are in {}", target.name, file.display()),
                Err(_) => eprintln!("{name} of target {}: {}", target.name, bytes.escape_ascii()),
            }
        }
    }
    let _say = Say(target, name, bytes);
    (target.run)(bytes);
}
