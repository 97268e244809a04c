//! Connections, and HTTP/1.1 as far as answers to agents go. Buffers are used again and again.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::Range,
    sync::Arc,
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::template::find;

/// Longest head and longest body of an answer that agents take.
const MAX_HEAD: usize = 8 * 1024;
const MAX_BODY: usize = 8 * 1024 * 1024;
/// Room for answers that is kept between requests.
const KEEP: usize = 64 * 1024;

/// The server, and how to get there.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub address: SocketAddr,
    /// `None` for plain HTTP.
    pub tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// Addresses of 127.0.0.0/8 that connections come from, in turn; 0 leaves it to the system.
    pub sources: u32,
}

pub(super) enum Connection {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Where the parts of an answer are in the buffer.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Range<usize>,
    /// The server will close the connection.
    pub closes: bool,
}

impl Target {
    pub async fn connect(&self, number: u64) -> io::Result<Connection> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if self.sources > 1 {
            let [_, a, b, c] = (2 + (number % u64::from(self.sources)) as u32).to_be_bytes();
            // A port that waits for its connection to be forgotten can be taken for another one.
            socket.set_reuseaddr(true)?;
            socket.bind((IpAddr::V4(Ipv4Addr::new(127, a, b, c)), 0).into())?;
        }
        let tcp = socket.connect(self.address).await?;
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Connection::Plain(tcp),
            Some((config, name)) => {
                let tls = TlsConnector::from(Arc::clone(config)).connect(name.clone(), tcp).await?;
                Connection::Tls(Box::new(tls))
            }
        })
    }
}

impl Connection {
    /// Sends a request and reads the answer into the buffer, which it fills from the start.
    pub async fn exchange(&mut self, request: &[u8], buffer: &mut Vec<u8>) -> io::Result<Answer> {
        match self {
            Self::Plain(tcp) => tcp.write_all(request).await?,
            Self::Tls(tls) => {
                tls.write_all(request).await?;
                tls.flush().await?;
            }
        }
        buffer.clear();
        buffer.shrink_to(KEEP);
        buffer.reserve(2048);
        let mut from = 0;
        loop {
            let head_end = loop {
                if let Some(at) = find(&buffer[from..], b"\r\n\r\n") {
                    break from + at + 4;
                }
                if buffer.len() - from > MAX_HEAD {
                    return Err(broken("the headers are too long"));
                }
                if self.more(buffer).await? == 0 {
                    return Err(broken("the server closed the connection without an answer"));
                }
            };
            let head = Head::read(&buffer[from..head_end])?;
            if head.status < 200 {
                from = head_end;
                continue;
            }
            let body = match head.length {
                Length::Of(length) if length > MAX_BODY => return Err(broken("the body is too long")),
                Length::Of(length) => {
                    while buffer.len() < head_end + length {
                        if self.more(buffer).await? == 0 {
                            return Err(broken("the answer ended early"));
                        }
                    }
                    head_end..head_end + length
                }
                Length::Chunked => self.chunks(buffer, head_end).await?,
                Length::UntilEnd => {
                    while self.more(buffer).await? > 0 {
                        if buffer.len() - head_end > MAX_BODY {
                            return Err(broken("the body is too long"));
                        }
                    }
                    head_end..buffer.len()
                }
            };
            return Ok(Answer {
                status: head.status,
                body,
                closes: head.closes || matches!(head.length, Length::UntilEnd),
            });
        }
    }

