//! The models in memory. Each encoder is loaded when it is first needed, by one request, while others wait for it, and
//! unloaded where another needs its memory.

use crate::admission::mebibytes;
use crate::class::Key;
use crate::stats::Stats;
use crate::{log_info, log_warning, process, proof, quantize};
use clip::{
    Cancel, Device, Devices, EncoderStamp, Error, Gray16, ImageEncoder, ImageStager, Modality, ModelName, ModelSpec,
    OnTruncated, Precision, Precisions, Preprocessor, Provider, Reading, RemoteEncoder, RemoteProbe, Result, Runtime,
    SessionOptions, TextEncoder, Tokenizer, Transparency, catalog, diagnosis,
};
use protocol::{Config, EndpointStatistics, ModelInfo};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::spawn_blocking;

/// How long an encoder that others use may be waited for where it has to make way, and between two looks.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// Threads of the scheduler for each session on a GPU: while the batch of one runs, the others make theirs. With two, an
/// H100 waits for a quarter of the time where batches are large.
const WORKERS_ON_GPU: usize = 3;

/// A loaded encoder.
pub(crate) struct Encoder {
    /// As [`Model::key`] begins.
    pub(crate) id: u64,
    pub(crate) model: String,
    pub(crate) modality: Modality,
    runner: Runner,
    /// The length to which each text is padded, where that is always the same.
    padding: Option<usize>,
    /// Most items of a batch: fewer than was asked for where memory was short.
    pub(crate) max_items: AtomicUsize,
    /// Orders encoders by when they were asked for last.
    last_use: AtomicU64,
}

/// What runs an encoder.
enum Runner {
    /// A session for each device; at least one.
    Here(Vec<DeviceSession>),
    /// Model servers.
    Remote(Arc<RemoteEncoder>),
}

/// A session on a device.
pub(crate) struct DeviceSession {
    /// Waited for where another batch runs.
    pub(crate) session: Mutex<Session>,
    /// Makes batches of images for the session.
    pub(crate) stager: Option<Arc<ImageStager>>,
    provider: Provider,
}

impl Encoder {
    /// The session that a worker of the scheduler for GPUs runs; on the CPU there is one. None where it is remote.
    pub(crate) fn session(&self, worker: usize) -> Option<&DeviceSession> {
        match &self.runner {
            Runner::Here(sessions) => Some(&sessions[worker % sessions.len()]),
            Runner::Remote(_) => None,
        }
    }

    /// What asks the model servers, where they run it.
    pub(crate) fn remote(&self) -> Option<&Arc<RemoteEncoder>> {
        match &self.runner {
            Runner::Here(_) => None,
            Runner::Remote(remote) => Some(remote),
        }
    }

    /// The tokens that a text of so many takes: more where the encoder was trained with padding to the context.
    pub(crate) fn padded_length(&self, tokens: usize) -> usize {
        self.padding.unwrap_or(tokens)
    }

    /// How many workers for GPUs may run it at a time; none where it is on the CPU.
    pub(crate) fn gpu_workers(&self) -> usize {
        match &self.runner {
            Runner::Here(sessions) if sessions[0].provider != Provider::Cpu => WORKERS_ON_GPU * sessions.len(),
            _ => 0,
        }
    }

    /// The devices, separated by commas.
    fn providers(&self) -> String {
        match &self.runner {
            Runner::Here(sessions) => {
                sessions.iter().map(|session| session.provider.to_string()).collect::<Vec<_>>().join(",")
            }
            Runner::Remote(remote) => format!("remote {}", remote.urls().join(",")),
        }
    }
}

impl DeviceSession {
    fn padding(&self) -> Option<usize> {
        match &*self.session.lock().expect("nobody runs it yet") {
            Session::Text(encoder) => encoder.fixed_length(),
            Session::Image(_) => None,
        }
    }
}

pub(crate) enum Session {
    Text(TextEncoder),
    Image(ImageEncoder),
}

