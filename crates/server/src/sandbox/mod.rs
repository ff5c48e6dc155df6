//! What server and decoders give up before they see anybody's bytes, so that whoever finds a hole in them gets little.
//!
//! ```text
//! files   Landlock: the files that may be read, and nothing is written
//! cuda    what a GPU needs of that, in one place
//! calls   seccomp: the system calls that are left
//! ```
//!
//! Both: no new privileges, no core dumps, and no other process may look into them. The server: reads models, libraries, and
//! what names and certificates of hosts need; connects, but does not listen on TCP; starts decoders. A decoder: its socket,
//! memory and the clock.
//!
//! Landlock and seccomp hold for the calling thread and those that it starts, so they are entered while there is one.

#![allow(unsafe_code)]

mod calls;
mod cuda;
mod files;

pub use files::Watched;

use protocol::Config;

/// Shuts the server off, as far as the kernel can. The error says what it cannot.
///
/// The second value is what has to stay in its place: the files that may be read are found now, and another one of the same
/// name cannot be read.
pub fn enter_server(config: &Config) -> (Result<(), String>, Watched) {
    keep_to_itself();
    let (files, watched) = files::allow_server(config);
    (joined([files, calls::forbid_to_server()]), watched)
}

/// Shuts a decoder off. Only what it has open stays: its socket.
///
/// # Errors
/// What the kernel does not have.
pub fn enter_decoder() -> Result<(), String> {
    keep_to_itself();
    joined([files::allow_nothing(), calls::allow_to_decoder()])
}

fn joined(parts: [Result<(), String>; 2]) -> Result<(), String> {
    let missing: Vec<String> = parts.into_iter().filter_map(Result::err).collect();
    if missing.is_empty() { Ok(()) } else { Err(missing.join("; ")) }
}

/// Nobody of the same user attaches to the process or reads its memory; it leaves none behind; what it executes cannot gain
/// rights.
fn keep_to_itself() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: change numbers of this process.
    unsafe {
        libc::setrlimit(libc::RLIMIT_CORE, &raw const none);
        libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    }
}
