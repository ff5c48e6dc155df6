//! `clip-search-explore`: a page to search a database's images with.

use anyhow::{Context, Result};
use clap::Parser;
use clip_search_explore::{Options, options, serve};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(version, about = "Serves a page to search a database's images with clip_search: read-only, on loopback.")]
struct Arguments {
    /// Connection string: postgresql://user@host/database, or "host=… dbname=…". What it leaves out comes from PGHOST, PGPORT,
    /// PGUSER, PGDATABASE and PGPASSWORD.
    #[arg(default_value = "")]
    dsn: String,
    /// Address to listen on. If other machines can reach it, the page asks for a token.
    #[arg(long, default_value = "127.0.0.1:8642")]
    listen: SocketAddr,
    /// File with the token; without it, a random one where a token is needed.
    #[arg(long)]
    token_file: Option<PathBuf>,
    /// The token.
    #[arg(env = "CLIP_SEARCH_EXPLORE_TOKEN", hide_env_values = true, long, hide = true)]
    token: Option<String>,
    /// File of certificate authorities for TLS to the database; without it, this machine's.
    #[arg(long, env = "PGSSLROOTCERT")]
    ca: Option<PathBuf>,
    /// Longest time of one statement, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    statement_timeout: u64,
    /// Most connections to the database.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=100))]
    connections: u16,
}

#[tokio::main]
async fn main() -> ExitCode {
    match explore(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clip-search-explore: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn explore(arguments: Arguments) -> Result<()> {
    let options = Options {
        config: options::connection(&arguments.dsn, |name| std::env::var(name).ok().filter(|value| !value.is_empty()))?,
        tls: options::tls(arguments.ca.as_deref())?,
        statement_timeout: Duration::from_secs(arguments.statement_timeout),
        connections: usize::from(arguments.connections),
        token: options::token(arguments.token_file.as_ref(), arguments.token, arguments.listen)?,
    };
    let listener = TcpListener::bind(arguments.listen)
        .await
        .with_context(|| format!("could not listen on {}; --listen names another address", arguments.listen))?;
    let address = listener.local_addr()?;
    let token = options.token.as_ref().map(|token| format!("?token={token}")).unwrap_or_default();
    println!("http://{address}/{token}");
    let mut terminated = signal(SignalKind::terminate())?;
    let until = async move {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminated.recv() => {}
        }
    };
    serve(listener, options, until).await
}