/// A model whose small files have been read.
pub(crate) struct Model {
    pub(crate) spec: ModelSpec,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) preprocessor: Preprocessor,
    /// Of all models that this process has read.
    number: u64,
    /// Their device and precision are set for each session.
    options: SessionOptions,
    devices: Devices,
    precisions: Precisions,
    /// Of the files of each encoder, as they were when the model was read.
    stamps: [Option<EncoderStamp>; 2],
    library: PathBuf,
    text: Slot,
    image: Slot,
    remote: [Option<Remote>; 2],
}

/// An encoder that model servers run.
pub(crate) struct Remote {
    /// Made when it is first needed, and kept where it could not be reached: it knows how the endpoints are.
    encoder: OnceLock<Arc<RemoteEncoder>>,
    /// Items of bulk that may be prepared and not run yet, and how many in all. Others do not wait for them.
    pub(crate) prepared: Arc<Semaphore>,
    pub(crate) items: usize,
    /// Batches of a request that may be under way.
    pub(crate) batches: usize,
}

/// Where an encoder is while it is loaded.
#[derive(Default)]
struct Slot {
    encoder: Mutex<Option<Arc<Encoder>>>,
    /// Held while it is being loaded.
    loading: tokio::sync::Mutex<()>,
}

impl Slot {
    fn get(&self) -> Option<Arc<Encoder>> {
        self.encoder.lock().expect("no panic while held").clone()
    }

    /// Takes the encoder out if nobody has anything to run on it.
    fn take_if_unused(&self) -> Option<Arc<Encoder>> {
        let mut encoder = self.encoder.lock().expect("no panic while held");
        if encoder.as_ref().is_some_and(|encoder| Arc::strong_count(encoder) == 1) { encoder.take() } else { None }
    }
}

impl Model {
    fn read(directory: &Path, name: &ModelName, config: &Config) -> Result<Self> {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let spec = ModelSpec::read(directory, name)?;
        let precisions = precisions(&spec, config)?;
        let stamp = |modality| spec.encoder_stamp(modality, precisions.of(modality));
        let remote = |modality| Some(Remote::new(spec.remote(modality)?, config));
        let remote = [Modality::Text, Modality::Image].map(remote);
        Ok(Self {
            stamps: [Modality::Text, Modality::Image].map(stamp),
            tokenizer: Tokenizer::load(&spec)?,
            preprocessor: Preprocessor::new(&spec).with_reading(reading(config)),
            number: NUMBERS.fetch_add(1, Relaxed),
            options: SessionOptions {
                threads: process::threads(config.threads),
                max_gpu_memory: config.max_gpu_memory,
                ..SessionOptions::default()
            },
            devices: Devices::from_str(&config.device)?,
            precisions,
            library: config.onnxruntime_library.clone(),
            text: Slot::default(),
            image: Slot::default(),
            remote,
            spec,
        })
    }

    /// Tells inputs of this model apart from those of others, and equal ones of it from others.
    pub(crate) fn key(&self, modality: Modality, hash: blake3::Hash) -> Key {
        (self.id(modality), *hash.as_bytes())
    }

    fn id(&self, modality: Modality) -> u64 {
        2 * self.number + modality as u64
    }

    fn is_loaded(&self) -> bool {
        self.text.get().is_some() || self.image.get().is_some()
    }

    fn slot(&self, modality: Modality) -> &Slot {
        match modality {
            Modality::Text => &self.text,
            Modality::Image => &self.image,
        }
    }

    /// Whether the image encoder takes 8-bit pixels in place of normalised ones.
    pub(crate) fn takes_levels(&self) -> bool {
        self.spec.remote(Modality::Image).is_some_and(|remote| remote.datatype == Some(remote::Datatype::Uint8))
    }

    /// What is kept of an encoder that is remote.
    pub(crate) fn remote(&self, modality: Modality) -> Option<&Remote> {
        self.remote[modality as usize].as_ref()
    }

    /// Bytes that loading an encoder takes for a moment: what is read from the file, and the session made of it.
    fn memory_to_load(&self, modality: Modality) -> u64 {
        2 * self.spec.encoder_size(modality, self.precisions.of(modality))
    }

