//! `parity`: measures, and writes the tables of docs/parity.md and of docs/models.md. `make parity` runs it.

use std::process::ExitCode;

use anyhow::{Context, Result};
use parity::{
    Corpus, Document, LAYOUTS_PATH, Measured, Meter, PATH, expected, layout_table, put_layouts, workspace,
    worst_of_each_filter,
};

fn main() -> Result<ExitCode> {
    let corpus = Corpus::read()?;
    let mut meter = Meter::new()?;
    let measured = corpus.images.iter().map(|image| meter.measure(image)).collect::<Result<Vec<Measured>>>()?;
    let mut complaints = 0;
    for (image, measured) in corpus.images.iter().zip(&measured) {
        if let Some(complaint) = expected(&image.file).0.complaint(measured) {
            eprintln!("{}: {complaint}", image.file);
            complaints += 1;
        }
    }
    let path = workspace().join(PATH);
    let document = std::fs::read_to_string(&path).with_context(|| format!("{PATH} cannot be read"))?;
    let tables = Document::new(&corpus, &measured, &worst_of_each_filter()?)?;
    std::fs::write(&path, tables.put_into(&document)?)?;
    let path = workspace().join(LAYOUTS_PATH);
    let document = std::fs::read_to_string(&path).with_context(|| format!("{LAYOUTS_PATH} cannot be read"))?;
    std::fs::write(&path, put_layouts(&layout_table()?, &document)?)?;
    println!("{} images, {complaints} not as expected; see {PATH}", measured.len());
    Ok(if complaints == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
