//! The server's side of a decoder.

#![allow(unsafe_code)]

use super::wire::{self, FrameHead, Job, MAX_HEAD, Reply, Settings, Started};
use super::{ARGUMENT, process::STATUS_MEMORY};
use crate::{log_warning, process};
use clip::{Error, FrameRange, Limits, Result};
use std::cell::RefCell;
use std::io::{self, BufReader, ErrorKind, IoSlice, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// This program, whatever has been installed in its place meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";
/// Between two looks whether an image takes too long, or whether anybody still wants it.
const TICK: Duration = Duration::from_millis(50);
/// How long a decoder may take to start.
const START: Duration = Duration::from_secs(10);
/// How long a decoder may take to leave when asked, before it is killed.
const LEAVE: Duration = Duration::from_millis(200);
/// A decoder that crashes has this time to be gone, so that it is known how: it may wait for a processor.
const END: Duration = Duration::from_secs(5);
/// Where cores are short, an image may take so many times its limit by the clock; what counts is processor time.
const MAX_STARVED: u32 = 4;

thread_local! {
    /// The decoder of this thread of the pool. It ends with the thread.
    static DECODER: RefCell<Option<Decoder>> = const { RefCell::new(None) };
}

/// How long an image is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Patience<'a> {
    /// Longest processor time, and a quarter of the longest time by the clock.
    pub limit: Duration,
    /// Raised where nobody wants the image any more.
    pub abandoned: &'a AtomicBool,
}

/// Has this thread's decoder do a job for each image; starts it where there is none. Each image has the limit for itself.
///
/// The results are in order. Their errors: what is wrong with the image; [`Error::Cancelled`];
/// [`Error::DecoderUnavailable`].
pub(crate) fn ask(
    settings: &Settings,
    job: &Job,
    images: &[&[u8]],
    patience: Patience<'_>,
) -> Vec<Result<(Reply, Vec<u8>)>> {
    let mut results = Vec::with_capacity(images.len());
    // The image that a decoder was killed at last. That is no fault of the image, unless it happens again: then the machine
    // is short of memory, and trying on makes it worse.
    let mut killed = None;
    while let Some(rest) = images.get(results.len()..).filter(|rest| !rest.is_empty()) {
        let max = settings.limits.max_bytes;
        if patience.abandoned.load(Relaxed) {
            results.push(Err(Error::Cancelled));
            continue;
        }
        if rest[0].len() > max {
            results.push(Err(Error::ImageTooLarge { bytes: rest[0].len(), max }));
            continue;
        }
        let present = DECODER.take().filter(|decoder| decoder.settings == *settings);
        let started = match present {
            Some(decoder) => Ok(decoder),
            None => Decoder::start(Path::new(THIS_PROGRAM), settings, patience.abandoned),
        };
        let mut decoder = match started {
            Ok(decoder) => decoder,
            Err(error) => {
                results.push(Err(match patience.abandoned.load(Relaxed) {
                    true => Error::Cancelled,
                    false => Error::DecoderUnavailable { reason: error.to_string() },
                }));
                continue;
            }
        };
        let end = rest.iter().position(|image| image.len() > max).unwrap_or(rest.len());
        let answered = decoder.ask_all(job, &rest[..end], patience, |reply, body| {
            results.push(match reply {
                Reply::Failed(error) => Err(error),
                reply => Ok((reply, body)),
            });
        });
        match answered {
            Ok(()) => DECODER.set(Some(decoder)),
            Err(Failed::Image(error)) => results.push(Err(error)),
            Err(Failed::Killed(how)) if killed == Some(results.len()) => {
                log_warning!("a decoder {how}");
                results.push(Err(Error::DecoderUnavailable { reason: format!("its decoder {how}") }));
            }
            Err(Failed::Killed(_)) => killed = Some(results.len()),
        }
    }
    results
}

/// Why a decoder gave no answer. It has been ended.
#[derive(Debug)]
pub enum Failed {
    /// The image is at fault, or nobody wants it any more.
    Image(Error),
    /// Something outside ended it; in the words behind "the decoder".
    Killed(String),
}

/// A decoder. Dropping it ends its process.
#[derive(Debug)]
pub struct Decoder {
    child: Child,
    stream: UnixStream,
    settings: Settings,
    reaped: bool,
}