    /// Fails where the encoder's files are no longer those that the model was read with, and its other half is in memory,
    /// which would not fit.
    fn check_files(&self, modality: Modality) -> Result<()> {
        let now = self.spec.encoder_stamp(modality, self.precisions.of(modality));
        if self.is_loaded() && now.is_some() && now != self.stamps[modality as usize] {
            let (model, encoder) = (self.spec.name.to_string(), modality.name().to_string());
            return Err(Error::ReplacedModel { model, encoder });
        }
        Ok(())
    }

    fn load(&self, modality: Modality, stats: &Stats) -> Result<Arc<Encoder>> {
        self.check_files(modality)?;
        let (began, before) = (Instant::now(), process::resident_bytes());
        let (runner, padding, max_items, note) = match &self.remote[modality as usize] {
            Some(remote) => {
                let remote = remote.encoder(self, modality)?;
                tokio::runtime::Handle::current().block_on(remote.load())?;
                let padding = remote.fixed_length();
                let max_items = remote.max_items(padding.unwrap_or(self.spec.context_length));
                (Runner::Remote(remote), padding, max_items, None)
            }
            None => {
                let (sessions, note) = self.open_all(modality, &Runtime::init(&self.library)?)?;
                let padding = sessions.first().and_then(DeviceSession::padding);
                (Runner::Here(sessions), padding, usize::MAX, note)
            }
        };
        let encoder = Encoder {
            padding,
            id: self.id(modality),
            model: self.spec.name.to_string(),
            modality,
            runner,
            max_items: AtomicUsize::new(max_items),
            last_use: AtomicU64::default(),
        };
        process::trim_memory();
        let (took, memory) = (began.elapsed(), process::resident_bytes().saturating_sub(before));
        log_info!(
            "loaded the {} encoder of model \"{}\" ({}) on {} in {} ms, {} MiB{}",
            modality.name(),
            self.spec.name,
            self.precisions.of(modality),
            encoder.providers(),
            took.as_millis(),
            mebibytes(memory),
            note.map(|note| format!("; {note}")).unwrap_or_default(),
        );
        stats.encoders.loaded(&encoder.model, modality, &encoder.providers(), took, memory);
        Ok(Arc::new(encoder))
    }

    /// Opens a session of an encoder on each device, and says why it is on the CPU where that was not asked for.
    fn open_all(&self, modality: Modality, runtime: &Runtime) -> Result<(Vec<DeviceSession>, Option<String>)> {
        let mut sessions = Vec::new();
        match &self.devices {
            Devices::Each(devices) => {
                let mut why = None;
                for device in devices {
                    let (session, note) = self.open(modality, *device, runtime)?;
                    sessions.push(session);
                    why = note;
                }
                Ok((sessions, why))
            }
            Devices::AllCuda => loop {
                match self.open(modality, Device::Cuda(sessions.len() as u32), runtime) {
                    Ok((session, _)) => sessions.push(session),
                    // Their numbers have no gaps.
                    Err(Error::DeviceUnavailable { .. }) if !sessions.is_empty() => return Ok((sessions, None)),
                    Err(error) => return Err(error),
                }
            },
        }
    }

    /// Opens a session of an encoder, and says why it is on the CPU where that was not asked for.
    fn open(&self, modality: Modality, device: Device, runtime: &Runtime) -> Result<(DeviceSession, Option<String>)> {
        let options = &SessionOptions { device, precision: self.precisions.of(modality), ..self.options };
        let (session, stager, provider, note) = match modality {
            Modality::Text => {
                let encoder = TextEncoder::load(&self.spec, options, runtime)?;
                let (provider, note) = (encoder.provider(), encoder.note().map(str::to_owned));
                (Session::Text(encoder), None, provider, note)
            }
            Modality::Image => {
                let load = || {
                    process::yield_a_little();
                    ImageEncoder::load(&self.spec, options, runtime)
                };
                // ONNX Runtime's threads have the priority of the one that starts them: searches run beside images.
                let loaded = std::thread::scope(|scope| scope.spawn(load).join());
                let encoder = loaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
                let (provider, note) = (encoder.provider(), encoder.note().map(str::to_owned));
                let stager = encoder.stager();
                (Session::Image(encoder), Some(stager), provider, note)
            }
        };
        Ok((DeviceSession { session: Mutex::new(session), stager, provider }, note))
    }
}

