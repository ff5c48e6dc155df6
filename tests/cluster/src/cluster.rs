//! One throwaway cluster.

use crate::installation::{Installation, run};
use crate::process::{Process, wait_until};
use crate::sql;
use postgres::error::DbError;
use postgres::{Client, Config, NoTls};
use protocol::SocketPaths;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;

/// The model of the clusters: small, with random weights.
pub const MODEL: &str = "golden/small";
/// The length of its vectors.
pub const DIMENSION: usize = 32;

/// Names the socket's file; nothing listens on TCP. Not 5432: a lost socket must not lead to somebody's cluster.
pub const PORT: u16 = 54329;

/// What a connection was told besides results, since somebody took it away.
pub type Notices = Arc<Mutex<Vec<DbError>>>;

/// How `pg_ctl stop` ends a cluster.
#[derive(Clone, Copy, Debug)]
pub enum StopMode {
    /// Waits for the clients.
    Smart,
    /// Ends the clients.
    Fast,
    /// Ends everything, without a checkpoint.
    Immediate,
}

/// What a cluster is started with.
#[derive(Default)]
pub struct Builder {
    preload: bool,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Builder {
    /// Puts the library into `shared_preload_libraries`.
    pub fn preload(mut self, preload: bool) -> Self {
        self.preload = preload;
        self
    }

    /// A line of postgresql.conf.
    pub fn set(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// A variable of the postmaster's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes and starts the cluster, with the extension in the database `postgres`.
    pub fn start(self) -> Cluster {
        let cluster =
            self.make(|data| run(Command::new("cp").arg("--archive").arg(Installation::get().template()).arg(data)));
        cluster.start();
        sql::create_extension(&mut cluster.connect());
        cluster
    }

    /// Makes and starts a hot standby of `primary`.
    pub fn start_standby_of(self, primary: &Cluster) -> Cluster {
        let cluster = self.make(|data| {
            run(Installation::get()
                .command("pg_basebackup")
                .args(["--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--username=postgres"])
                .arg(format!("--host={}", primary.sockets().display()))
                .arg(format!("--port={PORT}"))
                .arg("--pgdata")
                .arg(data));
        });
        let in_backup = cluster.data().join(SocketPaths::DIRECTORY).exists();
        assert!(!in_backup, "{} must not be in a backup", SocketPaths::DIRECTORY);
        cluster.start();
        cluster
    }

    fn make(self, fill: impl FnOnce(&Path)) -> Cluster {
        let installation = Installation::get();
        let root = tempfile::Builder::new().prefix("clip-").tempdir().expect("temporary folder");
        installation.own(root.path());
        let cluster = Cluster { root, environment: self.environment.clone() };
        for folder in [cluster.sockets(), cluster.models()] {
            fs::create_dir(&folder).expect("folder");
            installation.own(&folder);
        }
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../golden/models/golden");
        run(Command::new("cp").arg("--recursive").arg(golden).arg(cluster.models()));
        run(Command::new("chmod").args(["--recursive", "a+rX"]).arg(cluster.models()));
        fill(&cluster.data());
        cluster.write_settings(&self);
        cluster
    }
}

/// A cluster that runs, and is stopped and removed when dropped.
pub struct Cluster {
    root: TempDir,
    environment: Vec<(String, String)>,
}

impl Cluster {
    /// A cluster with settings of its own.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// A cluster that preloads the library.
    pub fn preloaded() -> Self {
        Self::builder().preload(true).start()
    }

    /// A cluster in which the first call starts the server.
    pub fn on_demand() -> Self {
        Self::builder().start()
    }

    fn write_settings(&self, builder: &Builder) {
        let mut lines = format!(
            "listen_addresses = ''\nport = {PORT}\nunix_socket_directories = '{}'\nfsync = off\nlc_messages = 'C'\n\
             full_page_writes = off\nclip_search.watchdog_timeout = 0\nclip_search.url_ports = '1-65535'\nshared_buffers = '16MB'\nlog_line_prefix = '%m [%p] '\n\
             clip_search.model = '{MODEL}'\nclip_search.model_dir = '{}'\n",
            self.sockets().display(),
            self.models().display(),
        );
        if builder.preload {
            lines.push_str("shared_preload_libraries = 'clip_search'\n");
        }
        for (name, value) in &builder.settings {
            lines.push_str(&format!("{name} = '{value}'\n"));
        }
        let file = OpenOptions::new().append(true).open(self.data().join("postgresql.conf"));
        file.and_then(|mut file| file.write_all(lines.as_bytes())).expect("postgresql.conf");
    }

    /// Starts a cluster that was stopped.
    pub fn start(&self) {
        assert!(self.try_start(), "the cluster did not start:\n{}", self.log());
    }

    /// Starts it; false where it does not start, as when processes of one that was killed are still there.
    pub fn try_start(&self) -> bool {
        let status = self
            .pg_ctl("start")
            .args(["--wait", "--timeout=60", "--silent"])
            .arg("--log")
            .arg(self.log_file())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        status.expect("pg_ctl").success()
    }

    /// Stops it and waits for the end of the postmaster.
    pub fn stop(&self, mode: StopMode) {
        let mode = match mode {
            StopMode::Smart => "--mode=smart",
            StopMode::Fast => "--mode=fast",
            StopMode::Immediate => "--mode=immediate",
        };
        run(self.pg_ctl("stop").args([mode, "--wait", "--timeout=30", "--silent"]));
    }

    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = Installation::get().command("pg_ctl");
        command.arg(action).arg("--pgdata").arg(self.data()).envs(self.environment.iter().cloned());
        command
    }

    /// A connection of the superuser to the database `postgres`.
    pub fn connect(&self) -> Client {
        self.connect_to("postgres", "postgres")
    }

    /// A connection.
    pub fn connect_to(&self, database: &str, user: &str) -> Client {
        self.connect_with(|config| {
            config.user(user).dbname(database);
        })
    }

    /// A connection of the superuser, unless `change` says otherwise.
    pub fn connect_with(&self, change: impl FnOnce(&mut Config)) -> Client {
        let mut config = self.config();
        change(&mut config);
        config.connect(NoTls).unwrap_or_else(|error| panic!("{error:?}\n{}", self.log()))
    }

    /// A connection of the superuser to the database `postgres`, where there can be one.
    ///
    /// # Errors
    /// The cluster is down, or starts.
    pub fn try_connect(&self) -> Result<Client, postgres::Error> {
        self.config().connect(NoTls)
    }

    fn config(&self) -> Config {
        let mut config = Config::new();
        config.host_path(self.sockets()).port(PORT).user("postgres").dbname("postgres");
        config
    }

    /// What a program is told to connect with, to the database `postgres`.
    pub fn dsn(&self, user: &str) -> String {
        format!("host={} port={PORT} user={user} dbname=postgres", self.sockets().display())
    }

    /// A connection of the superuser, and what it is told besides results.
    pub fn connect_with_notices(&self) -> (Client, Notices) {
        let notices = Notices::default();
        let told = Arc::clone(&notices);
        let client = self.connect_with(|config| {
            config.notice_callback(move |notice| told.lock().unwrap().push(notice));
        });
        (client, notices)
    }

    /// psql in a process of its own, which can be killed.
    pub fn psql(&self) -> Command {
        let mut command = self.client("psql");
        command.arg("--no-psqlrc");
        command
    }

    /// One of PostgreSQL's client programs, to be run against this cluster.
    pub fn client(&self, program: &str) -> Command {
        let mut command = Installation::get().command(program);
        command.env("PGHOST", self.sockets()).env("PGPORT", PORT.to_string());
        command.env("PGUSER", "postgres").env("PGDATABASE", "postgres");
        command
    }

    /// Changes settings with ALTER SYSTEM, without a reload.
    pub fn alter_system(&self, settings: &[(&str, &str)]) {
        let mut client = self.connect();
        // ALTER SYSTEM knows a library's settings only in a session that has loaded it.
        client.batch_execute("LOAD 'clip_search'").expect("LOAD");
        for (name, value) in settings {
            client.batch_execute(&format!("ALTER SYSTEM SET {name} = '{value}'")).expect("ALTER SYSTEM");
        }
    }

    /// Changes settings and reloads. Processes take them a moment later.
    pub fn reconfigure(&self, settings: &[(&str, &str)]) {
        self.alter_system(settings);
        self.connect().batch_execute("SELECT pg_reload_conf()").expect("reload");
    }

    /// The folder of the models.
    pub fn models(&self) -> PathBuf {
        self.root.path().join("models")
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// The folder of the socket, which clients take for a host.
    pub fn sockets(&self) -> PathBuf {
        self.root.path().join("s")
    }

    fn log_file(&self) -> PathBuf {
        self.root.path().join("log")
    }

    /// The socket of clip-search-server.
    pub fn server_socket(&self) -> PathBuf {
        self.data().join(SocketPaths::SOCKET)
    }

    /// A file that the cluster's user can read, with the given mode.
    pub fn file(&self, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = self.root.path().join(name);
        // By another process: what other tests start just now would have it open, and nobody can run a program that is open for writing.
        let mut writer =
            Command::new("tee").arg(&path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("tee");
        writer.stdin.take().expect("a pipe").write_all(content.as_bytes()).expect("content");
        assert!(writer.wait().expect("tee").success(), "{} was not written", path.display());
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode");
        Installation::get().own(&path);
        path
    }

    /// What the cluster logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()).into_owned()
    }

    /// The postmaster.
    pub fn postmaster(&self) -> Process {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).expect("the cluster runs");
        Process(text.lines().next().and_then(|line| line.parse().ok()).expect("a process id"))
    }

    /// The processes of clip-search-server that this cluster has, or whatever stands in for it.
    pub fn servers(&self) -> Vec<Process> {
        Process::find(&self.data(), |arguments| arguments.iter().any(|argument| argument == SocketPaths::SOCKET))
    }

    /// The decoders of a server.
    pub fn decoders_of(server: Process) -> Vec<Process> {
        server.children()
    }

    /// The processes that decode images for this cluster's servers, also for those that are gone.
    pub fn decoders(&self) -> Vec<Process> {
        Process::find(&self.data(), |arguments| arguments.get(1).is_some_and(|argument| argument == "decoder"))
    }

    /// The processes that install, verify or remove a model.
    pub fn model_commands(&self) -> Vec<Process> {
        Process::find(&self.data(), |arguments| arguments.get(1).is_some_and(|argument| argument == "models"))
    }

    /// The one server; waits for it.
    pub fn server(&self) -> Process {
        let mut servers = Vec::new();
        wait_until("one clip-search-server", Duration::from_secs(20), || {
            servers = self.servers();
            servers.len() == 1
        });
        servers[0]
    }

    /// The server that replaces `old`; waits for it.
    pub fn server_after(&self, old: Process) -> Process {
        let mut servers = Vec::new();
        wait_until("another clip-search-server", Duration::from_secs(20), || {
            servers = self.servers();
            servers.len() == 1 && servers[0] != old
        });
        servers[0]
    }

    /// The supervisors.
    pub fn supervisors(&self) -> Vec<Process> {
        Process::find(&self.data(), |arguments| {
            arguments.first().is_some_and(|title| title.starts_with("postgres: clip_search supervisor"))
        })
    }

    /// The one supervisor; waits for it.
    pub fn supervisor(&self) -> Process {
        let mut supervisors = Vec::new();
        wait_until("one supervisor", Duration::from_secs(10), || {
            supervisors = self.supervisors();
            supervisors.len() == 1
        });
        supervisors[0]
    }

    /// Has the supervisor end; returns the server that ended with it.
    pub fn terminate_supervisor(&self) -> Process {
        let (server, supervisor) = (self.server(), self.supervisor());
        supervisor.terminate();
        wait_until("the server ends with its supervisor", Duration::from_secs(10), || !server.runs());
        wait_until("the supervisor ends", Duration::from_secs(10), || !supervisor.runs());
        server
    }

    /// Kills the supervisor, which restarts all sessions as with any of PostgreSQL's processes; returns the server that
    /// left after it.
    pub fn kill_supervisor(&self) -> Process {
        let server = self.server();
        self.supervisor().kill();
        wait_until("the server leaves", Duration::from_secs(10), || !server.runs());
        self.wait_for_log("all server processes terminated; reinitializing");
        self.wait_for_sessions();
        server
    }

    /// Waits until the cluster accepts sessions.
    pub fn wait_for_sessions(&self) {
        wait_until("the cluster accepts sessions", Duration::from_secs(30), || {
            self.psql().args(["-c", "SELECT 1"]).output().is_ok_and(|psql| psql.status.success())
        });
    }

    /// Waits until a backend waits for the server.
    pub fn wait_for_waiting(&self, backend: i32) {
        let mut client = self.connect();
        let query =
            "SELECT 1 FROM pg_stat_activity WHERE pid = $1 AND state = 'active' AND wait_event_type = 'Extension'";
        wait_until("the backend waits for the server", Duration::from_secs(20), || {
            !client.query(query, &[&backend]).expect("pg_stat_activity").is_empty()
        });
    }

    /// Waits until the log has a line with `text`.
    pub fn wait_for_log(&self, text: &str) {
        wait_until(&format!("the log says {text:?}"), Duration::from_secs(20), || self.log().contains(text));
    }

    /// Fails where the postmaster has restarted its sessions, or a process of PostgreSQL itself has died.
    pub fn assert_sessions_survived(&self) {
        let log = self.log();
        for sign in [
            "terminating any other active server processes",
            "all server processes terminated",
            ") was terminated by signal",
            "TRAP:",
            "panicked at",
        ] {
            assert!(!log.contains(sign), "the log says {sign:?}:\n{log}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let start = log.len().saturating_sub(4000);
            eprintln!("---- the end of the cluster's log:\n{}", log.get(start..).unwrap_or(&log));
        }
        let _ = self.pg_ctl("stop").args(["--mode=immediate", "--silent"]).output();
        // One that a test has frozen does not leave by itself.
        for server in self.servers() {
            server.kill();
        }
    }
}
