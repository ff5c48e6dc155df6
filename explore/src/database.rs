//! Connections to the database. Each statement is a read-only transaction of its own.

use crate::error::Failure;
use crate::options::Options;
use axum::http::StatusCode;
use deadpool::Runtime;
use deadpool::managed::{self, Metrics, Object, Pool, PoolError, RecycleError, RecycleResult, TimeoutType};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{AsyncMessage, Client, Config, Connection, NoTls, Row};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest time that a page waits for a connection that others use.
const PATIENCE: Duration = Duration::from_secs(30);

/// A value of a statement.
#[derive(Clone, Debug)]
pub enum Value {
    /// Of any type that the statement casts it to.
    Text(String),
    /// An image.
    Bytes(Arc<Vec<u8>>),
}

impl Value {
    fn typed(&self) -> (&(dyn ToSql + Sync), Type) {
        match self {
            Self::Text(text) => (text, Type::TEXT),
            Self::Bytes(bytes) => (bytes.as_ref(), Type::BYTEA),
        }
    }
}

/// Something that the database said on the way.
pub struct Notice {
    /// With its hint.
    pub text: String,
    /// Whether it is about this statement; a notice may be about the session.
    pub is_warning: bool,
}

/// What a statement gave.
pub struct Answer {
    pub rows: Vec<Row>,
    pub notices: Vec<Notice>,
}

/// The database that is searched.
pub struct Database {
    pool: Pool<Sessions>,
    tls: MakeRustlsConnect,
    has_tls: bool,
    begin: String,
    name: String,
}

struct Sessions {
    config: Config,
    tls: MakeRustlsConnect,
}

struct Session {
    client: Client,
    notices: Arc<Mutex<Vec<Notice>>>,
}

impl managed::Manager for Sessions {
    type Type = Session;
    type Error = tokio_postgres::Error;

    async fn create(&self) -> Result<Session, tokio_postgres::Error> {
        let notices: Arc<Mutex<Vec<Notice>>> = Arc::default();
        // TLS would want a name also where it is not used, and a socket's folder is none.
        let client = if self.config.get_ssl_mode() == SslMode::Disable {
            let (client, connection) = self.config.connect(NoTls).await?;
            tokio::spawn(listen(connection, notices.clone()));
            client
        } else {
            let (client, connection) = self.config.connect(self.tls.clone()).await?;
            tokio::spawn(listen(connection, notices.clone()));
            client
        };
        Ok(Session { client, notices })
    }

    async fn recycle(&self, session: &mut Session, _: &Metrics) -> RecycleResult<tokio_postgres::Error> {
        if session.client.is_closed() { Err(RecycleError::message("closed")) } else { Ok(()) }
    }
}

/// Does what a connection has to do, until it is closed, and keeps what the database says besides answers.
async fn listen<S, T>(mut connection: Connection<S, T>, notices: Arc<Mutex<Vec<Notice>>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    T: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
        if let AsyncMessage::Notice(notice) = message {
            let hint = notice.hint().map(|hint| format!(". {hint}")).unwrap_or_default();
            let (text, is_warning) = (format!("{}{hint}", notice.message()), notice.severity() == "WARNING");
            lock(&notices).push(Notice { text, is_warning });
        }
    }
}

/// A session with a statement under way. Dropped before the end, since the browser has gone, it cancels the statement.
struct Running<'a> {
    session: Option<Object<Sessions>>,
    database: &'a Database,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            // Out of the pool: the cancel may also hit what the session would do next.
            let session = Object::take(session);
            let (token, tls) = (session.client.cancel_token(), self.database.tls.clone());
            if self.database.has_tls {
                tokio::spawn(async move { (token.cancel_query(tls).await, drop(session)) });
            } else {
                tokio::spawn(async move { (token.cancel_query(NoTls).await, drop(session)) });
            }
        }
    }
}

impl Database {
    /// Connects when it is first asked.
    pub fn of(options: &Options) -> Self {
        let mut config = options.config.clone();
        config.application_name("clip-search-explore");
        let name = config.get_dbname().or(config.get_user()).unwrap_or_default().to_owned();
        let sessions = Sessions { config, tls: options.tls.clone() };
        let pool =
            Pool::builder(sessions).max_size(options.connections).wait_timeout(Some(PATIENCE)).runtime(Runtime::Tokio1);
        let timeout = options.statement_timeout.as_millis();
        Self {
            pool: pool.build().expect("a runtime is named"),
            tls: options.tls.clone(),
            has_tls: options.config.get_ssl_mode() != SslMode::Disable,
            begin: format!("BEGIN READ ONLY; SET LOCAL statement_timeout = {timeout}; SET LOCAL lock_timeout = 5000"),
            name,
        }
    }

    /// The database's name, for the page's title.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs one statement.
    ///
    /// # Errors
    /// What the database says, or that it does not answer.
    pub async fn run(&self, statement: &str, values: &[Value]) -> Result<Answer, Failure> {
        let session = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Failure::from(error),
            PoolError::Timeout(TimeoutType::Wait) => Failure {
                status: StatusCode::SERVICE_UNAVAILABLE,
                ..Failure::of_request("all connections to the database are in use")
                    .with("Try again, or raise --connections.")
            },
            error => Failure { status: StatusCode::BAD_GATEWAY, ..Failure::of_request(error.to_string()) },
        })?;
        let mut running = Running { session: Some(session), database: self };
        let session = running.session.as_ref().expect("just put there");
        lock(&session.notices).clear();
        let client = &session.client;
        let values: Vec<_> = values.iter().map(Value::typed).collect();
        let result = async {
            client.batch_execute(&self.begin).await?;
            client.query_typed(statement, &values).await
        };
        let result = result.await;
        let _ = client.batch_execute("ROLLBACK").await;
        let notices = std::mem::take(&mut *lock(&session.notices));
        running.session = None;
        Ok(Answer { rows: result?, notices })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