impl Remote {
    /// Most items that are prepared ahead: decoded images are large.
    const MAX_PREPARED: usize = 1024;

    fn new(remote: &remote::EncoderConfig, config: &Config) -> Self {
        let batches = (remote.endpoints.len() * remote.requests_in_flight as usize).max(2);
        let items = (2 * batches * config.max_batch.max(1) as usize).min(Self::MAX_PREPARED);
        Self { encoder: OnceLock::new(), prepared: Arc::new(Semaphore::new(items)), items, batches: batches.min(8) }
    }

    /// Begins to look for endpoints, once.
    fn encoder(&self, model: &Model, modality: Modality) -> Result<Arc<RemoteEncoder>> {
        if let Some(encoder) = self.encoder.get() {
            return Ok(Arc::clone(encoder));
        }
        let probe = model.probe(modality)?;
        let encoder = RemoteEncoder::new(&model.spec, modality, probe).expect("its configuration says so");
        Ok(Arc::clone(self.encoder.get_or_init(|| Arc::new(encoder))))
    }
}

impl Model {
    /// What shows that a model server runs this model: an item of the probe set, and its vector as it was when the model was
    /// installed or, where it was not, as the graph in the model's folder answers.
    fn probe(&self, modality: Modality) -> Result<RemoteProbe> {
        let spec = &self.spec;
        let mut probe = proof::remote_probe(spec, &self.tokenizer, modality)?;
        let mut files = Precision::ALL.into_iter().filter(|precision| spec.onnx_file(modality, *precision).is_ok());
        if let (None, Some(precision)) = (&probe.vector, files.next()) {
            let options = SessionOptions { precision, device: Device::Cpu, ..self.options };
            let answer = || {
                let (runtime, cancel) = (Runtime::init(&self.library)?, Cancel::new());
                let mut vectors = match modality {
                    Modality::Text => TextEncoder::load(spec, &options, &runtime)?.embed(&[&probe.ids], &cancel)?,
                    Modality::Image => {
                        let pixels = Preprocessor::new(spec).values(&probe.levels).expect("of this size");
                        ImageEncoder::load(spec, &options, &runtime)?.embed(&[pixels.view()], &cancel)?
                    }
                };
                Ok(vectors.swap_remove(0))
            };
            let answer: Result<Vec<f32>> = answer();
            if let Err(error) = &answer {
                log_warning!("the model server of \"{}\" is not compared with the model's files: {error}", spec.name);
            }
            probe.vector = answer.ok();
        }
        Ok(probe)
    }
}

fn precisions(spec: &ModelSpec, config: &Config) -> Result<Precisions> {
    match config.precision.as_str() {
        "" | "auto" => spec.choose(None),
        name => spec.choose(Some(Precision::from_str(name)?)),
    }
}

/// A task that panicked.
fn failed(panic: &tokio::task::JoinError) -> Error {
    Error::Inference { model: "this".to_owned(), reason: panic.to_string() }
}

/// All models that have been asked for under one configuration.
pub(crate) struct Models {
    models: Mutex<HashMap<ModelName, Arc<OnceCell<Arc<Model>>>>>,
    fingerprints: Mutex<HashMap<(PathBuf, Precisions), (Stamp, String)>>,
    /// Held by whoever looks for memory to load an encoder into.
    making_room: Mutex<()>,
    uses: AtomicU64,
    stats: Arc<Stats>,
}

/// Tells whether files have changed since they were hashed: their size and the latest modification.
type Stamp = (u64, Option<SystemTime>);

