//! The supervisor's main loop.

use super::child::{Server, describe};
use super::files::{self, Lock};
use super::watchdog::Watchdog;
use crate::{compat, settings, wait_event};
use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::pg_sys;
use protocol::{Config, SupervisorState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The delay before the first restart; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(50);
/// The longest delay.
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// A server that ran for so long was healthy: the next delay is the first again.
const HEALTHY: Duration = Duration::from_secs(60);
/// The exit status of a server that ended for want of work.
const STATUS_IDLE: i32 = 3;

static WAKE: AtomicBool = AtomicBool::new(false);

/// Entry point of the background worker.
#[pgrx::pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn clip_search_supervisor_main(_argument: pg_sys::Datum) {
    BackgroundWorker::attach_signal_handlers(
        SignalWakeFlags::SIGHUP | SignalWakeFlags::SIGTERM | SignalWakeFlags::SIGINT | SignalWakeFlags::SIGCHLD,
    );
    attach_wake_handler();
    // To no database: it makes the worker visible in pg_stat_activity, and pg_terminate_backend able to reach it.
    BackgroundWorker::connect_worker_to_spi(None, None);
    match Lock::take() {
        Ok(Some(lock)) => {
            Supervisor::new(lock).run();
            // Status 0 would make the postmaster forget the worker. While it shuts down, it starts none again.
            // SAFETY: the end of this process, outside of any transaction; the server has been stopped.
            unsafe { pg_sys::proc_exit(1) }
        }
        // Tried again every second it would fill the log; the next call starts a worker, and says why it cannot.
        Err(error) => pgrx::warning!("clip_search: {error}"),
        // Another one was faster.
        Ok(None) => pgrx::debug1!("clip_search: a supervisor is already running"),
    }
}

extern "C-unwind" fn on_wake(_signal: i32) {
    WAKE.store(true, Ordering::SeqCst);
    // SAFETY: SetLatch may be called from a signal handler; MyLatch is this process's own. errno is the interrupted
    // code's and is put back.
    unsafe {
        let errno = *libc::__errno_location();
        pg_sys::SetLatch(pg_sys::MyLatch);
        *libc::__errno_location() = errno;
    }
}

fn attach_wake_handler() {
    // SAFETY: installs a handler that only sets a flag and the latch.
    unsafe {
        compat::handle_signal(libc::SIGUSR2, on_wake);
    }
}

/// What is under way.
enum Phase {
    Running { server: Server, since: Instant, watchdog: Watchdog },
    Waiting { until: Instant },
    Idle,
}

struct Supervisor {
    lock: Lock,
    phase: Phase,
    config: Config,
    delay: Duration,
}

impl Supervisor {
    fn new(lock: Lock) -> Self {
        Self {
            lock,
            phase: Phase::Waiting { until: Instant::now() },
            config: settings::server_config(),
            delay: FIRST_DELAY,
        }
    }

    /// Runs until Postgres asks it to end, or somebody has taken its lock file away. The server ends with it: [`Server`]
    /// stops its process when dropped.
    fn run(mut self) {
        loop {
            if matches!(self.phase, Phase::Waiting { .. }) && !self.lock.is_current() {
                pgrx::log!("clip_search: the supervisor's lock file is gone, making way for another supervisor");
                break;
            }
            self.step();
            self.wait();
            if BackgroundWorker::sigterm_received() {
                break;
            }
            if BackgroundWorker::sighup_received() {
                self.reload();
            }
            if BackgroundWorker::sigint_received() {
                self.restart();
            }
            let woken = WAKE.swap(false, Ordering::SeqCst);
            if woken && matches!(self.phase, Phase::Idle) {
                self.phase = Phase::Waiting { until: Instant::now() };
            }
        }
        if let Phase::Running { server, .. } = &mut self.phase {
            server.stop();
            forward(server);
        }
    }

    /// Sleeps until a signal, a log line, or the time of the next start.
    fn wait(&self) {
        let (fd, timeout) = match &self.phase {
            Phase::Running { server, watchdog, .. } => {
                (server.log_descriptor(), settings::watchdog_timeout().map(|_| watchdog.pause()))
            }
            Phase::Waiting { until } => {
                (pg_sys::PGINVALID_SOCKET, Some(until.saturating_duration_since(Instant::now())))
            }
            Phase::Idle => (pg_sys::PGINVALID_SOCKET, None),
        };
        let mut events = pg_sys::WL_LATCH_SET | pg_sys::WL_EXIT_ON_PM_DEATH;
        if fd != pg_sys::PGINVALID_SOCKET {
            events |= pg_sys::WL_SOCKET_READABLE;
        }
        if timeout.is_some() {
            events |= pg_sys::WL_TIMEOUT;
        }
        let timeout = timeout.map_or(-1, |timeout| timeout.as_millis() as i64 + 1);
        // SAFETY: MyLatch is this process's own, the descriptor is open as long as `self.phase` holds the server.
        unsafe {
            let fired =
                pg_sys::WaitLatchOrSocket(pg_sys::MyLatch, events as i32, fd, timeout, wait_event::supervisor());
            if fired as u32 & pg_sys::WL_LATCH_SET != 0 {
                pg_sys::ResetLatch(pg_sys::MyLatch);
            }
        }
        pgrx::check_for_interrupts!();
    }