    async fn more(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Self::Plain(tcp) => tcp.read_buf(buffer).await,
            Self::Tls(tls) => tls.read_buf(buffer).await,
        }
    }

    /// Puts the chunks behind each other at the place of the first one.
    async fn chunks(&mut self, buffer: &mut Vec<u8>, start: usize) -> io::Result<Range<usize>> {
        let (mut end, mut at) = (start, start);
        loop {
            let line_end = loop {
                match find(&buffer[at..], b"\r\n") {
                    Some(length) => break at + length,
                    None if self.more(buffer).await? == 0 => return Err(broken("the answer ended early")),
                    None => {}
                }
            };
            let digits = std::str::from_utf8(&buffer[at..line_end]).ok().and_then(|line| line.split(';').next());
            let length = digits.and_then(|digits| usize::from_str_radix(digits.trim(), 16).ok());
            let length =
                length.filter(|length| end - start + length <= MAX_BODY).ok_or_else(|| broken("bad chunk size"))?;
            at = line_end + 2;
            while buffer.len() < at + length + 2 {
                if self.more(buffer).await? == 0 {
                    return Err(broken("the answer ended early"));
                }
            }
            if length == 0 {
                return Ok(start..end);
            }
            buffer.copy_within(at..at + length, end);
            end += length;
            at += length + 2;
        }
    }

    /// Says goodbye as agents do. The answer is complete, so a failure changes nothing.
    pub async fn close(self) {
        match self {
            Self::Plain(mut tcp) => {
                let _ = tcp.shutdown().await;
            }
            Self::Tls(mut tls) => {
                let _ = tls.shutdown().await;
            }
        }
    }
}

enum Length {
    Of(usize),
    Chunked,
    UntilEnd,
}

struct Head {
    status: u16,
    length: Length,
    closes: bool,
}

impl Head {
    fn read(head: &[u8]) -> io::Result<Self> {
        let status =
            head.strip_prefix(b"HTTP/1.").and_then(|rest| std::str::from_utf8(rest.get(2..5)?).ok()?.parse().ok());
        let Some(status) = status else { return Err(broken("not an HTTP/1 answer")) };
        let has_no_body = status < 200 || status == 204 || status == 304;
        let mut found = Self {
            status,
            length: if has_no_body { Length::Of(0) } else { Length::UntilEnd },
            closes: head.starts_with(b"HTTP/1.0"),
        };
        for line in head.split(|byte| *byte == b'\n').skip(1) {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
            if name.eq_ignore_ascii_case(b"content-length") && !has_no_body {
                let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                found.length = Length::Of(length.ok_or_else(|| broken("bad Content-Length"))?);
            } else if name.eq_ignore_ascii_case(b"transfer-encoding") && value.eq_ignore_ascii_case(b"chunked") {
                found.length = Length::Chunked;
            } else if name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"close") {
                found.closes = true;
            }
        }
        Ok(found)
    }
}

fn broken(reason: &'static str) -> io::Error {
    io::Error::other(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a client makes of an answer that comes in pieces of three bytes.
    async fn read(answer: &'static [u8]) -> Result<(String, bool), String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4];
            stream.read_exact(&mut request).await.unwrap();
            stream.set_nodelay(true).unwrap();
            for piece in answer.chunks(3) {
                if stream.write_all(piece).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
        let target = Target { address, tls: None, sources: 3 };
        let mut connection = target.connect(1).await.unwrap();
        let mut buffer = Vec::new();
        let result = connection.exchange(b"POST", &mut buffer).await;
        drop(connection);
        server.await.unwrap();
        let answer = result.map_err(|error| error.to_string())?;
        Ok((String::from_utf8_lossy(&buffer[answer.body]).into_owned(), answer.closes))
    }

    #[tokio::test]
    async fn lengths_chunks_and_ends_are_understood() {
        let ok = |body: &str, closes| Ok((body.to_owned(), closes));
        assert_eq!(read(b"HTTP/1.1 503 Busy\r\nX: y\r\ncontent-length: 2\r\n\r\n{}").await, ok("{}", false));
        assert_eq!(read(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").await, ok("", true));
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n";
        assert_eq!(read(chunked).await, ok("{\"a\":1}", false));
        assert_eq!(read(b"HTTP/1.0 200 OK\r\n\r\nrest").await, ok("rest", true));
        assert_eq!(read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\n\r\n").await, ok("", false));
    }

    #[tokio::test]
    async fn broken_answers_are_refused() {
        for bytes in [
            &b""[..],
            b"HTTP/1.1 200 OK\r\n",
            b"SSH-2.0\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n{}",
            b"HTTP/1.1 200 OK\r\nContent-Length: 8388609\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ] {
            assert!(read(bytes).await.is_err(), "{}", String::from_utf8_lossy(bytes));
        }
    }
}
