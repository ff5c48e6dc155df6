//! Converts a directory: `cargo run --release -p weights --example convert -- SOURCE TARGET [fp16]`.

use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut options = weights::Options::default();
    match arguments.get(2).map(String::as_str) {
        None => {}
        Some("fp16") => options.precision = weights::Precision::F16,
        Some(other) => {
            eprintln!("unknown precision {other:?}");
            return ExitCode::FAILURE;
        }
    }
    let [source, target, ..] = &arguments[..] else {
        eprintln!("usage: convert SOURCE TARGET [fp16]");
        return ExitCode::FAILURE;
    };
    match weights::convert_with(&PathBuf::from(source), &PathBuf::from(target), &options) {
        Ok(report) => {
            println!("{report:#?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