impl Models {
    pub(crate) fn new(stats: Arc<Stats>) -> Self {
        let (models, fingerprints) = (Mutex::default(), Mutex::default());
        Self { models, fingerprints, making_room: Mutex::default(), uses: AtomicU64::default(), stats }
    }

    /// An encoder of a model, loaded if it was not. A failure is not remembered: the next request tries again. The load goes
    /// on where the request that began it is given up: otherwise a model that loads for longer than people wait would
    /// never be there, and each of their tries would be one more load.
    pub(crate) async fn encoder(
        self: &Arc<Self>,
        model: &Arc<Model>,
        modality: Modality,
        config: &Config,
    ) -> Result<Arc<Encoder>> {
        let encoder = match model.slot(modality).get() {
            Some(encoder) => encoder,
            None => {
                let (models, model, max_memory) = (Arc::clone(self), Arc::clone(model), config.max_server_memory);
                let loading = tokio::spawn(async move {
                    let slot = model.slot(modality);
                    let _one_at_a_time = slot.loading.lock().await;
                    if let Some(encoder) = slot.get() {
                        return Ok(encoder);
                    }
                    let loaded = Arc::clone(&model);
                    let load = move || {
                        let _room = models.make_room(&loaded, modality, max_memory)?;
                        loaded.load(modality, &models.stats)
                    };
                    let encoder = spawn_blocking(load).await.unwrap_or_else(|panic| Err(failed(&panic)))?;
                    *slot.encoder.lock().expect("no panic while held") = Some(Arc::clone(&encoder));
                    Ok(encoder)
                });
                loading.await.unwrap_or_else(|panic| Err(failed(&panic)))?
            }
        };
        encoder.last_use.store(self.uses.fetch_add(1, Relaxed), Relaxed);
        Ok(encoder)
    }

