//! The files of a repository, several at a time, each resumed where it broke off.

use crate::client::{Client, Question, broken, header, show_host, with_attempts};
use crate::error::{Error, Result};
use crate::installed_file::InstalledFile;
use crate::listing::RemoteFile;
use crate::name::Name;
use crate::part::Part;
use crate::progress::Event;
use crate::retry::{Failure, Pauses};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use reqwest::StatusCode;
use reqwest::header::CONTENT_RANGE;
use std::path::PathBuf;
use std::time::Duration;

/// A file to get, and where to.
pub(crate) struct Job {
    pub file: RemoteFile,
    pub part: PathBuf,
    pub target: PathBuf,
}

/// What all files have in common.
pub(crate) struct Download<'a> {
    pub client: &'a Client,
    pub name: &'a Name,
    pub commit: &'a str,
    pub connections: usize,
    pub retries: u32,
    pub first_pause: Duration,
    pub progress: &'a (dyn Fn(Event<'_>) + Sync),
}

impl Download<'_> {
    /// Gets all of them. What has come of the others is kept where one fails.
    pub(crate) async fn all(&self, jobs: Vec<Job>) -> Result<Vec<InstalledFile>> {
        let get = |job: Job| async move { self.one(&job).await };
        stream::iter(jobs).map(get).buffer_unordered(self.connections.max(1)).try_collect().await
    }

    async fn one(&self, job: &Job) -> Result<InstalledFile> {
        let mut wanted = job.file.clone();
        loop {
            let mut part = Part::open(&job.part, &wanted)?;
            if part.is_resumed() && wanted.size.is_none() {
                part.restart(&wanted)?;
            }
            (self.progress)(Event::Received(part.len()));
            let resumed = part.is_resumed();
            self.receive(&mut part, &mut wanted).await?;
            let len = part.len();
            match part.finish(&wanted, &job.target) {
                // What an earlier run has left may have been damaged since. Once more, from the beginning.
                Err(Error::WrongHash { .. } | Error::WrongSize { .. }) if resumed => (self.progress)(Event::Lost(len)),
                Ok(file) => {
                    (self.progress)(Event::Whole(&wanted.path));
                    return Ok(file);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Appends what is missing, in as many attempts as it takes, as long as there is progress.
    async fn receive(&self, part: &mut Part, wanted: &mut RemoteFile) -> Result<()> {
        let mut pauses = Pauses::new(self.retries, self.first_pause);
        while wanted.size.is_none_or(|size| part.len() < size) || wanted.size == Some(0) {
            let before = part.len();
            let (error, asked) = match self.attempt(part, wanted).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Passing(error, asked)) => (error, asked),
            };
            if part.len() > before {
                pauses.progress();
            }
            let Some(pause) = pauses.next(asked) else { return Err(with_attempts(error, pauses.attempts)) };
            (self.progress)(Event::Retry { path: &wanted.path, reason: error.to_string(), pause });
            tokio::time::sleep(pause).await;
        }
        Ok(())
    }

    async fn attempt(&self, part: &mut Part, wanted: &mut RemoteFile) -> Result<(), Failure> {
        let own = wanted.repository.clone();
        let (name, commit) = own.as_ref().map_or((self.name, self.commit), |(name, commit)| (name, commit));
        let url = self.client.file_url(name, commit, wanted.source_path());
        let what = format!("\"{}\"", wanted.path);
        let question = Question { url, name, revision: commit, what: &what };
        let from = Some(part.len()).filter(|from| *from > 0);
        let reply = self.client.get(&question, from).await?;
        if wanted.id.is_none() {
            wanted.id = reply.id;
        }
        let mut response = reply.response;
        let host = show_host(response.url());
        let begins = match response.status() {
            StatusCode::PARTIAL_CONTENT => {
                header(response.headers(), CONTENT_RANGE).and_then(|range| first_byte(&range))
            }
            StatusCode::RANGE_NOT_SATISFIABLE => None,
            _ => Some(0),
        };
        if begins != Some(part.len()) {
            // From its beginning, or from where nobody asked.
            (self.progress)(Event::Lost(part.len()));
            part.restart(wanted)?;
        }
        if begins != Some(part.len()) {
            let reason = "its range is not the one that was asked for".to_owned();
            return Err(Failure::Passing(Error::BadAnswer { host, what: question.what.to_owned(), reason }, None));
        }
        while let Some(chunk) = response.chunk().await.map_err(|error| broken(&error, &question.url))? {
            let found = part.len() + chunk.len() as u64;
            if let Some(expected) = wanted.size
                && found > expected
            {
                (self.progress)(Event::Lost(part.len()));
                part.restart(wanted)?;
                return Err(Error::WrongSize { file: wanted.path.clone(), expected, found }.into());
            }
            part.append(&chunk)?;
            (self.progress)(Event::Received(chunk.len() as u64));
        }
        match wanted.size {
            Some(size) if part.len() < size => {
                let reason = format!("it ended after {} of {size} bytes", part.len());
                Err(Failure::Passing(Error::Interrupted { host, attempts: 1, reason }, None))
            }
            _ => Ok(()),
        }
    }
}

/// The first byte of `bytes 5-9/10`.
fn first_byte(range: &str) -> Option<u64> {
    range.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}
