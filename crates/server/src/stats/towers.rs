//! What each tower of each model has done. Kept where a tower is unloaded, and across loads.

use super::Meter;
use clip::Modality;
use protocol::ModelStatistics;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most towers that are told of: names come from users, but only those of installed models get here.
const MOST: usize = 1000;

#[derive(Default)]
struct Tower {
    row: ModelStatistics,
    inference: Meter,
    last_run: Option<Instant>,
}

/// All towers.
#[derive(Default)]
pub(crate) struct Towers(Mutex<BTreeMap<(String, Modality), Tower>>);

impl Towers {
    fn update(&self, model: &str, modality: Modality, change: impl FnOnce(&mut Tower)) {
        let mut towers = self.0.lock().expect("no panic while held");
        let key = (model.to_owned(), modality);
        if towers.len() < MOST || towers.contains_key(&key) {
            let tower = towers.entry(key).or_default();
            change(tower);
        }
    }

    /// It was loaded.
    pub(crate) fn loaded(&self, model: &str, modality: Modality, provider: &str, took: Duration, memory_bytes: u64) {
        self.update(model, modality, |tower| {
            tower.row.provider = provider.to_owned();
            (tower.row.loaded, tower.row.loads) = (true, tower.row.loads + 1);
            (tower.row.load_ms, tower.row.memory_bytes) = (took.as_secs_f64() * 1000.0, memory_bytes);
        });
    }

    /// It was unloaded.
    pub(crate) fn unloaded(&self, model: &str, modality: Modality) {
        self.update(model, modality, |tower| tower.row.loaded = false);
    }

    /// All were unloaded.
    pub(crate) fn all_unloaded(&self) {
        self.0.lock().expect("no panic while held").values_mut().for_each(|tower| tower.row.loaded = false);
    }

    pub(super) fn ran(&self, model: &str, modality: Modality, embedded: usize, took: Duration, failed: bool) {
        self.update(model, modality, |tower| {
            tower.row.batches += 1;
            tower.row.inference_ms += took.as_secs_f64() * 1000.0;
            tower.inference.record(took);
            tower.last_run = Some(Instant::now());
            tower.row.items += embedded as u64;
            tower.row.errors += u64::from(failed);
        });
    }

    /// Begins to count anew.
    pub(super) fn forget(&self) {
        for tower in self.0.lock().expect("no panic while held").values_mut() {
            tower.inference.reset();
            let row = &mut tower.row;
            (row.items, row.batches, row.errors, row.inference_ms) = (0, 0, 0, 0.0);
            row.loads = row.loaded.into();
        }
    }

    /// One row for each.
    pub(crate) fn rows(&self) -> Vec<ModelStatistics> {
        let towers = self.0.lock().expect("no panic while held");
        let row = |((model, modality), tower): (&(String, Modality), &Tower)| ModelStatistics {
            model: model.clone(),
            tower: modality.name().to_owned(),
            inference: tower.inference.latency(),
            idle_s: tower.last_run.map(|run| run.elapsed().as_secs_f64()),
            ..tower.row.clone()
        };
        towers.iter().map(row).collect()
    }
}
