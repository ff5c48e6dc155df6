//! The tables of docs/parity.md, between two marks; what stands around them is written by hand.

use std::collections::BTreeMap;
use std::fmt::Write;

use anyhow::{Context, Result};
use clip::Filter;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::corpus::{Corpus, Image};
use crate::expected::{Expected, expected};
use crate::golden::golden_dir;
use crate::measure::{Measured, farther};
use crate::resizing::FILTERS;

/// The document, relative to the repository.
pub const PATH: &str = "docs/parity.md";

const BEGIN: &str = "<!-- begin: written by `make parity` -->\n";
const END: &str = "<!-- end: written by `make parity` -->\n";
/// Cells that hold a measured value: it may change with the processor, and that makes no row out of date.
const MEASURED: [usize; 2] = [4, 5];

/// The tables.
pub struct Document(String);

impl Document {
    /// The tables for what was measured of each image of the corpus, and of resizing with each filter.
    ///
    /// # Errors
    /// If the golden texts cannot be read.
    pub fn new(corpus: &Corpus, measured: &[Measured], resizing: &[(usize, u8); FILTERS.len()]) -> Result<Self> {
        let mut text = String::new();
        let versions: Vec<String> = corpus.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
        let _ = writeln!(text, "Made and read with {}.\n", versions.join(", "));
        let pairs: Vec<_> = corpus.images.iter().zip(measured).collect();
        summary(&mut text, &pairs);
        let _ = writeln!(text, "## Each image\n");
        let _ =
            writeln!(text, "| Format | Variant | Compared | Worst cosine | Worst pixel difference | Bounds | Remark |");
        let _ = writeln!(text, "|---|---|---|---|---|---|---|");
        for (image, measured) in &pairs {
            row(&mut text, image, measured);
        }
        let _ = writeln!(text, "\n## Resizing\n");
        let _ =
            writeln!(text, "| Filter | Cases | Compared | Worst cosine | Worst pixel difference | Bounds | Remark |");
        let _ = writeln!(text, "|---|---|---|---|---|---|---|");
        for (filter, (cases, worst)) in FILTERS.iter().zip(resizing) {
            let remark =
                if *filter == Filter::Bicubic { "30 of them to a shortest edge, with centre crop" } else { "" };
            let _ = writeln!(
                text,
                "| {filter:?} | {cases} random sizes | pixels of noise with PIL's | – | {worst} | 0 | {remark} |"
            );
        }
        tokenization(&mut text)?;
        Ok(Self(text))
    }

    /// A document with these tables instead of its own.
    ///
    /// # Errors
    /// If it has not the two marks.
    pub fn put_into(&self, document: &str) -> Result<String> {
        let missing = || format!("{PATH} has not both of {BEGIN:?} and {END:?}");
        let (before, rest) = document.split_once(BEGIN).with_context(missing)?;
        let (_, after) = rest.split_once(END).with_context(missing)?;
        Ok(format!("{before}{BEGIN}{}{END}{after}", self.0))
    }

    /// The rows of a document, without what was measured: names, bounds and remarks.
    pub fn promises(document: &str) -> Vec<String> {
        let rows = document.lines().filter(|line| line.starts_with("| "));
        let promise = |row: &str| -> String {
            let cells = row.split('|').enumerate().filter(|(column, _)| !MEASURED.contains(column));
            cells.map(|(_, cell)| cell).collect::<Vec<_>>().join("|")
        };
        rows.map(promise).collect()
    }
}

/// A row for each format.
fn summary(text: &mut String, pairs: &[(&Image, &Measured)]) {
    let _ = writeln!(text, "| Format | Images | Compared | Worst cosine | Worst pixel difference |");
    let _ = writeln!(text, "|---|---|---|---|---|");
    for part in pairs.chunk_by(|(a, _), (b, _)| a.format == b.format) {
        // What has no bounds is told in its own row.
        let distances = part.iter().filter_map(|(image, measured)| match (measured, expected(&image.file).0) {
            (Measured::Compared(distance), Expected::Within(_)) => Some(*distance),
            _ => None,
        });
        let compared = distances.clone().count();
        let Some(worst) = distances.reduce(farther) else { continue };
        let (format, all) = (&part[0].0.format, part.len());
        let (cosine, levels) = (cosine(worst.cosine), levels(worst.levels));
        let _ = writeln!(
            text,
            "| {format} | {all} | {compared} decoded by PIL, and here within bounds | {cosine} | {levels} |"
        );
    }
    let _ = writeln!(text);
}

/// How many texts of each kind there are; crates/clip/tests/vocabulary.rs compares their tokens, each with equality.
fn tokenization(text: &mut String) -> Result<()> {
    #[derive(Deserialize)]
    struct Tokens {
        texts: BTreeMap<String, Vec<IgnoredAny>>,
    }
    let tokens: Tokens = serde_json::from_slice(&std::fs::read(golden_dir().join("tokens.json"))?)?;
    let _ = writeln!(text, "\n## Tokenization\n\n| Text | Strings | Compared | Bounds |\n|---|---|---|---|");
    for (kind, texts) in &tokens.texts {
        let _ = writeln!(text, "| {kind} | {} | token ids with CLIPTokenizer's | equal |", texts.len());
    }
    let _ = writeln!(text, "| all | {} | | |", tokens.texts.values().map(Vec::len).sum::<usize>());
    Ok(())
}

fn row(text: &mut String, image: &Image, measured: &Measured) {
    let (wanted, why) = expected(&image.file);
    let compared = match (measured, &image.turned) {
        (Measured::Compared(_), None) => "pixels and embedding",
        (Measured::Compared(_), Some(_)) => "pixels and embedding, as stored and as turned",
        (Measured::OnlyHere, _) => "that it is decoded",
        (Measured::Refused(_), _) => "that it is refused",
    };
    let (worst_cosine, worst_levels) = match measured {
        Measured::Compared(distance) => (cosine(distance.cosine), levels(distance.levels)),
        _ => ("–".to_owned(), "–".to_owned()),
    };
    let bounds = match wanted {
        Expected::Within(bound) => format!("≤ {}, ≥ {}", bound.levels, bound.cosine),
        Expected::Differs => "none".to_owned(),
        _ => "–".to_owned(),
    };
    let mut remarks: Vec<String> = if why.is_empty() { vec![] } else { vec![why.to_owned()] };
    if let Some(said) = &image.refused {
        remarks.push(format!("PIL: {said}"));
    }
    if let Measured::Refused(error) = measured {
        remarks.push(format!("here: {error}"));
    }
    let (format, variant) = (&image.format, &image.variant);
    let remark = remarks.join("; ").replace('|', "\\|");
    let _ =
        writeln!(text, "| {format} | {variant} | {compared} | {worst_cosine} | {worst_levels} | {bounds} | {remark} |");
}

/// Rounded down, so that 1 means 1.
fn cosine(value: f64) -> String {
    format!("{:.6}", ((value.min(1.0) + 5e-8) * 1e6).floor() / 1e6)
}

fn levels(value: Option<u8>) -> String {
    value.map_or("other size".to_owned(), |levels| levels.to_string())
}