/// What ends the wait for a frame.
enum End {
    TooLate,
    Abandoned,
    /// An answer that is none.
    Nonsense,
    Broken,
}

impl Decoder {
    /// Starts a decoder: `program` with the argument [`ARGUMENT`]. Gives up where nobody wants it any more.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn start(program: &Path, settings: &Settings, abandoned: &AtomicBool) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(TICK))?;
        let mut command = Command::new(program);
        // The environment may have what is nobody's business; the loader needs this part of it.
        command.env_clear().envs(std::env::var_os("LD_LIBRARY_PATH").map(|path| ("LD_LIBRARY_PATH", path)));
        command.arg0(title()).arg(ARGUMENT);
        // What a decoder writes to standard error would be in Postgres's log.
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn()?;
        // `command` still has the decoder's end of the socket: as long as it does, the decoder's end is not seen.
        drop(command);
        let mut decoder = Self { child, stream, settings: settings.clone(), reaped: false };
        let patience = Patience { limit: START, abandoned };
        let mut missing = None;
        let started = decoder.exchange(settings, &[&[]], patience, 0, |started: Started, _| {
            missing = started.missing;
            true
        });
        if started.is_err() {
            let how = decoder.end().map_or_else(|| "did not start".to_owned(), describe);
            return Err(io::Error::other(format!("the decoder {how}")));
        }
        if let Some(missing) = missing {
            static ONCE: Once = Once::new();
            ONCE.call_once(|| log_warning!("decoders run without a part of their sandbox: {missing}"));
        }
        Ok(decoder)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Has a job done for one image.
    ///
    /// # Errors
    /// Where the decoder gave no answer and was ended.
    pub fn ask(
        &mut self,
        job: &Job,
        image: &[u8],
        patience: Patience<'_>,
    ) -> std::result::Result<(Reply, Vec<u8>), Failed> {
        let mut answer = (Reply::Pixels { damage: None }, Vec::new());
        self.ask_all(job, &[image], patience, |reply, body| answer = (reply, body))?;
        Ok(answer)
    }

    /// Has a job done for each image, and passes the answers on in order, as they come. Small images are sent several at a
    /// time, so that the decoder need not wait for the next. Each has the limit for itself.
    ///
    /// # Errors
    /// Where the decoder gave no answer and was ended: why, for the first image that has no answer.
    pub fn ask_all(
        &mut self,
        job: &Job,
        images: &[&[u8]],
        patience: Patience<'_>,
        mut pass_on: impl FnMut(Reply, Vec<u8>),
    ) -> std::result::Result<(), Failed> {
        let mut rest = images;
        let limits = self.settings.limits;
        while !rest.is_empty() {
            let (group, later) = rest.split_at(wire::group(rest.iter().map(|image| image.len())));
            rest = later;
            let exchanged = self.exchange(job, group, patience, job.max_body(&limits), |reply, body| {
                let is_sensible = makes_sense(job, &limits, &reply, &body);
                if is_sensible {
                    pass_on(reply, body);
                }
                is_sensible
            });
            exchanged.map_err(|end| self.why(end, patience))?;
        }
        Ok(())
    }

    /// Ends the decoder, and tells why it gave no answer.
    fn why(&mut self, end: End, patience: Patience<'_>) -> Failed {
        let error = match end {
            End::Broken => return self.why_broken(),
            End::TooLate => Error::ImageTimeout { limit_ms: patience.limit.as_millis() as u64 },
            End::Abandoned => Error::Cancelled,
            End::Nonsense => Error::DecoderCrashed { reason: "it answered what it was not asked".to_owned() },
        };
        self.end();
        Failed::Image(error)
    }

    /// Tells from how the process ended whose fault it is.
    fn why_broken(&mut self) -> Failed {
        // Its socket is closed while it ends; one that closed it and goes on is no decoder any more.
        let status = self.wait(END);
        if status.is_none() {
            self.end();
        }
        let image = |error| Failed::Image(error);
        let crashed = |reason: String| image(Error::DecoderCrashed { reason });
        let Some(status) = status else { return crashed("it closed its connection".to_owned()) };
        match (status.code(), status.signal()) {
            (Some(STATUS_MEMORY), _) => image(Error::ImageMemory { limit: self.settings.limits.memory() }),
            (Some(process::STATUS_DONE), _) | (_, Some(libc::SIGKILL | libc::SIGTERM)) => {
                Failed::Killed(describe(status))
            }
            _ => crashed(format!("it {}", describe(status))),
        }
    }

