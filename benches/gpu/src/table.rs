//! What is printed: two tables in Markdown.

use crate::Measured;
use measure::{heading, table};

/// Prints what was measured.
pub fn print(measured: &Measured) {
    println!("\n{}", measured.about);
    heading("The encoders alone: items in memory to vectors");
    let reference = |model: &str, encoder: &str, batch| {
        let same = |row: &&crate::reference::Row| row.model == model && row.encoder == encoder && row.batch == batch;
        measured.reference.iter().find(same)
    };
    let rows = measured.alone.iter().map(|row| {
        let torch = reference(&row.model, row.encoder, row.batch).filter(|_| row.precision == "fp16");
        let figure = |value: Option<f64>, digits| value.map_or("".to_owned(), |value| format!("{value:.digits$}"));
        [
            format!("{} {}", row.model, row.encoder),
            row.precision.clone(),
            row.batch.to_string(),
            format!("{:.0}", row.per_second),
            format!("{:.0} %", row.busy * 100.0),
            format!("{:.2}", row.ms),
            format!("{:.6}", row.cosine),
            figure(torch.map(|row| row.per_second), 0),
            figure(torch.map(|row| row.ms), 2),
        ]
    });
    let head = [
        "",
        "precision",
        "batch",
        "items/s",
        "device busy",
        "ms a batch",
        "cosine to CPU fp32",
        "torch items/s",
        "torch ms",
    ];
    println!("{}", table(head, rows));
    heading("The server: JPEG files of 500 x 375 and texts to vectors");
    let rows = measured.server.iter().map(|row| {
        let pair = |[median, p99]: [f64; 2]| format!("{median:.2} / {p99:.2}");
        [
            row.model.clone(),
            row.precision.clone(),
            format!("{:.0}", row.images_per_second),
            format!("{:.0}", row.decoded_per_second),
            format!("{:.2}", row.images_per_second / row.decoded_per_second),
            format!("{:.0}", row.texts_per_second),
            pair(row.text_ms),
            pair(row.image_ms),
            row.gpu_mb.map_or(String::new(), |mb| mb.to_string()),
        ]
    });
    let head = [
        "",
        "precision",
        "images/s",
        "decoding alone",
        "ratio",
        "texts/s",
        "text p50 / p99 ms",
        "image p50 / p99 ms",
        "GPU MB",
    ];
    println!("{}", table(head, rows));
}
