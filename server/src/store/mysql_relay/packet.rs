//! The packets that begin a connection: three bytes of length, one with a sequence number, and the payload.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Longest packet before both sides have agreed on anything. Greetings and log-ins have some hundred bytes.
const LONGEST: usize = 1 << 16;

/// First byte of a packet that tells of an error.
const ERROR: u8 = 0xff;

/// Code of "Can't connect to MySQL server".
pub const CANNOT_CONNECT: u16 = 2003;

/// Code of "TLS/SSL error".
pub const TLS_FAILED: u16 = 2026;

/// A packet as it was sent, its header included.
#[derive(Debug)]
pub struct Packet(Vec<u8>);

impl Packet {
    /// # Errors
    /// When the other side ends, or sends more than belongs here.
    pub async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut header = [0; 4];
        from.read_exact(&mut header).await?;
        let length = usize::from(header[0]) | usize::from(header[1]) << 8 | usize::from(header[2]) << 16;
        if length > LONGEST {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "this is no MySQL server: its greeting is too long",
            ));
        }
        let mut bytes = header.to_vec();
        bytes.resize(header.len() + length, 0);
        from.read_exact(&mut bytes[header.len()..]).await?;
        Ok(Self(bytes))
    }

    /// An error, as the answer to the packet with the sequence number before `sequence`.
    pub fn error(sequence: u8, code: u16, text: &str) -> Self {
        let mut payload = vec![ERROR];
        payload.extend(code.to_le_bytes());
        payload.extend(b"#HY000");
        payload.extend(text.as_bytes().iter().take(LONGEST / 2));
        let mut bytes = u32::try_from(payload.len()).unwrap_or_default().to_le_bytes()[..3].to_vec();
        bytes.push(sequence);
        bytes.extend(payload);
        Self(bytes)
    }

    /// # Errors
    /// When the other side does not take it.
    pub async fn write(&self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        to.write_all(&self.0).await?;
        to.flush().await
    }

    pub fn is_error(&self) -> bool {
        self.0.get(4) == Some(&ERROR)
    }

    /// The sequence number of the answer to this packet.
    pub fn next_sequence(&self) -> u8 {
        self.0[3].wrapping_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn errors_are_read_as_they_were_written() {
        let mut bytes = Vec::new();
        Packet::error(3, TLS_FAILED, "no TLS").write(&mut bytes).await.unwrap();
        assert_eq!(bytes, b"\x0f\0\0\x03\xff\xea\x07#HY000no TLS");
        let read = Packet::read(&mut bytes.as_slice()).await.unwrap();
        assert!(read.is_error() && read.next_sequence() == 4);
    }

    #[tokio::test]
    async fn other_protocols_are_not_waited_for() {
        let error = Packet::read(&mut b"HTTP/1.1 400 Bad Request\r\n".as_slice()).await.unwrap_err();
        assert!(error.to_string().contains("no MySQL server"), "{error}");
        assert!(Packet::read(&mut b"\x05\0\0\0".as_slice()).await.is_err());
    }
}
