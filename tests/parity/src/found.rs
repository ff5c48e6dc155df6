//! Images that lie about on a machine, beside what PIL makes of them: tests/golden/find_images.py has found and read them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clip::Limits;
use serde::Deserialize;

use crate::cosine;
use crate::measure::{Meter, as_pil};

/// The bound that the project promises.
const LEAST: f64 = 0.9999;
/// So many of what is below it, or not read, are shown.
const SHOWN: usize = 20;

#[derive(Deserialize)]
struct Found {
    path: PathBuf,
    format: Option<String>,
    refused: Option<String>,
}

/// What became of the images of a format.
#[derive(Default)]
struct Row {
    files: usize,
    both: usize,
    equal: usize,
    levels: u8,
    only_pil: usize,
    only_here: usize,
    /// The worst on the golden model, and how many are below the bound. Of equal pixels it is 1 on any model.
    cosine: f64,
    below: usize,
}

/// Compares all, and writes a table in Markdown.
///
/// # Errors
/// If a file of the list cannot be read, or a model fails.
pub fn compare_found(folder: &Path) -> Result<String> {
    let json = std::fs::read(folder.join("found.json")).context("found.json cannot be read")?;
    let found: Vec<Found> = serde_json::from_slice(&json).context("found.json is malformed")?;
    let mut meter = Meter::new()?;
    let (mut rows, mut complaints) = (BTreeMap::<String, Row>::new(), Vec::new());
    for (number, Found { path, format, refused }) in found.iter().enumerate() {
        let format = format.clone().unwrap_or_else(|| "not known to PIL".to_owned());
        let row = rows.entry(format).or_insert_with(|| Row { cosine: 1.0, ..Row::default() });
        row.files += 1;
        let bytes = std::fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let here = match (clip::decode(&bytes, &Limits::default(), as_pil(false)), refused) {
            (Ok(here), None) => here,
            (Ok(_), Some(_)) => {
                row.only_here += 1;
                continue;
            }
            (Err(error), None) => {
                row.only_pil += 1;
                complaints.push(format!("{}: {error}", path.display()));
                continue;
            }
            (Err(_), Some(_)) => continue,
        };
        row.both += 1;
        let pil = image::open(folder.join(format!("{number}.png"))).context("PIL's pixels cannot be read")?.into_rgb8();
        if pil == here {
            row.equal += 1;
            continue;
        }
        let same_size = pil.dimensions() == here.dimensions();
        let levels = if same_size { pil.iter().zip(here.iter()).map(|(a, b)| a.abs_diff(*b)).max() } else { None };
        row.levels = row.levels.max(levels.unwrap_or(u8::MAX));
        let near = cosine(&meter.embed(&pil)?, &meter.embed(&here)?);
        row.cosine = row.cosine.min(near);
        if near < LEAST {
            row.below += 1;
            complaints.push(format!("{}: {near:.6}, {levels:?} levels", path.display()));
        }
    }
    Ok(format!("{}\n{}", table(&rows), complaints_text(&complaints)))
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut text = "| Format | Files | Read by both | Equal pixels | Most levels | Worst cosine \
                    | Below 0.9999 | Read by PIL alone | Read here alone |\n|---|---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for (format, row) in rows {
        let Row { files, both, equal, levels, cosine, below, only_pil, only_here } = row;
        let _ = writeln!(
            text,
            "| {format} | {files} | {both} | {equal} | {levels} | {cosine:.6} | {below} | {only_pil} | {only_here} |"
        );
    }
    text
}

fn complaints_text(complaints: &[String]) -> String {
    complaints.iter().take(SHOWN).map(|complaint| format!("{complaint}\n")).collect()
}