    /// Sends a frame for each body and reads as many answers. More than one have to be a [`wire::group`].
    fn exchange<T: for<'de> serde::Deserialize<'de>>(
        &mut self,
        head: &impl serde::Serialize,
        bodies: &[&[u8]],
        patience: Patience<'_>,
        max_body: usize,
        mut pass_on: impl FnMut(T, Vec<u8>) -> bool,
    ) -> std::result::Result<(), End> {
        let mut patient = Patient {
            stream: &self.stream,
            patience,
            began: Instant::now(),
            pid: self.child.id(),
            processor_time: None,
            end: None,
        };
        let broken = |patient: &mut Patient<'_>| patient.end.take().unwrap_or(End::Broken);
        if wire::send(&mut patient, head, bodies).is_err() {
            return Err(broken(&mut patient));
        }
        let mut answers = BufReader::with_capacity(MAX_HEAD, patient);
        for _ in bodies {
            match wire::receive(&mut answers, MAX_HEAD, max_body) {
                Ok(Some((answer, body))) => {
                    if !pass_on(answer, body) {
                        return Err(End::Nonsense);
                    }
                }
                Ok(None) | Err(_) => return Err(broken(answers.get_mut())),
            }
            answers.get_mut().begin_again();
        }
        if answers.buffer().is_empty() { Ok(()) } else { Err(End::Nonsense) }
    }

    /// How the process ended, if it does within this time.
    fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                self.reaped = true;
                return Some(status);
            }
            if Instant::now() > deadline {
                return None;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Ends and reaps the process. It is asked first, on which it exits with status 0: where the postmaster is process 1, an
    /// orphan that dies of a signal counts as a crash of Postgres, should the server end at this moment.
    fn end(&mut self) -> Option<ExitStatus> {
        if self.reaped {
            return None;
        }
        // SAFETY: the process is a child that was not reaped, so the id is not somebody else's.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        if let Some(status) = self.wait(LEAVE) {
            return Some(status);
        }
        // Fails only where it has just ended by itself.
        let _ = self.child.kill();
        self.reaped = true;
        self.child.wait().ok()
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        self.end();
    }
}

/// Reads and writes with an eye on the time.
struct Patient<'a> {
    stream: &'a UnixStream,
    patience: Patience<'a>,
    began: Instant,
    pid: u32,
    /// What the decoder had used when it was first looked at, some [`TICK`]s after the beginning.
    processor_time: Option<Duration>,
    end: Option<End>,
}

impl Patient<'_> {
    /// For the next image.
    fn begin_again(&mut self) {
        self.began = Instant::now();
        self.processor_time = None;
    }

    /// Called again and again while the decoder works.
    fn check(&mut self) -> io::Result<()> {
        let (elapsed, limit) = (self.began.elapsed(), self.patience.limit);
        let used = processor_time(self.pid);
        let used = used.saturating_sub(*self.processor_time.get_or_insert(used)) + TICK;
        let is_late = elapsed >= limit && (elapsed >= limit * MAX_STARVED || used >= limit);
        let end = match () {
            () if self.patience.abandoned.load(Relaxed) => End::Abandoned,
            () if is_late => End::TooLate,
            () => return Ok(()),
        };
        self.end = Some(end);
        Err(ErrorKind::TimedOut.into())
    }

    fn patiently<T>(&mut self, mut work: impl FnMut(&UnixStream) -> io::Result<T>) -> io::Result<T> {
        loop {
            match work(self.stream) {
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => self.check()?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other,
            }
        }
    }
}

impl Read for Patient<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.patiently(|mut stream| stream.read(buffer))
    }
}

