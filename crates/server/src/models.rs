//! The models in memory. Each tower is loaded when it is first needed, by one request, while others wait for it.

use crate::log_info;
use clip::{
    Device, Error, ModelName, ModelSpec, Precision, Preprocessor, Provider, Reading, Result, Runtime, SessionOptions,
    TextTower, Tokenizer, Transparency, VisionTower, catalog,
};
use protocol::{Config, ModelInfo};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

/// Which half of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Modality {
    Text,
    Vision,
}

impl Modality {
    fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Vision => "vision",
        }
    }
}

/// A loaded tower. Only the scheduler's thread runs it, so the lock is never waited for.
pub(crate) struct Tower {
    pub(crate) session: Mutex<Session>,
    pub(crate) provider: Provider,
}

pub(crate) enum Session {
    Text(TextTower),
    Vision(VisionTower),
}

/// A model whose small files have been read.
pub(crate) struct Model {
    pub(crate) spec: ModelSpec,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) preprocessor: Preprocessor,
    options: SessionOptions,
    library: PathBuf,
    text: OnceCell<Arc<Tower>>,
    vision: OnceCell<Arc<Tower>>,
}

impl Model {
    fn read(directory: &Path, name: &ModelName, config: &Config) -> Result<Self> {
        let spec = ModelSpec::read(directory, name)?;
        Ok(Self {
            tokenizer: Tokenizer::load(&spec)?,
            preprocessor: Preprocessor::new(&spec).with_reading(reading(config)),
            options: SessionOptions {
                device: Device::from_str(&config.device)?,
                threads: config.threads as usize,
                precision: precision(&spec, config)?,
            },
            library: config.onnxruntime_library.clone(),
            text: OnceCell::new(),
            vision: OnceCell::new(),
            spec,
        })
    }

    fn cell(&self, modality: Modality) -> &OnceCell<Arc<Tower>> {
        match modality {
            Modality::Text => &self.text,
            Modality::Vision => &self.vision,
        }
    }

    /// The tower, loaded if it was not. A failure is not remembered: the next request tries again. The load goes on
    /// where the request that began it is given up: otherwise a model that loads for longer than people wait would
    /// never be there, and each of their tries would be one more load.
    pub(crate) async fn tower(self: &Arc<Self>, modality: Modality) -> Result<Arc<Tower>> {
        let model = Arc::clone(self);
        let loading = tokio::spawn(async move {
            let load = async || {
                let loaded = Arc::clone(&model);
                spawn_blocking(move || loaded.load(modality)).await.unwrap_or_else(|panic| Err(failed(&panic)))
            };
            model.cell(modality).get_or_try_init(load).await.cloned()
        });
        loading.await.unwrap_or_else(|panic| Err(failed(&panic)))
    }

    fn load(&self, modality: Modality) -> Result<Arc<Tower>> {
        let began = Instant::now();
        let runtime = Runtime::init(&self.library)?;
        let (session, provider, note) = match modality {
            Modality::Text => {
                let tower = TextTower::load(&self.spec, &self.options, &runtime)?;
                let (provider, note) = (tower.provider(), tower.note().map(str::to_owned));
                (Session::Text(tower), provider, note)
            }
            Modality::Vision => {
                let tower = VisionTower::load(&self.spec, &self.options, &runtime)?;
                let (provider, note) = (tower.provider(), tower.note().map(str::to_owned));
                (Session::Vision(tower), provider, note)
            }
        };
        log_info!(
            "loaded the {} tower of model \"{}\" ({}) on {provider} in {} ms{}",
            modality.name(),
            self.spec.name,
            self.options.precision,
            began.elapsed().as_millis(),
            note.map(|note| format!("; {note}")).unwrap_or_default(),
        );
        Ok(Arc::new(Tower { session: Mutex::new(session), provider }))
    }
}

fn precision(spec: &ModelSpec, config: &Config) -> Result<Precision> {
    match config.precision.as_str() {
        "" | "auto" => Ok(spec.precisions()[0]),
        name => {
            let precision = Precision::from_str(name)?;
            if spec.precisions().contains(&precision) {
                return Ok(precision);
            }
            Err(Error::NoSuchPrecision {
                model: spec.name.to_string(),
                precision: name.to_owned(),
                available: spec.precisions().iter().map(ToString::to_string).collect(),
            })
        }
    }
}

/// A task that panicked.
fn failed(panic: &tokio::task::JoinError) -> Error {
    Error::Inference { model: "this".to_owned(), reason: panic.to_string() }
}

type Slot = Arc<OnceCell<Arc<Model>>>;