    fn step(&mut self) {
        match &mut self.phase {
            Phase::Running { server, since, watchdog } => {
                let open = forward(server);
                if let Some(limit) = settings::watchdog_timeout()
                    && !watchdog.is_well(limit)
                {
                    let reason = format!("did not answer for {} ms and was killed", limit.as_millis());
                    let healthy = since.elapsed() > HEALTHY;
                    server.kill_and_reap();
                    forward(server);
                    self.server_is_gone(reason, healthy);
                    return;
                }
                // A closed pipe means that the process is ending, if it has not ended already.
                let status = if open { server.ended() } else { server.stop_and_reap() };
                if let Some(status) = status {
                    forward(server);
                    let healthy = since.elapsed() > HEALTHY;
                    self.server_ended(status, healthy);
                }
            }
            Phase::Waiting { until } if Instant::now() >= *until => self.start(),
            Phase::Waiting { .. } | Phase::Idle => {}
        }
    }

    fn start(&mut self) {
        let program = settings::server_program();
        match Server::start(&program, &self.config) {
            Ok(server) => {
                pgrx::log!("clip_search: started clip-search-server with process ID {}", server.pid());
                files::publish(&SupervisorState::Running { pid: server.pid() });
                self.phase = Phase::Running { server, since: Instant::now(), watchdog: Watchdog::new() };
            }
            Err(error) => {
                pgrx::log!("clip_search: could not start \"{}\": {error}", program.display());
                files::publish(&SupervisorState::CannotStart { program, reason: error.to_string() });
                self.back_off();
            }
        }
    }

    fn server_ended(&mut self, status: std::process::ExitStatus, healthy: bool) {
        if status.code() == Some(STATUS_IDLE) {
            pgrx::log!("clip_search: clip-search-server ended after clip_search.server_idle_timeout without a request");
            files::publish(&SupervisorState::Idle);
            self.phase = Phase::Idle;
            return;
        }
        self.server_is_gone(describe(status), healthy);
    }

    fn server_is_gone(&mut self, reason: String, healthy: bool) {
        if healthy {
            self.delay = FIRST_DELAY;
        }
        self.config.restarts += 1;
        pgrx::log!("clip_search: clip-search-server {reason}; starting it again in {} ms", self.delay.as_millis());
        files::publish(&SupervisorState::BackingOff { reason, delay_ms: self.delay.as_millis() as u64 });
        self.back_off();
    }

    fn back_off(&mut self) {
        self.phase = Phase::Waiting { until: Instant::now() + self.delay };
        self.delay = (self.delay * 2).min(LONGEST_DELAY);
    }

    fn restart(&mut self) {
        if let Phase::Running { server, .. } = &mut self.phase {
            pgrx::log!("clip_search: restarting clip-search-server on request");
            server.stop();
            forward(server);
        }
        self.delay = FIRST_DELAY;
        self.phase = Phase::Waiting { until: Instant::now() };
    }

    fn reload(&mut self) {
        // SAFETY: the worker's own reaction to SIGHUP, outside of any transaction.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
        let config = Config { restarts: self.config.restarts, ..settings::server_config() };
        let is_other_process = config.needs_another_process(&self.config);
        let changed = config != self.config;
        self.config = config;
        let restart = match &mut self.phase {
            // A server that is gone, or does not read, takes no settings.
            Phase::Running { server, .. } if changed => is_other_process || server.configure(&self.config).is_err(),
            // A program that was missing may be there now.
            Phase::Waiting { .. } => true,
            Phase::Running { .. } | Phase::Idle => false,
        };
        if restart {
            self.restart();
        }
    }
}

/// Passes the server's log lines on to Postgres's log; false when the pipe is closed.
fn forward(server: &mut Server) -> bool {
    let (lines, open) = server.read_log();
    for line in lines {
        match line.strip_prefix("WARNING: ") {
            Some(text) => pgrx::warning!("clip-search-server: {text}"),
            None => pgrx::log!("clip-search-server: {}", line.strip_prefix("LOG: ").unwrap_or(&line)),
        }
    }
    open
}
