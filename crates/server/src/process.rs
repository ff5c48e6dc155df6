//! What a process that Postgres started has to put right about itself, and how it leaves.

#![allow(unsafe_code)]

use std::fs;
use std::sync::LazyLock;

/// Everything is as it should be: standard input has closed, or somebody sent SIGTERM.
pub const STATUS_DONE: i32 = 0;
/// The server cannot do its work.
pub const STATUS_FAILED: i32 = 1;
/// Nobody has asked for anything in a long time. The supervisor knows this number.
pub const STATUS_IDLE: i32 = 3;

/// Undoes what was inherited from Postgres: signal dispositions, blocked signals, open files, file mode mask, and the
/// soft limit on open files. Asks the
/// kernel to end this process first where memory runs out, not the postmaster, which protects itself.
pub fn prepare() {
    reset_signals();
    // SAFETY: called first in main, while there is one thread; the descriptors above 2 belong to nobody in this program yet.
    unsafe {
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

fn reset_signals() {
    // SAFETY: called while there is one thread. The default dispositions replace inherited ones.
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
    }
}

/// What a decoder has to put right about itself: signals and descriptors as with [`prepare`]; and it ends with the server,
/// whatever it is doing, with status 0. (Where the postmaster is process 1, it inherits decoders whose server was killed, and
/// takes one that dies of a signal for a crash of its own.)
pub(crate) fn prepare_decoder_process() {
    extern "C" fn leave_on_signal(_: i32) {
        leave(STATUS_DONE);
    }
    reset_signals();
    // SAFETY: called first in main, while there is one thread. The handler does what a handler may. The descriptors above 2
    // belong to nobody in this program yet.
    unsafe {
        for signal in [libc::SIGTERM, libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
            libc::signal(signal, leave_on_signal as extern "C" fn(i32) as libc::sighandler_t);
        }
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
    }
}

/// Cores that this process may use, as of when they were first asked for.
static CORES: LazyLock<usize> = LazyLock::new(|| std::thread::available_parallelism().map_or(1, usize::from));

/// So many threads; 0 means one for each core that this process may use.
pub(crate) fn threads(wanted: u32) -> usize {
    if wanted == 0 { *CORES } else { wanted as usize }
}

/// Asks what cannot be asked in the sandbox: limits of the control group are read from files.
pub fn look_around() {
    LazyLock::force(&CORES);
}

/// Bounds this process's memory to what it has now and so many bytes more.
pub(crate) fn limit_memory(bytes: u64) {
    /// Where /proc does not say what it has.
    const UNKNOWN: u64 = 256 << 20;
    let now = memory_pages(0).unwrap_or(UNKNOWN);
    // SAFETY: changes a number of this process, from one that lives as long as the calls. It never goes up.
    unsafe {
        let mut limit = std::mem::zeroed::<libc::rlimit>();
        if libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_cur.min(now.saturating_add(bytes));
            limit.rlim_max = limit.rlim_cur;
            libc::setrlimit(libc::RLIMIT_AS, &raw const limit);
        }
    }
}

/// Waits until there is something to read, or the other side has left; false after so many milliseconds.
pub(crate) fn is_readable(fd: i32, timeout_ms: i32) -> bool {
    let mut asked = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which lives as long as the call.
    unsafe { libc::poll(&raw mut asked, 1, timeout_ms) != 0 }
}

/// Leaves at once, without running destructors or exit handlers: ONNX Runtime with CUDA is known to abort in its own,
/// and where the postmaster is PID 1, a child that dies of a signal counts as a crash.
pub fn leave(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Resident memory of this process in bytes; 0 where /proc does not say. Decoders have theirs.
pub fn resident_bytes() -> u64 {
    memory_pages(1).unwrap_or(0)
}

/// A field of /proc/self/statm, in bytes: 0 is all memory, 1 what is resident.
fn memory_pages(field: usize) -> Option<u64> {
    // SAFETY: asks for a constant.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let line = fs::read_to_string("/proc/self/statm").ok()?;
    Some(line.split(' ').nth(field)?.parse::<u64>().ok()? * page)
}

/// Makes the calling thread, and those that it starts from now on, give way to others where cores are short.
pub(crate) fn yield_to_others() {
    raise_nice(10);
}

/// The same, by less: beside others, it gets a quarter of a core.
pub(crate) fn yield_a_little() {
    raise_nice(5);
}

fn raise_nice(by: i32) {
    // SAFETY: on Linux, a nice value belongs to a thread. Raising it is always permitted.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, libc::getpriority(libc::PRIO_PROCESS, 0) + by) };
}

/// From so many bytes on, reading them all takes a millisecond or so.
const MANY: usize = 1 << 20;

/// Does something with so many bytes without holding up the other connections that the calling thread serves.
pub(crate) fn apart<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    if bytes < MANY { work() } else { tokio::task::block_in_place(work) }
}

/// Keeps memory that was freed for the next allocation, until [`trim_memory`]: the C library gives pieces of 128 kB back at
/// once, and the operating system has to clear them anew for each image.
pub(crate) fn keep_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets two numbers of the allocator.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
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
