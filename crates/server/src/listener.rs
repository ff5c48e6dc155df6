//! The socket: who may connect, the greeting, and one task for each connection.

use crate::service::Service;
use crate::{failure, log_info, log_warning, process};
use futures_util::StreamExt;
use protocol::{
    ErrorClass, Failure, FrameError, HEADER_LEN, Header, Hello, Kind, MIN_PAYLOAD_CAPACITY, Request, Response, decode,
    encode,
};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

/// Listens on the socket for ever. Returns only why it cannot.
pub async fn listen(path: &Path, service: Arc<Service>) -> io::Error {
    let listener = match bind(path) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    tokio::spawn(leave_on_signal(path.to_owned()));
    tokio::spawn(leave_when_idle(path.to_owned(), Arc::clone(&service)));
    tokio::spawn(leave_when_removed(path.to_owned()));
    log_info!("ready to accept connections, release {}", protocol::RELEASE);
    loop {
        match listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                tokio::spawn(serve(stream, Arc::clone(&service)));
            }
            Ok(_) => log_warning!("refused a connection of another user"),
            // Out of descriptors, most likely: connections that end make room.
            Err(error) => {
                log_warning!("could not accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Binds under another name and renames, so that whoever finds the socket can connect to it.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let draft = path.with_extension("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, std::fs::Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, path)?;
    Ok(listener)
}

/// The folder's mode keeps others out already; this holds where somebody has changed it.
fn is_ours(stream: &UnixStream) -> bool {
    stream.peer_cred().is_ok_and(|peer| peer.uid() == process::user_id() || peer.uid() == 0)
}

async fn leave_on_signal(socket: std::path::PathBuf) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    log_info!("leaving on a signal");
    leave(&socket, process::STATUS_DONE);
}

async fn leave_when_idle(socket: std::path::PathBuf, service: Arc<Service>) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        if service.is_idle_for_too_long() {
            leave(&socket, process::STATUS_IDLE);
        }
    }
}

/// Somebody has removed the socket, or put another in its place: nobody new can find this process, so another one is to
/// be started.
async fn leave_when_removed(socket: std::path::PathBuf) {
    let identity = |path: &Path| std::fs::symlink_metadata(path).map(|file| (file.dev(), file.ino())).ok();
    let ours = identity(&socket);
    let mut second = tokio::time::interval(Duration::from_secs(1));
    loop {
        second.tick().await;
        if identity(&socket) != ours {
            log_warning!("the socket was removed, leaving");
            process::leave(process::STATUS_FAILED);
        }
    }
}

fn leave(socket: &Path, status: i32) -> ! {
    let _ = std::fs::remove_file(socket);
    process::leave(status)
}

async fn serve(mut stream: UnixStream, service: Arc<Service>) {
    service.stats.connections.fetch_add(1, Relaxed);
    // A connection that breaks is the client's affair: it may have been cancelled.
    let _ = converse(&mut stream, &service).await;
    service.stats.connections.fetch_sub(1, Relaxed);
}

async fn converse(stream: &mut UnixStream, service: &Service) -> io::Result<()> {
    send(stream, Kind::Hello, &Hello::of_this_process()).await?;
    loop {
        let Some(request) = receive(stream).await? else { return Ok(()) };
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                log_warning!("closing a connection: {error}");
                let failure =
                    Failure { class: ErrorClass::Protocol, message: error.to_string(), detail: None, hint: None };
                return send(stream, Kind::Response, &Response::Failed(failure)).await;
            }
        };
        let mut responses = service.answer(request);
        loop {
            let response = tokio::select! {
                // First, for its end: whoever has the last response may have sent the next request already.
                biased;
                response = responses.next() => response,
                // Dropping the responses gives the request up.
                () = hung_up(stream) => return Ok(()),
            };
            let Some(response) = response else { break };
            send(stream, Kind::Response, &response).await?;
        }
    }
}

/// Reads a request; `None` where the client has left.
async fn receive(stream: &mut UnixStream) -> io::Result<Option<Result<Request, FrameError>>> {
    let mut head = [0; HEADER_LEN];
    if let Err(error) = stream.read_exact(&mut head).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(None) } else { Err(error) };
    }
    let header = match Header::parse(&head).and_then(|header| header.expect(Kind::Request)) {
        Ok(header) => header,
        Err(error) => return Ok(Some(Err(error))),
    };
    // Memory is taken as bytes arrive, not as the header promises them.
    let mut payload = Vec::with_capacity(header.len.min(MIN_PAYLOAD_CAPACITY));
    let read = (&mut *stream).take(header.len as u64).read_to_end(&mut payload).await?;
    if read < header.len {
        return Ok(None);
    }
    Ok(Some(decode(&payload)))
}

async fn send<T: serde::Serialize>(stream: &mut UnixStream, kind: Kind, message: &T) -> io::Result<()> {
    let frame = match encode(kind, message) {
        Ok(frame) => frame,
        Err(error) => encode(Kind::Response, &Response::Failed(failure::internal(error.to_string())))
            .map_err(|error| io::Error::other(error.to_string()))?,
    };
    stream.write_all(&frame).await
}

/// Waits until the client closes its end. A client says nothing while it waits for an answer; one that does is not
/// ours, and is treated the same.
async fn hung_up(stream: &UnixStream) {
    loop {
        if stream.ready(Interest::READABLE).await.is_err() {
            return;
        }
        let mut byte = [0];
        match stream.try_read(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            _ => return,
        }
    }
}
