//! The server's socket, as every process of the cluster reaches it.

use protocol::SocketPaths;
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::os::unix::net::UnixStream;

/// Connects, or fails at once: where the server's queue of connections is full, a blocking call would wait where no
/// interrupt reaches it. Neither does the connection block.
///
/// # Errors
/// What the operating system says.
pub fn connect_without_waiting() -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(SocketPaths::SOCKET)?)?;
    Ok(socket.into())
}
