//! `parity`: measures, and writes the tables of docs/parity.md. `make parity` runs it.

use std::process::ExitCode;

use parity::{Corpus, Meter, expected};

fn main() -> anyhow::Result<ExitCode> {
    let corpus = Corpus::read()?;
    let mut meter = Meter::new()?;
    for picture in &corpus.pictures {
        let m = meter.measure(picture)?;
        println!("{}\t{}\t{:?}\t{:?}", picture.format, picture.file, m, expected(&picture.file).0);
    }
    Ok(ExitCode::SUCCESS)
}
