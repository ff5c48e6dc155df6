//! What a process that Postgres started has to put right about itself, and how it leaves.

#![allow(unsafe_code)]

use std::fs;

/// Everything is as it should be: standard input has closed, or somebody sent SIGTERM.
pub const STATUS_DONE: i32 = 0;
/// The server cannot do its work.
pub const STATUS_FAILED: i32 = 1;
/// Nobody has asked for anything in a long time. The supervisor knows this number.
pub const STATUS_IDLE: i32 = 3;

/// Undoes what was inherited from Postgres: signal dispositions, blocked signals, open files, file mode mask, and the
/// soft limit on open files. Asks the
/// kernel to end this process first where memory runs out, not the postmaster, which protects itself.
pub fn settle() {
    // SAFETY: called first in main, while there is one thread. The default dispositions replace inherited ones;
    // the descriptors above 2 belong to nobody in this program yet.
    unsafe {
        for signal in 1..=libc::SIGRTMAX() {
            if signal != libc::SIGPIPE {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let mut none = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        libc::umask(0o077);
        // Each session keeps its connection: the usual soft limit of 1,024 would be theirs too.
        let mut files = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut files) == 0 {
            files.rlim_cur = files.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const files);
        }
        let inherited: Vec<i32> = fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|fd| *fd > 2)
            .collect();
        for fd in inherited {
            libc::close(fd);
        }
    }
    // Not permitted in some containers, and then not important enough to say so.
    let _ = fs::write("/proc/self/oom_score_adj", "500");
}

/// Leaves at once, without running destructors or exit handlers: ONNX Runtime with CUDA is known to abort in its own,
/// and where the postmaster is PID 1, a child that dies of a signal counts as a crash.
pub fn leave(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Resident memory of this process in bytes; 0 where /proc does not say.
pub fn resident_bytes() -> u64 {
    // SAFETY: asks for a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let pages =
        fs::read_to_string("/proc/self/statm").ok().and_then(|line| line.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * page
}

/// Makes the calling thread give way to others where cores are short.
pub(crate) fn yield_to_others() {
    // SAFETY: on Linux, a nice value belongs to a thread. Raising it is always permitted.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, libc::getpriority(libc::PRIO_PROCESS, 0) + 10) };
}

/// From so many bytes on, reading them all takes a millisecond or so.
const MANY: usize = 1 << 20;

/// Does something with so many bytes without holding up the other connections that the calling thread serves.
pub(crate) fn apart<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes < MANY { work() } else { tokio::task::block_in_place(work) }
}

/// Gives memory that was freed back to the operating system: the C library keeps it otherwise.
pub(crate) fn trim_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: may be called at any time, from any thread.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Whether the other side of a socket has closed it, though there may still be bytes to read.
pub(crate) fn has_hung_up(socket: &impl std::os::fd::AsRawFd) -> bool {
    let mut asked = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: one entry, which lives as long as the call; does not wait.
    let answered = unsafe { libc::poll(&raw mut asked, 1, 0) };
    answered > 0 && asked.revents & (libc::POLLRDHUP | libc::POLLHUP | libc::POLLERR) != 0
}

/// The user that this process runs as.
pub fn user_id() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() }
}
