//! One psql session for all blocks.

use crate::document::Block;
use anyhow::{Context, Result, anyhow};
use std::io::{PipeReader, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Longest time for all blocks: some hundred images are embedded within seconds.
const LIMIT: Duration = Duration::from_secs(300);
/// Printed after each block, with its number.
const MARKER: &str = "clip-search-tutorial: end of block";

/// What ended the session before its end.
pub enum Stopped {
    /// After this many blocks, with what was printed since.
    At(usize, String),
    /// Before it began.
    Early(anyhow::Error),
}

impl Stopped {
    /// As an error that says where in the file it was.
    pub fn in_file(self, file: &Path, blocks: &[Block]) -> anyhow::Error {
        match self {
            Self::At(block, output) => {
                let line = blocks.get(block).map_or(0, |block| block.line);
                anyhow!("{}:{line}: psql did not get to the end of this block. It printed:\n{output}", file.display())
            }
            Self::Early(error) => error,
        }
    }
}

/// What psql prints for each block, results, notices and errors in their order.
///
/// # Errors
/// It could not be started, or stopped on the way.
pub fn run(psql: &str, folder: &Path, blocks: &[String]) -> Result<Vec<String>, Stopped> {
    let printed = session(psql, folder, &script(blocks)).map_err(Stopped::Early)?;
    split(&printed, blocks.len())
}

/// A psql for the user.
///
/// # Errors
/// It could not be started.
pub fn shell(psql: &str, folder: &Path) -> Result<bool> {
    println!("The images are served until you leave psql. Its folder is {}.\n", folder.display());
    let status = command(psql, folder).status().with_context(|| format!("could not run {psql}"))?;
    Ok(status.success())
}

fn command(psql: &str, folder: &Path) -> Command {
    let mut command = Command::new(psql);
    command.arg("--no-psqlrc").args(["--set", "ON_ERROR_STOP=0"]).current_dir(folder);
    command.env("PGCLIENTENCODING", "UTF8").env("LC_ALL", "C.UTF-8");
    command
}

/// The session's input. psql reads it as a whole, so that nothing depends on when it flushes what it prints.
fn script(blocks: &[String]) -> String {
    blocks.iter().enumerate().map(|(number, sql)| format!("{sql}\n\\echo {MARKER} {number}\n")).collect()
}

fn session(psql: &str, folder: &Path, script: &str) -> Result<String> {
    let mut input = tempfile::tempfile()?;
    input.write_all(script.as_bytes())?;
    input.rewind()?;
    // One pipe for both, as on a terminal: psql flushes results before it prints an error.
    let (output, stdout) = std::io::pipe()?;
    let stderr = stdout.try_clone()?;
    let mut command = command(psql, folder);
    command.stdin(Stdio::from(input)).stdout(stdout).stderr(stderr);
    let mut child = command.spawn().with_context(|| format!("could not run {psql}"))?;
    // It holds our ends of the pipe, which would keep it open.
    drop(command);
    let printed = read(output, &mut || drop(child.kill()))?;
    child.wait()?;
    Ok(printed)
}

/// All that comes through the pipe, until it is closed or the time is up.
fn read(mut pipe: PipeReader, end: &mut dyn FnMut()) -> Result<String> {
    let (done, wait) = mpsc::channel::<()>();
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        let result = pipe.read_to_end(&mut bytes);
        drop(done);
        result.map(|_| bytes)
    });
    if wait.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
        end();
    }
    let bytes = reader.join().map_err(|_| anyhow!("the thread that reads psql's output panicked"))??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn split(printed: &str, blocks: usize) -> Result<Vec<String>, Stopped> {
    let mut outputs = Vec::new();
    let mut rest = printed;
    for number in 0..blocks {
        // psql may have printed something without a line's end before it.
        let Some((output, after)) = rest.split_once(&format!("{MARKER} {number}\n")) else {
            return Err(Stopped::At(number, rest.to_owned()));
        };
        outputs.push(output.to_owned());
        rest = after;
    }
    Ok(outputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_split_at_the_markers() {
        let printed = format!("a\n{MARKER} 0\n{MARKER} 1\nb{MARKER} 2\n");
        assert!(split(&printed, 3).is_ok_and(|outputs| outputs == ["a\n", "", "b"]));
        let Err(Stopped::At(block, output)) = split(&format!("a\n{MARKER} 0\nFATAL\n"), 2) else {
            panic!("the second block did not end")
        };
        assert_eq!((block, output.as_str()), (1, "FATAL\n"));
    }

    /// `cat` prints the session's input, as psql would its output.
    #[test]
    fn a_session_gives_what_is_printed() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("psql");
        std::fs::write(&program, "#!/bin/sh\nexec sed 's/^.echo //'\n").unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let outputs = run(program.to_str().unwrap(), folder.path(), &["SELECT 1;".into(), "SELECT 2;".into()]);
        assert!(outputs.is_ok_and(|outputs| outputs == ["SELECT 1;\n", "SELECT 2;\n"]));
        assert!(matches!(run("/nowhere/psql", folder.path(), &[]), Err(Stopped::Early(_))));
    }
}
