//! `clip-search-server`: runs CLIP models for the PostgreSQL cluster that started it.
//!
//! The supervisor, a background worker of `clip_search`, starts it with its settings on standard input; the end of
//! standard input ends it. To run it by hand:
//!
//! ```sh
//! (echo '{"model_roots": ["models"], "onnxruntime_library": "libonnxruntime.so"}'; cat) \
//!     | clip-search-server --socket /tmp/clip.sock
//! ```
//!
//! `clip-search-server models` installs, lists, verifies and removes models.

use clap::{Parser, Subcommand};
use clip_search_server::{Service, bind, cli, decoder, listen, log_info, log_warning, process, sandbox};
use protocol::Config;
use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: decoder::Allocator = decoder::Allocator;

#[derive(Parser)]
#[command(
    version,
    about = "Inference server of clip_search. Settings are read from standard input, one JSON object a line.",
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true
)]
struct Arguments {
    /// Unix socket to listen on; made anew, with mode 0600.
    #[arg(long, required = true)]
    socket: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Install, list, verify and remove models
    Models(cli::Models),
}

fn main() {
    if std::env::args_os().nth(1).is_some_and(|argument| argument == decoder::ARGUMENT) {
        decoder::run();
    }
    let arguments = Arguments::parse();
    let socket = match (arguments.command, arguments.socket) {
        (Some(Command::Models(models)), _) => process::leave(cli::run(&models)),
        (None, socket) => socket.expect("clap wants it where there is no command"),
    };
    serve(&socket);
}

fn serve(socket: &Path) -> ! {
    process::prepare();
    let mut lines = std::io::stdin().lock().lines();
    let Some(Ok(first)) = lines.next() else { process::leave(process::STATUS_DONE) };
    let config = match parse(&first) {
        Ok(config) => config,
        Err(reason) => {
            log_warning!("{reason}");
            process::leave(process::STATUS_FAILED);
        }
    };
    drop(lines);
    let listener = match bind(socket) {
        Ok(listener) => listener,
        Err(error) => {
            log_warning!("could not listen on \"{}\": {error}", socket.display());
            process::leave(process::STATUS_FAILED);
        }
    };
    if config.sandbox {
        process::look_around();
        let (entered, watched) = sandbox::enter_server(&config);
        if let Err(missing) = entered {
            log_info!("the server runs without a part of its sandbox: {missing}");
        }
        leave_when_replaced(watched);
    }
    let service = Arc::new(Service::new(config));
    follow_standard_input(Arc::clone(&service));
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            log_warning!("could not start threads: {error}");
            process::leave(process::STATUS_FAILED);
        }
    };
    let ended = runtime.block_on(listen(listener, socket, service));
    log_warning!("could not listen on \"{}\": {ended}", socket.display());
    process::leave(process::STATUS_FAILED);
}

fn parse(line: &str) -> Result<Config, String> {
    serde_json::from_str(line).map_err(|error| format!("malformed settings: {error}"))
}

/// Leaves, to be started again, where a file or folder has taken the place of one that the sandbox lets the server read.
fn leave_when_replaced(watched: sandbox::Watched) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_secs(2));
            if let Some(path) = watched.replaced() {
                log_info!("leaving to be started again: \"{}\" was replaced", path.display());
                process::leave(process::STATUS_DONE);
            }
        }
    });
}

/// Takes further settings, and leaves when nobody can send any: the supervisor is gone.
fn follow_standard_input(service: Arc<Service>) {
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match parse(&line) {
                Ok(config) => service.reconfigure(config),
                Err(reason) => log_warning!("{reason}"),
            }
        }
        process::leave(process::STATUS_DONE);
    });
}