impl Write for Patient<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.patiently(|mut stream| stream.write(bytes))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.patiently(|mut stream| stream.write_vectored(parts))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether a reply is one to the job. What users see of it is text that a decoder may have made up: it has no control
/// characters.
fn makes_sense(job: &Job, limits: &Limits, reply: &Reply, body: &[u8]) -> bool {
    let is_plain = |text: &str| !text.contains(char::is_control);
    let is_sensible = |error: &Error| error.is_about_image() && is_plain(&error.to_string());
    match (job, reply) {
        (Job::Pixels { .. }, Reply::Pixels { damage }) => {
            body.len() == job.max_body(limits) && damage.as_ref().is_none_or(is_sensible)
        }
        (Job::Thumbnail { .. }, Reply::Jpeg | Reply::Png) => true,
        (Job::Info, Reply::Info(info)) => info.format.iter().chain(&info.error).all(|text| is_plain(text)),
        (Job::Frames { range, .. }, Reply::Frames { frames, next, damage }) => {
            are_those_asked_for(range, frames, *next, body.len()) && damage.as_ref().is_none_or(is_sensible)
        }
        (Job::Pixels { .. } | Job::Thumbnail { .. } | Job::Frames { .. }, Reply::Failed(error)) => is_sensible(error),
        _ => false,
    }
}

/// Whether frames are some of a range, have as many bytes as there are, and lead on.
fn are_those_asked_for(range: &FrameRange, frames: &[FrameHead], next: Option<u32>, bytes: usize) -> bool {
    let number = |index: usize| u64::from(range.first) + index as u64 * u64::from(range.every);
    let (mut sum, mut stills) = (0, 0);
    for (index, (frame, _, length)) in frames.iter().enumerate() {
        if u64::from(*frame) != number(index) {
            return false;
        }
        sum += length.unwrap_or(0) as usize;
        stills += usize::from(length.is_none());
    }
    let is_still = frames.len() == 1 && range.first == 1 && next.is_none();
    let leads_on = next.is_none_or(|next| !frames.is_empty() && u64::from(next) == number(frames.len()));
    sum == bytes && frames.len() <= range.max as usize && (stills == 0 || is_still) && leads_on
}

/// Processor time that a process has used.
fn processor_time(pid: u32) -> Duration {
    let mut clock = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both write to what they are given, which lives as long as the calls.
    let known = unsafe {
        libc::clock_getcpuclockid(pid as i32, &raw mut clock) == 0 && libc::clock_gettime(clock, &raw mut time) == 0
    };
    if known { Duration::new(time.tv_sec as u64, time.tv_nsec as u32) } else { Duration::ZERO }
}

/// What ps shows: which cluster's it is.
fn title() -> String {
    let server = std::env::args().next().unwrap_or_default();
    match server.strip_prefix("clip_search server") {
        Some(rest) => format!("clip_search decoder{rest}"),
        None => "clip_search decoder".to_owned(),
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exited with status {code}"),
        (None, Some(signal)) => format!("was terminated by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_that_were_not_asked_for_are_refused() {
        let range = FrameRange { first: 1, every: 2, max: 3 };
        let check = |frames: &[FrameHead], next, bytes| are_those_asked_for(&range, frames, next, bytes);
        let frame = |number| (number, None, Some(10));
        assert!(check(&[], None, 0));
        assert!(check(&[frame(1), frame(3)], None, 20) && check(&[frame(1), frame(3)], Some(5), 20));
        assert!(check(&[(1, None, None)], None, 0));
        for (frames, next, bytes) in [
            // Other frames, more of them, more bytes, and a way that leads nowhere or back.
            (vec![frame(2)], None, 10),
            (vec![frame(1), frame(2)], None, 20),
            (vec![frame(1), frame(3), frame(5), frame(7)], None, 40),
            (vec![frame(1)], None, 11),
            (vec![frame(1)], Some(1), 10),
            (vec![frame(1)], Some(5), 10),
            (vec![], Some(1), 0),
            // A file that is its own frame, and has more.
            (vec![(1, None, None), frame(3)], None, 10),
            (vec![(1, None, None)], Some(3), 0),
        ] {
            assert!(!check(&frames, next, bytes), "{frames:?}, {next:?}, {bytes}");
        }
        let later = FrameRange { first: 2, ..range };
        assert!(!are_those_asked_for(&later, &[(2, None, None)], None, 0));
    }
}