/// All models that have been asked for under one configuration.
#[derive(Default)]
pub(crate) struct Models {
    slots: Mutex<HashMap<ModelName, Slot>>,
    fingerprints: Mutex<HashMap<(PathBuf, Precision), (Stamp, String)>>,
}

/// Tells whether files have changed since they were hashed: their size and the latest modification.
type Stamp = (u64, Option<SystemTime>);

impl Models {
    /// The model of this name.
    pub(crate) async fn get(&self, name: &str, config: &Arc<Config>) -> Result<Arc<Model>> {
        let name = ModelName::parse(name)?;
        let known = self.slots.lock().expect("no panic while held").get(&name).cloned();
        let slot = match known {
            Some(slot) => slot,
            None => {
                // Only names of installed models take a place in the table.
                catalog::find(&config.model_roots, &name)?;
                Arc::clone(self.slots.lock().expect("no panic while held").entry(name.clone()).or_default())
            }
        };
        let config = Arc::clone(config);
        let reading = tokio::spawn(async move {
            let read = async || {
                let read_model = move || {
                    let directory = catalog::find(&config.model_roots, &name)?;
                    Model::read(&directory, &name, &config).map(Arc::new)
                };
                spawn_blocking(read_model).await.unwrap_or_else(|panic| Err(failed(&panic)))
            };
            slot.get_or_try_init(read).await.cloned()
        });
        reading.await.unwrap_or_else(|panic| Err(failed(&panic)))
    }

    /// Describes what is installed. Reads files: not for an asynchronous thread.
    pub(crate) fn list(&self, config: &Config) -> Vec<ModelInfo> {
        let installed = catalog::list(&config.model_roots);
        installed.iter().map(|(name, directory)| self.describe(name, directory, config)).collect()
    }

    fn describe(&self, name: &ModelName, directory: &Path, config: &Config) -> ModelInfo {
        let mut info = ModelInfo {
            name: name.to_string(),
            dimension: None,
            image_size: None,
            context_length: None,
            logit_scale: None,
            precision: None,
            device: config.device.clone(),
            execution_provider: None,
            loaded: Vec::new(),
            size_bytes: None,
            fingerprint: None,
            error: None,
        };
        let spec = match ModelSpec::read(directory, name) {
            Ok(spec) => spec,
            Err(error) => return ModelInfo { error: Some(error.to_string()), ..info },
        };
        info.dimension = Some(spec.dimension as u32);
        info.image_size = Some((spec.image.height, spec.image.width));
        info.context_length = Some(spec.context_length as u32);
        info.logit_scale = spec.logit_scale;
        info.size_bytes = Some(spec.size_on_disk);
        match precision(&spec, config).and_then(|precision| Ok((precision, self.fingerprint(&spec, precision)?))) {
            Ok((precision, fingerprint)) => {
                info.precision = Some(precision.to_string());
                info.fingerprint = Some(fingerprint);
            }
            Err(error) => info.error = Some(error.to_string()),
        }
        let slot = self.slots.lock().expect("no panic while held").get(name).cloned();
        if let Some(model) = slot.as_ref().and_then(|slot| slot.get()) {
            let mut providers = Vec::new();
            for modality in [Modality::Text, Modality::Vision] {
                if let Some(tower) = model.cell(modality).get() {
                    info.loaded.push(modality.name().to_owned());
                    providers.push(tower.provider.to_string());
                }
            }
            providers.dedup();
            info.execution_provider = (!providers.is_empty()).then(|| providers.join(", "));
        }
        info
    }

    fn fingerprint(&self, spec: &ModelSpec, precision: Precision) -> Result<String> {
        let key = (spec.path.clone(), precision);
        let stamp = (spec.size_on_disk, latest_change(&spec.path));
        if let Some((known, fingerprint)) = self.fingerprints.lock().expect("no panic while held").get(&key)
            && *known == stamp
        {
            return Ok(fingerprint.clone());
        }
        let fingerprint = spec.fingerprint(precision)?;
        self.fingerprints.lock().expect("no panic while held").insert(key, (stamp, fingerprint.clone()));
        Ok(fingerprint)
    }
}

/// How pictures are to be understood.
fn reading(config: &Config) -> Reading {
    let transparency = match config.transparency {
        protocol::Transparency::Drop => Transparency::Drop,
        protocol::Transparency::White => Transparency::White,
    };
    Reading { transparency, apply_orientation: config.apply_orientation }
}

fn latest_change(directory: &Path) -> Option<SystemTime> {
    let files = [directory.to_owned(), directory.join("onnx")];
    let entries = files.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten();
    entries.filter_map(|entry| std::fs::metadata(entry.ok()?.path()).ok()?.modified().ok()).max()
}