    /// Unloads encoders that nobody uses, those that were not asked for longest first, until there is memory for another.
    /// Nobody else looks for memory until the guard is dropped.
    fn make_room(&self, model: &Model, modality: Modality, max: u64) -> Result<Option<std::sync::MutexGuard<'_, ()>>> {
        if max == 0 {
            return Ok(None);
        }
        let guard = self.making_room.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let began = Instant::now();
        let needed = model.memory_to_load(modality);
        while process::resident_bytes() + needed > max {
            // Nobody makes way for what would not fit into all of it.
            if needed <= max && self.unload_one() {
                continue;
            }
            // Others may be done with theirs in a moment.
            if needed <= max && self.has_loaded() && began.elapsed() < PATIENCE {
                std::thread::sleep(PAUSE);
            } else {
                return Err(Error::OutOfMemory {
                    model: model.spec.name.to_string(),
                    reason: format!(
                        "loading its {} encoder needs about {} MiB, the server has {} MiB, and clip_search.max_server_memory is \
                         {} MiB",
                        modality.name(),
                        mebibytes(needed),
                        mebibytes(process::resident_bytes()),
                        mebibytes(max)
                    ),
                });
            }
        }
        Ok(Some(guard))
    }

    /// Models that have been read, whether or not an encoder of theirs is in memory.
    fn known(&self) -> Vec<Arc<Model>> {
        let models = self.models.lock().expect("no panic while held");
        models.values().filter_map(|model| model.get().cloned()).collect()
    }

    fn has_loaded(&self) -> bool {
        self.known().iter().any(|model| model.is_loaded())
    }

    /// Unloads the encoder that was not asked for longest, of those that nobody uses; false where there is none.
    pub(crate) fn unload_one(&self) -> bool {
        let before = process::resident_bytes();
        let unloaded = self.take_one().map(|encoder| (encoder.model.clone(), encoder.modality));
        // Also where there was none: what requests have freed counts as resident until then.
        process::trim_memory();
        let Some((model, modality)) = unloaded else { return false };
        let freed = before.saturating_sub(process::resident_bytes());
        log_info!(
            "unloaded the {} encoder of model \"{model}\", which frees {} MiB",
            modality.name(),
            mebibytes(freed)
        );
        self.stats.encoders.unloaded(&model, modality);
        self.forget_unloaded(&model);
        true
    }

    /// Takes the encoder that was not asked for longest, of those that nobody uses.
    fn take_one(&self) -> Option<Arc<Encoder>> {
        let models = self.known();
        let slots = models.iter().flat_map(|model| [&model.text, &model.image]);
        let mut loaded: Vec<(u64, &Slot)> =
            slots.filter_map(|slot| Some((slot.get()?.last_use.load(Relaxed), slot))).collect();
        loaded.sort_by_key(|(last_use, _)| *last_use);
        loaded.into_iter().find_map(|(_, slot)| slot.take_if_unused())
    }

    /// A model with no encoder in memory is read anew when it is asked for: its files may be others by then.
    fn forget_unloaded(&self, name: &str) {
        let mut models = self.models.lock().expect("no panic while held");
        models.retain(|known, model| {
            known.to_string() != name
                || model.get().is_none_or(|model| model.is_loaded() || Arc::strong_count(model) > 1)
        });
    }

    /// The model of this name.
    pub(crate) async fn get(&self, name: &str, config: &Arc<Config>) -> Result<Arc<Model>> {
        let name = ModelName::parse(name)?;
        let known = self.models.lock().expect("no panic while held").get(&name).cloned();
        let slot = match known {
            Some(slot) => slot,
            None => {
                // Only names of installed models take a place in the table.
                find(config, &name)?;
                Arc::clone(self.models.lock().expect("no panic while held").entry(name.clone()).or_default())
            }
        };
        let config = Arc::clone(config);
        let reading = tokio::spawn(async move {
            let read = async || {
                let read_model = move || {
                    let directory = find(&config, &name)?;
                    Model::read(&directory, &name, &config).map(Arc::new)
                };
                spawn_blocking(read_model).await.unwrap_or_else(|panic| Err(failed(&panic)))
            };
            slot.get_or_try_init(read).await.cloned()
        });
        reading.await.unwrap_or_else(|panic| Err(failed(&panic)))
    }

    /// What is known of the endpoints of remote encoders.
    pub(crate) fn endpoints(&self) -> Vec<EndpointStatistics> {
        let mut rows = Vec::new();
        for model in self.known() {
            for modality in [Modality::Text, Modality::Image] {
                let remote = model.remote[modality as usize].as_ref().and_then(|remote| remote.encoder.get());
                let endpoints = remote.map(|remote| remote.endpoints()).unwrap_or_default();
                rows.extend(endpoints.into_iter().map(|endpoint| EndpointStatistics {
                    model: model.spec.name.to_string(),
                    encoder: modality.name().to_owned(),
                    endpoint: endpoint.name,
                    state: endpoint.state.to_owned(),
                    version: endpoint.version,
                    in_flight: endpoint.in_flight,
                    requests: endpoint.requests,
                    failures: endpoint.failures,
                    latency_ms: endpoint.latency.map(|latency| latency.as_secs_f64() * 1000.0),
                    last_error: endpoint.last_error,
                }));
            }
        }
        rows.sort_by(|a, b| (&a.model, &a.encoder, &a.endpoint).cmp(&(&b.model, &b.encoder, &b.endpoint)));
        rows
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
            quantized: None,
            error: None,
        };
        let spec = match ModelSpec::read(directory, name) {
            Ok(spec) => spec,
            Err(error) => {
                let reason = unusable(directory, &[], config).or_else(|| diagnosis::without_graphs(directory));
                let error = reason
                    .map_or_else(|| error.to_string(), |reason| format!("model \"{name}\" cannot be used: {reason}"));
                return ModelInfo { error: Some(error), ..info };
            }
        };
        info.dimension = Some(spec.dimension as u32);
        info.image_size = Some((spec.image.height, spec.image.width));
        info.context_length = Some(spec.context_length as u32);
        info.logit_scale = spec.logit_scale;
        info.size_bytes = Some(spec.size_on_disk);
        info.quantized = quantize::read(directory).filter(|_| spec.precisions().contains(&Precision::W8a8));
        match precisions(&spec, config).and_then(|precisions| Ok((precisions, self.fingerprint(&spec, precisions)?))) {
            Ok((precisions, fingerprint)) => {
                info.precision = Some(spec.describe(precisions));
                info.fingerprint = Some(fingerprint);
                let here = [Modality::Text, Modality::Image].into_iter().filter(|m| spec.remote(*m).is_none());
                let files = here.flat_map(|modality| spec.onnx_file(modality, precisions.of(modality)));
                let reason = unusable(directory, &files.collect::<Vec<_>>(), config);
                info.error = reason.map(|reason| format!("model \"{name}\" cannot be used: {reason}"));
            }
            Err(error) => info.error = Some(error.to_string()),
        }
        let known = self.models.lock().expect("no panic while held").get(name).cloned();
        if let Some(model) = known.as_ref().and_then(|known| known.get()) {
            let mut providers = Vec::new();
            for modality in [Modality::Text, Modality::Image] {
                if let Some(encoder) = model.slot(modality).get() {
                    info.loaded.push(modality.name().to_owned());
                    providers.push(encoder.providers());
                }
            }
            providers.dedup();
            info.execution_provider = (!providers.is_empty()).then(|| providers.join(", "));
        }
        info
    }

    fn fingerprint(&self, spec: &ModelSpec, precisions: Precisions) -> Result<String> {
        let key = (spec.path.clone(), precisions);
        let stamp = (spec.size_on_disk, latest_change(&spec.path));
        if let Some((known, fingerprint)) = self.fingerprints.lock().expect("no panic while held").get(&key)
            && *known == stamp
        {
            return Ok(fingerprint.clone());
        }
        let fingerprint = spec.fingerprint(precisions)?;
        self.fingerprints.lock().expect("no panic while held").insert(key, (stamp, fingerprint.clone()));
        Ok(fingerprint)
    }
}

