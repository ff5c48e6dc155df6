//! The cluster that is measured, as the command line names it.

use anyhow::Context;
use clap::Args;
use postgres::{Client, Config, NoTls};
use std::path::PathBuf;
use std::process::ExitCode;

/// Which server and database.
#[derive(Args)]
pub struct Server {
    /// Folder of the server's Unix socket.
    #[arg(long, env = "PGHOST")]
    host: PathBuf,
    /// Port, which is a part of the socket's name.
    #[arg(long, env = "PGPORT", default_value_t = 5432)]
    port: u16,
    /// A superuser.
    #[arg(long, env = "PGUSER", default_value = "postgres")]
    user: String,
    /// Database; the extensions are created in it where they are missing.
    #[arg(long, env = "PGDATABASE", default_value = "postgres")]
    database: String,
}

impl Server {
    /// How to connect.
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(&self.host).port(self.port).user(&self.user).dbname(&self.database);
        config
    }
}

/// Which cluster, and with which model.
#[derive(Args)]
pub struct Cluster {
    #[command(flatten)]
    server: Server,
    /// Model, as owner/name.
    #[arg(long, env = "MODEL")]
    pub model: String,
}

impl Cluster {
    /// Creates the extensions where they are missing. What it returns connects, with this model as the session's.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn prepare(&self, model: &str) -> anyhow::Result<Config> {
        let mut config = self.server.config();
        connect(&config)?
            .batch_execute("SET client_min_messages = warning; CREATE EXTENSION IF NOT EXISTS clip_search CASCADE")?;
        config.options(&format!("-c clip_search.model={model}"));
        Ok(config)
    }
}

/// A connection.
///
/// # Errors
/// What PostgreSQL says.
pub fn connect(config: &Config) -> anyhow::Result<Client> {
    config.connect(NoTls).context("connecting to PostgreSQL")
}

/// How a program ends: with status 1 where a limit is broken, or where it could not measure.
pub fn exit_code(program: &str, all_kept: anyhow::Result<bool>) -> ExitCode {
    match all_kept {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{program}: {error:#}");
            ExitCode::FAILURE
        }
    }
}
