//! What the program was told.

use anyhow::{Context, Result, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Fewest characters of a token that an administrator chooses.
const MIN_TOKEN: usize = 16;

/// How to reach the database, and whom to answer.
pub struct Options {
    /// The database and the role.
    pub config: Config,
    /// TLS to the database.
    pub tls: MakeRustlsConnect,
    /// Longest time of one statement.
    pub statement_timeout: Duration,
    /// Most connections to the database.
    pub connections: usize,
    /// What a browser has to know, if anything.
    pub token: Option<String>,
}

/// Reads a connection string, `key=value` or a URL. What it leaves out comes from the environment, as libpq has it.
///
/// A server that is not on this machine is asked for TLS and has to show a certificate for its name, unless the string says
/// `sslmode=disable`.
///
/// # Errors
/// It is no connection string.
pub fn connection(dsn: &str, variable: impl Fn(&str) -> Option<String>) -> Result<Config> {
    let mut config: Config = dsn.parse().with_context(|| {
        "this is no connection string; write postgresql://user@host/database, or host=… user=… dbname=…. \
         Of sslmode, \"require\" checks the server's certificate and name"
    })?;
    if config.get_hosts().is_empty() {
        match variable("PGHOST") {
            Some(hosts) => hosts.split(',').for_each(|host| {
                config.host(host);
            }),
            None if Path::new("/var/run/postgresql").is_dir() => {
                config.host_path("/var/run/postgresql");
            }
            None => {
                config.host("localhost");
            }
        }
    }
    if config.get_ports().is_empty()
        && let Some(port) = variable("PGPORT")
    {
        config.port(port.parse().with_context(|| format!("PGPORT={port} is not a port"))?);
    }
    if config.get_user().is_none()
        && let Some(user) = variable("PGUSER")
    {
        config.user(user);
    }
    if config.get_dbname().is_none()
        && let Some(database) = variable("PGDATABASE")
    {
        config.dbname(database);
    }
    if config.get_password().is_none()
        && let Some(password) = variable("PGPASSWORD")
    {
        config.password(password);
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(Duration::from_secs(10));
    }
    if config.get_ssl_mode() == SslMode::Prefer {
        let is_here = config.get_hosts().iter().all(is_here);
        config.ssl_mode(if is_here { SslMode::Disable } else { SslMode::Require });
    }
    Ok(config)
}

fn is_here(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
        }
    }
}

/// TLS that trusts the authorities of a file, or those of this machine.
///
/// # Errors
/// The file cannot be read, or has no certificate.
pub fn tls(authorities: Option<&Path>) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    match authorities {
        Some(file) => {
            for certificate in CertificateDer::pem_file_iter(file).with_context(|| file.display().to_string())? {
                roots.add(certificate.with_context(|| file.display().to_string())?)?;
            }
            ensure!(!roots.is_empty(), "{}: there is no certificate in it", file.display());
        }
        // Those that cannot be read are missed only where they are needed.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = rustls::crypto::ring::default_provider().into();
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// The token: from a file or the environment, or, where other machines can connect, a new one.
///
/// # Errors
/// The file cannot be read, or the token is too short.
pub fn token(file: Option<&PathBuf>, given: Option<String>, listen: SocketAddr) -> Result<Option<String>> {
    let given = match file {
        Some(file) => Some(std::fs::read_to_string(file).with_context(|| file.display().to_string())?),
        None => given,
    };
    let Some(given) = given.map(|token| token.trim().to_owned()) else {
        return if listen.ip().is_loopback() { Ok(None) } else { random().map(Some) };
    };
    if given.len() < MIN_TOKEN || !given.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        bail!("a token has at least {MIN_TOKEN} characters, letters, digits, \"-\", \"_\" and \".\"");
    }
    Ok(Some(given))
}

fn random() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).context("could not make a token")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: &str) -> Option<String> {
        None
    }

    #[test]
    fn the_environment_fills_in_what_the_string_leaves_out() {
        let environment = |name: &str| {
            let value = match name {
                "PGHOST" => "/tmp/socket",
                "PGPORT" => "6000",
                "PGUSER" => "reader",
                "PGDATABASE" => "photos",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let config = connection("", environment).unwrap();
        assert_eq!(config.get_hosts(), [Host::Unix("/tmp/socket".into())]);
        assert_eq!(
            (config.get_ports(), config.get_user(), config.get_dbname()),
            (&[6000][..], Some("reader"), Some("photos"))
        );
        let config = connection("postgresql://me@db.example/other", environment).unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("db.example".to_owned())]);
        assert_eq!((config.get_user(), config.get_dbname()), (Some("me"), Some("other")));
    }

    #[test]
    fn other_machines_are_asked_for_tls() {
        let mode = |dsn: &str| connection(dsn, nothing).unwrap().get_ssl_mode();
        assert_eq!(mode("host=/tmp"), SslMode::Disable);
        assert_eq!(mode("host=127.0.0.1"), SslMode::Disable);
        assert_eq!(mode("host=db.example"), SslMode::Require);
        assert_eq!(mode("host=db.example sslmode=disable"), SslMode::Disable);
        assert_eq!(mode("host=localhost sslmode=require"), SslMode::Require);
        let error = connection("host=x sslmode=verify-full", nothing).unwrap_err();
        assert!(error.to_string().contains("\"require\" checks"), "{error}");
    }

    #[test]
    fn who_listens_for_others_has_a_token() {
        let (here, everywhere) = ("127.0.0.1:80".parse().unwrap(), "0.0.0.0:80".parse().unwrap());
        assert_eq!(token(None, None, here).unwrap(), None);
        let [first, second] = [(); 2].map(|()| token(None, None, everywhere).unwrap().unwrap());
        assert!(first.len() >= 32 && first != second);
        assert_eq!(token(None, Some("0123456789abcdef\n".into()), here).unwrap().unwrap(), "0123456789abcdef");
        for bad in ["short", "0123456789abcde ;"] {
            assert!(token(None, Some(bad.into()), everywhere).is_err());
        }
    }

    #[test]
    fn a_file_without_certificates_is_refused() {
        assert!(tls(Some(Path::new("/dev/null"))).is_err());
        assert!(tls(Some(Path::new("/nowhere"))).is_err());
    }
}
