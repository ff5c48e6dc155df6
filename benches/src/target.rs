//! What is measured: a cluster with the extension, and the same model loaded into this process.

use crate::Arguments;
use anyhow::bail;
use clip::{Device, ModelName, ModelSpec, Precision, Runtime, SessionOptions, TextEncoder, Tokenizer};
use measure::Image;
use postgres::{Client, Config};
use std::str::FromStr;

/// The cluster and the bare model.
pub struct Target {
    config: Config,
    /// The connection that everything is timed on.
    pub client: Client,
    /// The bare text encoder, with the precision, device and threads that the server uses.
    pub encoder: TextEncoder,
    /// The model's tokenizer.
    pub tokenizer: Tokenizer,
    about: String,
}

impl Target {
    /// Connects, has the server load the model, and loads it here in the same way.
    ///
    /// # Errors
    /// What PostgreSQL or ONNX Runtime say.
    pub fn connect(arguments: &Arguments) -> anyhow::Result<Self> {
        let config = arguments.cluster.prepare(&arguments.cluster.model)?;
        let mut client = measure::connect(&config)?;
        client.execute("SELECT clip_embed_text('warm'), clip_embed_image($1)", &[&Image::UPLOAD.jpeg(0)?])?;

        let row = client.query_one(
            "SELECT precision, execution_provider, dimension, current_setting('clip_search.threads')::int,
                    current_setting('server_version'), onnxruntime_version
               FROM clip_models(), clip_stat_server WHERE name = $1",
            &[&arguments.cluster.model],
        )?;
        let (precision, provider): (&str, &str) = (row.get(0), row.get(1));
        let (dimension, threads): (i32, i32) = (row.get(2), row.get(3));
        let options = SessionOptions {
            device: Device::from_str(provider.split(',').next().unwrap_or_default())?,
            threads: threads as usize,
            precision: Precision::from_str(precision)?,
            ..SessionOptions::default()
        };
        let name = ModelName::parse(&arguments.cluster.model)?;
        let spec = ModelSpec::read(&arguments.model_dir.join(name.as_str()), &name)?;
        let runtime = Runtime::init(&arguments.onnxruntime_library)?;
        if runtime.version() != row.get::<_, &str>(5) {
            bail!("the server runs ONNX Runtime {}, this process {}", row.get::<_, &str>(5), runtime.version());
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let about = format!(
            "{name}, {dimension} dimensions, {precision} on {provider}, {} threads of {cores} cores; ONNX Runtime {}, \
             PostgreSQL {}",
            if threads == 0 { cores } else { threads as usize },
            runtime.version(),
            row.get::<_, &str>(4),
        );
        Ok(Self {
            config,
            client,
            encoder: TextEncoder::load(&spec, &options, &runtime)?,
            tokenizer: Tokenizer::load(&spec)?,
            about,
        })
    }

    /// Says what is measured, and how busy the machine is.
    pub fn describe(&self) {
        println!("{}", self.about);
        if let Ok(load) = std::fs::read_to_string("/proc/loadavg") {
            println!("load average of the last minute: {}", load.split(' ').next().unwrap_or("?"));
        }
    }

    /// Another connection.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn connect_again(&self) -> anyhow::Result<Client> {
        measure::connect(&self.config)
    }
}