/// Directory of a model. That the default folder of models does not exist is nothing wrong: an error does not name it.
fn find(config: &Config, name: &ModelName) -> Result<PathBuf> {
    let mut roots = &config.model_roots[..];
    if config.model_dir_is_default && roots.first().is_some_and(|root| !root.exists()) {
        roots = &roots[1..];
    }
    catalog::find(roots, name)
}

/// What is wrong with the ONNX files of a model, as far as that can be told without loading them.
fn unusable(directory: &Path, files: &[String], config: &Config) -> Option<String> {
    diagnosis::damage(directory, files, || {
        diagnosis::highest_ir(Runtime::init(&config.onnxruntime_library).ok()?.version())
    })
}

/// What becomes of images that end too early.
pub(crate) fn on_truncated(config: &Config) -> OnTruncated {
    match config.on_truncated {
        protocol::OnTruncated::Error => OnTruncated::Error,
        protocol::OnTruncated::Decode => OnTruncated::Decode,
    }
}

/// How images are to be understood.
pub(crate) fn reading(config: &Config) -> Reading {
    let transparency = match config.transparency {
        protocol::Transparency::Drop => Transparency::Drop,
        protocol::Transparency::White => Transparency::White,
    };
    let gray16 = match config.gray16 {
        protocol::Gray16::Scale => Gray16::Scale,
        protocol::Gray16::Pil => Gray16::Pil,
    };
    Reading {
        transparency,
        apply_orientation: config.apply_orientation,
        gray16,
        on_truncated: on_truncated(config),
        jpeg_scaling: config.jpeg_scaling,
    }
}

fn latest_change(directory: &Path) -> Option<SystemTime> {
    let files = ["", "onnx", "text", "textual", "vision", "visual"].map(|folder| directory.join(folder));
    let entries = files.iter().filter_map(|directory| std::fs::read_dir(directory).ok()).flatten();
    entries.filter_map(|entry| std::fs::metadata(entry.ok()?.path()).ok()?.modified().ok()).max()
}
