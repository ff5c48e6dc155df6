//! The connection to the database that the demo makes for itself.

use anyhow::{Context, Result, anyhow, bail};
use postgres::error::{DbError, SqlState};
use postgres::{Client, Config, NoTls};
use std::path::PathBuf;

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The folder of its Unix socket.
    pub socket_folder: PathBuf,
    /// The number in the socket's name.
    pub port: u16,
    /// Who connects.
    pub user: String,
}

impl Server {
    /// Takes PGHOST, PGPORT and PGUSER.
    ///
    /// # Errors
    /// One is missing, or PGHOST does not name a Unix socket's folder: the demo makes and drops databases, and does so in
    /// a cluster of its own only.
    pub fn from_environment() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var(name)
                .map_err(|_| anyhow!("{name} is not set\n  Run \"make demo\", which starts a server of its own."))
        };
        let socket_folder = PathBuf::from(variable("PGHOST")?);
        if !socket_folder.is_absolute() {
            bail!(
                "PGHOST={} is not the folder of a Unix socket\n  Run \"make demo\", which starts a server of its own.",
                socket_folder.display()
            );
        }
        let port = variable("PGPORT")?;
        let port = port.parse().with_context(|| format!("PGPORT={port} is not a port"))?;
        Ok(Self { socket_folder, port, user: variable("PGUSER")? })
    }

    /// Connects to a database.
    ///
    /// # Errors
    /// The server does not answer, or has no such database.
    pub fn connect(&self, database: &str) -> Result<Client> {
        Config::new()
            .host_path(&self.socket_folder)
            .port(self.port)
            .user(&self.user)
            .dbname(database)
            .application_name("clip_search demo")
            .connect(NoTls)
            .map_err(|error| explain(&error, &format!("could not connect to the database {database}")))
    }

    /// The command line that opens a database by hand.
    pub fn psql_line(&self, psql: &str, database: &str) -> String {
        format!("{psql} -h {} -p {} -U {} -d {database}", self.socket_folder.display(), self.port, self.user)
    }
}

/// A model as `clip_models()` describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Such as `clip-search/emoji`.
    pub name: String,
    /// Components of its vectors.
    pub dimension: i32,
    /// Width × height that it sees.
    pub image_size: String,
    /// Of its weights.
    pub precision: String,
    /// What `clip_search.device` asks for.
    pub device: String,
    /// What its files are.
    pub fingerprint: String,
}

/// Creates the database if need be, with `model` as its default, connects to it, and creates the extension.
///
/// # Errors
/// The server refuses.
pub fn open(server: &Server, database: &str, model: &str) -> Result<Client> {
    let mut maintenance = server.connect("postgres")?;
    let exists = maintenance
        .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&database])
        .map_err(|error| explain(&error, "could not look for the database"))?
        .is_some();
    let name = identifier(database);
    if !exists {
        run(&mut maintenance, &format!("CREATE DATABASE {name}"))?;
    }
    run(&mut maintenance, &format!("ALTER DATABASE {name} SET clip_search.model = {}", literal(model)))?;
    drop(maintenance);
    let mut client = server.connect(database)?;
    run(&mut client, "SET client_min_messages = warning")?;
    run(&mut client, "CREATE EXTENSION IF NOT EXISTS clip_search CASCADE")?;
    Ok(client)
}

/// What `clip_models()` says of a model.
///
/// # Errors
/// It is not installed, or cannot be used; the error says which ones are.
pub fn find_model(client: &mut Client, name: &str) -> Result<Model> {
    let rows = client
        .query(
            r#"SELECT name, dimension, image_size::text, "precision", device, fingerprint, error FROM clip_models() ORDER BY name"#,
            &[],
        )
        .map_err(|error| explain(&error, "could not ask for the installed models"))?;
    let Some(row) = rows.iter().find(|row| row.get::<_, &str>(0) == name) else {
        let known: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        bail!(
            "the model {name} is not installed\n  Installed: {}.\n  MODEL_DIR=folder names the folder that holds \
             {name}/config.json.",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        );
    };
    if let Some(reason) = row.get::<_, Option<&str>>(6) {
        bail!("the model {name} cannot be used: {reason}");
    }
    let text = |column: usize| row.get::<_, Option<String>>(column).unwrap_or_default();
    Ok(Model {
        name: name.to_owned(),
        dimension: row.get::<_, Option<i32>>(1).with_context(|| format!("the model {name} has no dimension"))?,
        image_size: text(2),
        precision: text(3),
        device: text(4),
        fingerprint: text(5),
    })
}

/// Runs statements that answer nothing.
///
/// # Errors
/// The database refuses; the error repeats the statement.
pub fn run(client: &mut Client, sql: &str) -> Result<()> {
    client.batch_execute(sql).map_err(|error| explain(&error, &format!("this failed: {}", sql.trim())))
}

/// A text as an SQL literal. Standard strings are on: it is our own cluster.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An error of the database with all that it says.
pub fn explain(error: &postgres::Error, fact: &str) -> anyhow::Error {
    match error.as_db_error() {
        Some(error) => anyhow!("{fact}\n  {}", described(error)),
        None => {
            let cause = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
            anyhow!("{fact}\n  {cause}")
        }
    }
}

fn described(error: &DbError) -> String {
    let mut text = format!("{}: {} (SQLSTATE {})", error.severity(), error.message(), error.code().code());
    for (label, more) in [("DETAIL", error.detail()), ("HINT", error.hint())] {
        if let Some(more) = more {
            text.push_str(&format!("\n  {label}: {more}"));
        }
    }
    text
}

/// Why one image could not be embedded, if that is the image's fault: the others are then worth trying.
pub fn fault_of_the_image(error: &postgres::Error) -> Option<String> {
    let error = error.as_db_error()?;
    let image =
        [SqlState::INVALID_BINARY_REPRESENTATION, SqlState::FEATURE_NOT_SUPPORTED, SqlState::PROGRAM_LIMIT_EXCEEDED];
    image.contains(error.code()).then(|| error.message().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_what_it_puts_into_sql() {
        assert_eq!(literal("a cat's \\ hat"), "'a cat''s \\ hat'");
        assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    }

    #[test]
    fn says_how_to_connect_by_hand() {
        let server = Server { socket_folder: "/tmp/s".into(), port: 54329, user: "postgres".into() };
        assert_eq!(server.psql_line("psql", "demo"), "psql -h /tmp/s -p 54329 -U postgres -d demo");
    }
}
