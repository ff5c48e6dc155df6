//! As much of HTTP as a hub needs: one request for each connection.

use crate::Fault;
use crate::repository::Content;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

pub(crate) struct Request {
    /// With its query.
    pub path: String,
    pub head: String,
}

impl Request {
    fn read(stream: &TcpStream) -> io::Result<Option<Self>> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let Some(first) = lines.next().transpose()? else { return Ok(None) };
        let mut head = first.clone();
        for line in lines {
            let line = line?;
            if line.is_empty() {
                break;
            }
            head.push('\n');
            head.push_str(&line);
        }
        Ok(first.split(' ').nth(1).map(|path| Self { path: path.to_owned(), head }))
    }

    /// The parts of the path, decoded.
    pub fn path_parts(&self) -> Vec<String> {
        let path = self.path.split('?').next().unwrap_or_default();
        path.split('/').filter(|part| !part.is_empty()).map(decode).collect()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }

    fn first_byte(&self) -> Option<u64> {
        self.header("range")?.strip_prefix("bytes=")?.split('-').next()?.parse().ok()
    }
}

fn decode(part: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), part.bytes());
    while let Some(byte) = rest.next() {
        let escaped = |rest: &mut std::str::Bytes<'_>| {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()
        };
        bytes.push(if byte == b'%' { escaped(&mut rest).unwrap_or(b'%') } else { byte });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

enum Body {
    Bytes(Vec<u8>),
    /// A file, from a byte on.
    Disk(fs::File),
}

pub(crate) struct Response {
    status: u16,
    headers: String,
    body: Body,
    /// What the head says of the length.
    announced: u64,
    pause: Option<Duration>,
}

impl Response {
    fn new(status: u16, headers: impl Into<String>, bytes: Vec<u8>) -> Self {
        let announced = bytes.len() as u64;
        Self { status, headers: headers.into(), body: Body::Bytes(bytes), announced, pause: None }
    }

    pub fn status(status: u16, headers: &str) -> Self {
        Self::new(status, headers, b"what a hub says of it".to_vec())
    }

    pub fn redirect(status: u16, to: &str, headers: &str) -> Self {
        Self::new(status, format!("Location: {to}\r\n{headers}"), Vec::new())
    }

    pub fn whole(kind: &str, bytes: Vec<u8>) -> Self {
        Self::new(200, format!("Content-Type: {kind}\r\n"), bytes)
    }

    /// A file, or the range of it that was asked for.
    pub fn of_file(content: &Content, request: &Request) -> Self {
        let (size, from) = (content.len(), request.first_byte().unwrap_or(0));
        let (status, headers) = match request.first_byte() {
            None => (200, "Accept-Ranges: bytes\r\n".to_owned()),
            Some(from) if from >= size => return Self::status(416, &format!("Content-Range: bytes */{size}\r\n")),
            Some(from) => (206, format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1)),
        };
        let body = match content {
            Content::Bytes(bytes) => Body::Bytes(bytes[from as usize..].to_vec()),
            Content::Disk(path) => {
                let mut file = fs::File::open(path).expect("a file");
                file.seek(SeekFrom::Start(from)).expect("a file");
                Body::Disk(file)
            }
        };
        Self { status, headers, body, announced: size - from, pause: None }
    }

    pub fn of_fault(fault: Fault, content: &[u8], request: &Request) -> Self {
        let plain = || Self::of_file(&Content::Bytes(content.to_vec()), request);
        let shortened = |length: usize, pause| {
            let mut response = plain();
            if let Body::Bytes(bytes) = &mut response.body {
                bytes.truncate(length);
            }
            Self { pause, ..response }
        };
        match fault {
            Fault::Status(status, headers) => Self::status(status, headers),
            Fault::Cut(length) => shortened(length, None),
            Fault::Stall(length, pause) => shortened(length, Some(pause)),
            Fault::Replace(bytes) => Self::whole("application/octet-stream", bytes),
            Fault::IgnoreRange => Self::whole("application/octet-stream", content.to_vec()),
            Fault::WrongRange => {
                let last = content.len().saturating_sub(1);
                Self::new(206, format!("Content-Range: bytes 1-{last}/{}\r\n", content.len()), content[1..].to_vec())
            }
            Fault::Redirect(to) => Self::redirect(302, &to, ""),
        }
    }

    fn write(self, stream: &mut TcpStream) -> io::Result<()> {
        let Self { status, headers, body, announced, pause } = self;
        write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {announced}\r\n{headers}\r\n")?;
        match body {
            Body::Bytes(bytes) => stream.write_all(&bytes)?,
            Body::Disk(mut file) => {
                io::copy(&mut file, stream)?;
            }
        }
        stream.flush()?;
        if let Some(pause) = pause {
            thread::sleep(pause);
        }
        Ok(())
    }
}

pub(crate) fn serve(mut stream: TcpStream, answer: impl FnOnce(&Request) -> Response) -> io::Result<()> {
    let Some(request) = Request::read(&stream)? else { return Ok(()) };
    answer(&request).write(&mut stream)?;
    // A close with unread bytes would reset what the client has not read yet.
    stream.shutdown(std::net::Shutdown::Write)?;
    stream.read(&mut [0]).map(drop)
}
