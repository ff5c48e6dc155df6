//! The socket: who may connect, the greeting, and one task for each connection.

use crate::admission::Admitted;
use crate::connections::{Connections, Place};
use crate::log::Limit;
use crate::service::Service;
use crate::{failure, log_info, log_warning, process};
use futures_util::StreamExt;
use protocol::{
    Failure, FrameError, HEADER_LEN, Header, Hello, Items, Kind, MIN_PAYLOAD_CAPACITY, Request, Response, decode,
    encode,
};
use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

/// A client that does not go on with what it began to send, or to read, for so long has lost its connection: what it
/// holds is room in the queue, and memory.
const STALL: Duration = Duration::from_secs(60);
/// Between two looks whether a client that waits to be taken in is still there.
const PAUSE: Duration = Duration::from_millis(200);
/// A connection that could not be accepted is still there: between two attempts.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Of connections that could not be accepted, or were refused.
static WARNINGS: Limit = Limit::new(1, Duration::from_secs(60));

/// Listens for ever on the socket that was bound to `path`. Returns only why it cannot.
pub async fn listen(listener: std::os::unix::net::UnixListener, path: &Path, service: Arc<Service>) -> io::Error {
    let listener = match UnixListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    tokio::spawn(leave_on_signal(path.to_owned()));
    tokio::spawn(leave_when_idle(path.to_owned(), Arc::clone(&service)));
    tokio::spawn(leave_when_removed(path.to_owned()));
    log_info!("ready to accept connections, release {}", protocol::RELEASE);
    let connections = Arc::new(Connections::default());
    let mut spare = None;
    loop {
        spare = spare.or_else(|| File::open("/dev/null").ok());
        match listener.accept().await {
            Ok((stream, _)) if is_ours(&stream) => {
                tokio::spawn(serve(stream, Arc::clone(&service), Arc::clone(&connections)));
            }
            Ok(_) => warn("refused a connection of another user"),
            // Out of descriptors, most likely: connections that end make room.
            Err(error) => {
                warn(&format!("could not accept a connection: {error}"));
                if is_out_of_descriptors(&error) && spare.take().is_some() {
                    turn_away(&listener, &service).await;
                } else {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

fn warn(what: &str) {
    if let Some(more) = WARNINGS.admit() {
        log_warning!("{what}{more}");
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    [libc::EMFILE, libc::ENFILE].map(Some).contains(&error.raw_os_error())
}

/// With a descriptor that was kept for this: a client learns why it cannot be served, and the supervisor that the server is
/// there.
async fn turn_away(listener: &UnixListener, service: &Arc<Service>) {
    let Ok(Ok((mut stream, _))) = tokio::time::timeout(ACCEPT_PAUSE, listener.accept()).await else { return };
    service.stats.connections_refused.fetch_add(1, Relaxed);
    tokio::spawn(async move {
        // Whoever leaves meanwhile is not to be told.
        let _ = refuse(&mut stream, failure::Error::NoDescriptor, false).await;
    });
}

/// Makes the socket. Binds under another name and renames, so that whoever finds the socket can connect to it.
///
/// # Errors
/// What the operating system says.
pub fn bind(path: &Path) -> io::Result<std::os::unix::net::UnixListener> {
    let draft = path.with_extension("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(&draft)?;
    listener.set_nonblocking(true)?;
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
    // In the sandbox it stays, and refuses connections: as where the server was killed.
    let _ = std::fs::remove_file(socket);
    process::leave(status)
}

async fn serve(mut stream: UnixStream, service: Arc<Service>, connections: Arc<Connections>) {
    let is_greeted = is_supervisor(&stream);
    if is_greeted && !asks(&mut stream).await {
        return;
    }
    service.stats.connections.fetch_add(1, Relaxed);
    let max = service.max_connections();
    let place = connections.enter(max);
    service.stats.connections_refused.fetch_add(place.is_none().into(), Relaxed);
    // A connection that breaks is the client's affair: it may have been cancelled.
    let _ = match place {
        Some(place) => converse(&mut stream, &service, &place, is_greeted).await,
        None => refuse(&mut stream, failure::Error::NoConnection { max }, is_greeted).await,
    };
    service.stats.connections.fetch_sub(1, Relaxed);
}

/// Whether the other side is the process that started this one.
fn is_supervisor(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred().ok().and_then(|peer| peer.pid());
    peer.is_some_and(|pid| u32::try_from(pid) == Ok(std::os::unix::process::parent_id()))
}

/// Greets, which is all that the supervisor wants to know; whether the client asks something all the same. Until then, the
/// connection takes nobody's place.
async fn asks(stream: &mut UnixStream) -> bool {
    greet(stream, false).await.is_ok() && stream.readable().await.is_ok() && !process::has_hung_up(&*stream)
}

/// Sends the greeting, where it was not sent before.
async fn greet(stream: &mut UnixStream, is_greeted: bool) -> io::Result<()> {
    if is_greeted { Ok(()) } else { send(stream, Kind::Hello, &Hello::of_this_process()).await }
}

/// Says why there is no place, to whatever the client asks first.
async fn refuse(stream: &mut UnixStream, reason: failure::Error, is_greeted: bool) -> io::Result<()> {
    greet(stream, is_greeted).await?;
    part(stream, reason.into(), std::future::pending()).await
}

/// Says why this is the end, and takes what the client still sends. Closed while a request is on its way, the client would
/// see a broken pipe in place of the answer. It need not leave soon: `enough` ends the wait.
async fn part(stream: &mut UnixStream, failure: Failure, enough: impl Future<Output = ()>) -> io::Result<()> {
    send(stream, Kind::Response, &Response::Failed(failure)).await?;
    stream.shutdown().await?;
    let mut nowhere = tokio::io::sink();
    tokio::select! {
        _ = tokio::time::timeout(STALL, tokio::io::copy(stream, &mut nowhere)) => {}
        () = enough => {}
    }
    Ok(())
}

async fn converse(stream: &mut UnixStream, service: &Service, place: &Place, is_greeted: bool) -> io::Result<()> {
    greet(stream, is_greeted).await?;
    loop {
        let request = tokio::select! {
            request = receive(stream, service, place) => request?,
            // Another one needs the place; whoever has this one does nothing with it.
            () = place.wanted() => return Ok(()),
        };
        let (request, mut admitted, began) = match request {
            Received::Request(request, admitted, began) => (request, Some(admitted), began),
            Received::End => return Ok(()),
            Received::Refused(failure) => {
                service.stats.errors.fetch_add(1, Relaxed);
                place.rest();
                return part(stream, failure, place.wanted()).await;
            }
        };
        let what = describe(&request);
        let has_one_response = !matches!(request, Request::Fetch(_));
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
            if has_one_response {
                // Before the client knows. And nothing of the request is left: a client that sends the next one, on another
                // connection, before it reads this response must find the room of this one free. Responses that nobody reads
                // yet are bounded by the connections, which have one each.
                admitted = None;
                place.rest();
            }
            send(stream, Kind::Response, &response).await?;
        }
        drop(admitted);
        place.rest();
        if service.log_min_duration().is_some_and(|limit| began.elapsed() >= limit) {
            log_info!("duration: {:.3} ms  {what}", began.elapsed().as_secs_f64() * 1000.0);
        }
    }
}

/// What a request is, for the log; without anybody's texts.
fn describe(request: &Request) -> String {
    let count = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    match request {
        Request::Embed(request) => {
            let what = match &request.items {
                Items::Texts(_) => "text",
                Items::Images(_) => "image",
            };
            let model = request.model.escape_default();
            format!("embed {} with model \"{model}\"", count(request.items.len(), what))
        }
        Request::Thumbnails(request) => format!("make {}", count(request.images.len(), "thumbnail")),
        Request::ImageInfo(_) => "describe an image".to_owned(),
        Request::Frames(_) => "extract frames of an image".to_owned(),
        Request::Fetch(request) => format!("fetch {}", count(request.urls.len(), "URL")),
        Request::Logits(_) | Request::Models => "describe models".to_owned(),
        Request::Statistics | Request::ResetStatistics => "statistics".to_owned(),
    }
}

/// What came of waiting for a request.
enum Received {
    /// With the time at which its first bytes were there.
    Request(Request, Admitted, Instant),
    /// The client has left.
    End,
    /// The connection is of no use any more.
    Refused(Failure),
}

async fn receive(stream: &mut UnixStream, service: &Service, place: &Place) -> io::Result<Received> {
    let mut head = [0; HEADER_LEN];
    if let Err(error) = stream.read_exact(&mut head).await {
        return if error.kind() == io::ErrorKind::UnexpectedEof { Ok(Received::End) } else { Err(error) };
    }
    if !place.work() {
        return Ok(Received::End);
    }
    let began = Instant::now();
    let header = match Header::parse(&head).and_then(|header| header.expect(Kind::Request)) {
        Ok(header) => header,
        Err(error) => return Ok(malformed(&error)),
    };
    let admitted = tokio::select! {
        admitted = service.admit(header.len as u64) => admitted,
        () = left(stream) => return Ok(Received::End),
    };
    let admitted = match admitted {
        Ok(admitted) => admitted,
        Err(failure) => return Ok(Received::Refused(failure)),
    };
    // Memory is taken as bytes arrive, not as the header promises them.
    let mut payload = Vec::with_capacity(header.len.min(MIN_PAYLOAD_CAPACITY));
    while payload.len() < header.len {
        let mut rest = (&mut *stream).take((header.len - payload.len()) as u64);
        let read = tokio::time::timeout(STALL, rest.read_buf(&mut payload)).await;
        if read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? == 0 {
            return Ok(Received::End);
        }
    }
    Ok(match process::apart(payload.len(), || decode(&payload)) {
        Ok(request) => Received::Request(request, admitted, began),
        Err(error) => malformed(&error),
    })
}

fn malformed(error: &FrameError) -> Received {
    log_warning!("closing a connection: {error}");
    Received::Refused(Failure::new(error.code(), error))
}

async fn send<T: serde::Serialize>(stream: &mut UnixStream, kind: Kind, message: &T) -> io::Result<()> {
    let frame = match encode(kind, message) {
        Ok(frame) => frame,
        Err(error) => {
            let failure = failure::Error::Unsendable { problem: error.to_string() };
            encode(Kind::Response, &Response::Failed(failure.into()))
                .map_err(|error| io::Error::other(error.to_string()))?
        }
    };
    let mut rest = &frame[..];
    while !rest.is_empty() {
        let written = tokio::time::timeout(STALL, stream.write(rest)).await;
        match written.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => rest = &rest[written..],
        }
    }
    Ok(())
}

/// Waits until the client has closed its end, whatever it has sent before.
async fn left(stream: &UnixStream) {
    while !process::has_hung_up(stream) {
        tokio::time::sleep(PAUSE).await;
    }
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
