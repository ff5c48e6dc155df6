//! The PostgreSQL that `PG_CONFIG` names, with the extension installed, and the user that it runs as.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What a caller's environment says about other servers; and what adds backtraces to the extension's errors.
const FOREIGN: [&str; 10] = [
    "PGDATA",
    "PGHOST",
    "PGPORT",
    "PGUSER",
    "PGDATABASE",
    "PGOPTIONS",
    "PGSERVICE",
    "PGPASSFILE",
    "RUST_BACKTRACE",
    "RUST_LIB_BACKTRACE",
];

/// Programs and folders of one PostgreSQL.
pub(crate) struct Installation {
    bin: PathBuf,
    /// PostgreSQL refuses to run as root: then this is the user and group that it runs as.
    owner: Option<(u32, u32)>,
}

impl Installation {
    pub(crate) fn get() -> &'static Self {
        static FOUND: OnceLock<Installation> = OnceLock::new();
        FOUND.get_or_init(Self::find)
    }

    fn find() -> Self {
        let ask = |option| PathBuf::from(output(Command::new(pg_config()).arg(option)));
        let needed = [
            ask("--sharedir").join("extension/clip_search.control"),
            ask("--sharedir").join("extension/vector.control"),
            ask("--pkglibdir").join("clip_search.so"),
            ask("--pkglibdir").join("clip_search/clip-search-server"),
            ask("--pkglibdir").join("clip_search/libonnxruntime.so"),
        ];
        for file in needed {
            assert!(file.exists(), "{} is missing: run `make setup` and `make install`", file.display());
        }
        let owner = rustix::process::geteuid().is_root().then(unprivileged_user);
        Self { bin: ask("--bindir"), owner }
    }

    /// One of PostgreSQL's programs, run by the user that may, and told nothing about other servers.
    pub(crate) fn command(&self, program: &str) -> Command {
        let program = self.bin.join(program);
        let mut command = match self.owner {
            Some((user, group)) => {
                let mut command = Command::new("setpriv");
                command
                    .arg(format!("--reuid={user}"))
                    .arg(format!("--regid={group}"))
                    .arg("--clear-groups")
                    .arg(program);
                command
            }
            None => Command::new(program),
        };
        for name in FOREIGN {
            command.env_remove(name);
        }
        command.current_dir(env::temp_dir()).stdin(Stdio::null());
        command
    }

    /// Gives a file or folder to the user that PostgreSQL runs as.
    pub(crate) fn own(&self, path: &Path) {
        if let Some((user, group)) = self.owner {
            chown(path, Some(user), Some(group)).expect("root may give files away");
        }
    }

    /// A fresh data directory to copy; made by initdb once for each PostgreSQL and kept in the target folder.
    pub(crate) fn template(&self) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/cluster-tests");
        fs::create_dir_all(&folder).expect("target folder");
        let lock = File::create(folder.join("lock")).expect("lock file");
        lock.lock().expect("lock");
        let version = output(self.command("postgres").arg("--version"));
        let name: String = version.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let template = folder.join(name);
        if !template.exists() {
            let draft = tempfile::tempdir().expect("temporary folder");
            self.own(draft.path());
            let data = draft.path().join("data");
            run(self.command("initdb").arg("--pgdata").arg(&data).args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ]));
            let partial = folder.join("partial");
            let _ = fs::remove_dir_all(&partial);
            run(Command::new("cp").arg("--archive").arg(&data).arg(&partial));
            fs::rename(&partial, &template).expect("rename");
        }
        template
    }
}

fn pg_config() -> String {
    env::var("PG_CONFIG").unwrap_or_else(|_| "pg_config".to_owned())
}

fn unprivileged_user() -> (u32, u32) {
    let id = |option: &str, user: &str| -> Option<u32> {
        let answer = Command::new("id").args([option, user]).stderr(Stdio::null()).output().ok()?;
        String::from_utf8(answer.stdout).ok()?.trim().parse().ok()
    };
    ["postgres", "nobody"]
        .into_iter()
        .find_map(|user| Some((id("-u", user)?, id("-g", user)?)))
        .expect("as root, a user to run PostgreSQL as is needed, and there is no postgres or nobody")
}

/// Runs a command to its end.
///
/// # Panics
/// Where it fails, with what it wrote.
pub(crate) fn run(command: &mut Command) {
    output(command);
}

fn output(command: &mut Command) -> String {
    let result = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}. Run `make setup`."));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    assert!(
        result.status.success(),
        "{command:?}: {}\n{}\n{}",
        result.status,
        text(&result.stdout),
        text(&result.stderr)
    );
    text(&result.stdout)
}
