//! Other processes, and waiting for something to become true.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// A process that this one did not start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process(pub i32);

impl Process {
    /// Ends it, whatever it does.
    pub fn kill(self) {
        self.signal(Signal::KILL);
    }

    /// Asks it to end.
    pub fn terminate(self) {
        self.signal(Signal::TERM);
    }

    /// Makes it stand still, so that it never answers. Returns when all of its threads do: on a busy machine, some may
    /// run for a while after the signal.
    pub fn freeze(self) {
        self.signal(Signal::STOP);
        wait_until("all threads stand still", Duration::from_secs(20), || {
            let threads = fs::read_dir(self.folder().join("task")).into_iter().flatten().flatten();
            threads.map(|thread| fs::read_to_string(thread.path().join("stat")).unwrap_or_default()).all(|stat| {
                // The state follows the name, which is in parentheses and may have any character.
                stat.rsplit(") ").next().is_some_and(|rest| rest.is_empty() || rest.starts_with('T'))
            })
        });
    }

    /// Undoes [`Process::freeze`].
    pub fn thaw(self) {
        self.signal(Signal::CONT);
    }

    fn signal(self, signal: Signal) {
        let pid = Pid::from_raw(self.0).expect("a process id is not 0");
        // One that has just ended by itself is no failure of the test.
        let _ = kill_process(pid, signal);
    }

    /// Whether it still runs; one that has ended but was not reaped does not.
    pub fn runs(self) -> bool {
        !self.arguments().is_empty()
    }

    fn folder(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.0))
    }

    /// Its command line; empty for one that has ended.
    fn arguments(self) -> Vec<String> {
        let line = fs::read(self.folder().join("cmdline")).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .filter(|word| !word.is_empty())
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }

    /// Processes that it has started and that still run.
    pub fn children(self) -> Vec<Self> {
        let parent = |process: &Self| -> Option<i32> {
            let stat = fs::read_to_string(process.folder().join("stat")).ok()?;
            // The name is in parentheses and may have any character; then come the state and the parent.
            stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
        };
        all().filter(|process| parent(process) == Some(self.0) && process.runs()).collect()
    }

    /// Processes of this working directory, or with a title that ends with it, whose command line is accepted.
    pub(crate) fn find(working_directory: &Path, accept: impl Fn(&[String]) -> bool) -> Vec<Self> {
        let title = format!(" of {}", working_directory.display());
        // Where a process that nobody may look into works is not to be seen.
        let is_of_folder = |process: &Self| {
            fs::read_link(process.folder().join("cwd")).is_ok_and(|folder| folder == working_directory)
                || process.arguments().first().is_some_and(|argument| argument.ends_with(&title))
        };
        let mut found: Vec<Self> =
            all().filter(|process| is_of_folder(process) && accept(&process.arguments())).collect();
        found.sort();
        found
    }
}

fn all() -> impl Iterator<Item = Process> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries.filter_map(|entry| Some(Process(entry.ok()?.file_name().to_str()?.parse().ok()?)))
}

/// Asks again and again until the answer is yes.
///
/// # Panics
/// Where it is still no after `limit`.
pub fn wait_until(what: &str, limit: Duration, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {limit:?}: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
