//! What each encoder of each model has done. Kept where an encoder is unloaded, and across loads.

use super::Meter;
use clip::Modality;
use protocol::ModelStatistics;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most encoders that are told of: names come from users, but only those of installed models get here.
const MOST: usize = 1000;

#[derive(Default)]
struct Encoder {
    row: ModelStatistics,
    inference: Meter,
    last_run: Option<Instant>,
}

/// All encoders.
#[derive(Default)]
pub(crate) struct Encoders(Mutex<BTreeMap<(String, Modality), Encoder>>);

impl Encoders {
    fn update(&self, model: &str, modality: Modality, change: impl FnOnce(&mut Encoder)) {
        let mut encoders = self.0.lock().expect("no panic while held");
        let key = (model.to_owned(), modality);
        if encoders.len() < MOST || encoders.contains_key(&key) {
            let encoder = encoders.entry(key).or_default();
            change(encoder);
        }
    }

    /// It was loaded.
    pub(crate) fn loaded(&self, model: &str, modality: Modality, provider: &str, took: Duration, memory_bytes: u64) {
        self.update(model, modality, |encoder| {
            encoder.row.provider = provider.to_owned();
            (encoder.row.loaded, encoder.row.loads) = (true, encoder.row.loads + 1);
            (encoder.row.load_ms, encoder.row.memory_bytes) = (took.as_secs_f64() * 1000.0, memory_bytes);
        });
    }

    /// It was unloaded.
    pub(crate) fn unloaded(&self, model: &str, modality: Modality) {
        self.update(model, modality, |encoder| encoder.row.loaded = false);
    }

    /// All were unloaded.
    pub(crate) fn all_unloaded(&self) {
        self.0.lock().expect("no panic while held").values_mut().for_each(|encoder| encoder.row.loaded = false);
    }

    pub(super) fn ran(&self, model: &str, modality: Modality, embedded: usize, took: Duration, failed: bool) {
        self.update(model, modality, |encoder| {
            encoder.row.batches += 1;
            encoder.row.inference_ms += took.as_secs_f64() * 1000.0;
            encoder.inference.record(took);
            encoder.last_run = Some(Instant::now());
            encoder.row.items += embedded as u64;
            encoder.row.errors += u64::from(failed);
        });
    }

    /// Begins to count anew.
    pub(super) fn forget(&self) {
        for encoder in self.0.lock().expect("no panic while held").values_mut() {
            encoder.inference.reset();
            let row = &mut encoder.row;
            (row.items, row.batches, row.errors, row.inference_ms) = (0, 0, 0, 0.0);
            row.loads = row.loaded.into();
        }
    }

    /// One row for each.
    pub(crate) fn rows(&self) -> Vec<ModelStatistics> {
        let encoders = self.0.lock().expect("no panic while held");
        let row = |((model, modality), encoder): (&(String, Modality), &Encoder)| ModelStatistics {
            model: model.clone(),
            encoder: modality.name().to_owned(),
            inference: encoder.inference.latency(),
            idle_s: encoder.last_run.map(|run| run.elapsed().as_secs_f64()),
            ..encoder.row.clone()
        };
        encoders.iter().map(row).collect()
    }
}
