//! A cluster as in a container: the postmaster is process 1.

use crate::cluster::{Cluster, StopMode};
use crate::installation::Installation;
use crate::process::Process;
use protocol::SocketPaths;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// Mounts the small disk, and becomes the postmaster.
const SCRIPT: &str = r#"
    owner=$(stat --format=uid=%u,gid=%g "$1")
    mount -t tmpfs -o "$owner,mode=700,size=64k,nr_inodes=16" tmpfs "$1"
    shift
    exec "$@"
"#;

/// A cluster whose postmaster is process 1 of a namespace, and whose folder of the socket is a small disk of its own.
///
/// Process ids that SQL says are those inside, the ones of [`Process`] those outside.
pub struct Container {
    /// Not to be stopped or asked for its postmaster: what its file calls process 1 is another one outside.
    pub cluster: Cluster,
    unshare: Child,
}

impl Container {
    /// Starts a cluster again, in a container.
    ///
    /// # Panics
    /// Where this machine has no namespaces, or they are not for the user of the tests.
    pub fn start(cluster: Cluster) -> Self {
        cluster.stop(StopMode::Fast);
        let disk = cluster.data().join(SocketPaths::DIRECTORY);
        let _ = fs::remove_dir_all(&disk);
        fs::create_dir(&disk).expect("folder");
        Installation::get().own(&disk);
        let postgres = Installation::get().command("postgres");
        let mut command = namespaces();
        command.args(["sh", "-euc", SCRIPT, "sh"]).arg(&disk).args(as_owner(&cluster, &postgres));
        for (name, _) in postgres.get_envs() {
            command.env_remove(name);
        }
        let log = OpenOptions::new().append(true).open(log_file(&cluster)).expect("log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("log")).stderr(log).current_dir("/");
        let unshare = command.spawn().expect("unshare");
        let container = Self { cluster, unshare };
        container.cluster.wait_for_sessions();
        container
    }

    /// The postmaster, as it is called outside.
    fn postmaster(&self) -> Option<Process> {
        let data = self.cluster.data().display().to_string();
        Process::find(&self.cluster.data(), |arguments| arguments.get(1..) == Some(&["-D".to_owned(), data.clone()]))
            // A child that it has just forked has its command line, too.
            .into_iter()
            .min_by_key(|process| process.0)
    }

    /// The small disk, as seen from outside.
    fn disk(&self) -> PathBuf {
        let postmaster = self.postmaster().expect("the postmaster runs");
        let path = self.cluster.data().join(SocketPaths::DIRECTORY);
        PathBuf::from(format!("/proc/{}/root", postmaster.0)).join(path.strip_prefix("/").expect("an absolute path"))
    }

    /// Fills the small disk: there is no byte and no file left.
    pub fn fill_disk(&self) {
        let mut filler = File::create(self.disk().join("filler")).expect("filler");
        while filler.write_all(&[0; 512]).is_ok() {}
        let more = |number: &usize| File::create(self.disk().join(format!("filler{number}"))).is_ok();
        assert!((0..1000).take_while(more).count() < 1000, "the disk is not full");
    }

    /// Makes room again.
    pub fn clear_disk(&self) {
        for entry in fs::read_dir(self.disk()).expect("the disk").flatten() {
            if entry.file_name().to_string_lossy().starts_with("filler") {
                fs::remove_file(entry.path()).expect("filler");
            }
        }
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // The end of process 1 is the end of all.
        match self.postmaster() {
            Some(postmaster) => postmaster.kill(),
            // It has ended, or never came to be.
            None => drop(self.unshare.kill()),
        }
        let _ = self.unshare.wait();
        // pg_ctl would take the 1 in it for a process outside.
        let _ = fs::remove_file(self.cluster.data().join("postmaster.pid"));
    }
}

fn log_file(cluster: &Cluster) -> PathBuf {
    cluster.data().with_file_name("log")
}

/// unshare with its options, once it has been tried.
fn namespaces() -> Command {
    let command = || {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]);
        command
    };
    let tried = command().arg("true").output().expect("unshare, of the package util-linux");
    assert!(
        tried.status.success(),
        "this test needs namespaces for mounts and processes, which this machine does not let its user have: {}\
         As root it takes CAP_SYS_ADMIN; otherwise kernel.unprivileged_userns_clone, or in a container its \
         security options.",
        String::from_utf8_lossy(&tried.stderr)
    );
    command()
}

/// The command as the owner of the cluster, who is root inside if nobody is outside: postgres refuses to be root.
fn as_owner(cluster: &Cluster, postgres: &Command) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if !rustix::process::geteuid().is_root() {
        let owner = fs::metadata(cluster.data()).expect("data directory");
        let map = [format!("--map-user={}", owner.uid()), format!("--map-group={}", owner.gid())];
        words.extend(["unshare".into(), "--user".into()]);
        words.extend(map.map(OsString::from));
    }
    words.push(postgres.get_program().to_owned());
    words.extend(postgres.get_args().map(OsStr::to_owned));
    words.extend(["-D".into(), cluster.data().into()]);
    words
}
