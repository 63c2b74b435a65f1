//! Messages on a byte stream: each a length, four bytes big-endian, and a message.

use std::io;

use bytes::{Buf, BufMut, BytesMut};
use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The largest message: an assignment carries whole scripts and variables.
const LIMIT_BYTES: usize = 65 << 20;
const HEADER_BYTES: usize = 4;

/// `message` with its length before it.
pub(crate) fn encode(message: &impl Message) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + message.encoded_len());
    let length = u32::try_from(message.encoded_len()).unwrap_or(u32::MAX);
    bytes.put_u32(length);
    bytes.extend(message.encode_to_vec());
    bytes
}

/// Reads messages one after the other.
pub(crate) struct Frames<R> {
    from: R,
    read: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(from: R) -> Frames<R> {
        Frames {
            from,
            read: BytesMut::new(),
        }
    }

    /// The next message; none when the other side has ended between two.
    ///
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// The stream broke, ended within a message, or holds none.
    pub(crate) async fn next<M: Message + Default>(&mut self) -> io::Result<Option<M>> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            if self.from.read_buf(&mut self.read).await? == 0 {
                return if self.read.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        }
    }

    fn whole<M: Message + Default>(&mut self) -> io::Result<Option<M>> {
        let Some((length, rest)) = self.read.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > LIMIT_BYTES {
            return Err(invalid(format!("a message of {length} bytes")));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.read.advance(HEADER_BYTES);
        let message = self.read.split_to(length);
        M::decode(message).map(Some).map_err(invalid)
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use fleet_proto::v1;
    use proptest::prelude::*;

    use super::*;

    fn size(bytes: u64) -> v1::LogSize {
        v1::LogSize {
            bytes,
            closed: false,
        }
    }

    #[tokio::test]
    async fn messages_are_found_however_their_bytes_arrive() {
        let all = [encode(&size(1)), encode(&size(0)), encode(&size(300))].concat();
        for cut in 0..all.len() {
            let (first, second) = all.split_at(cut);
            let mut frames = Frames::new(AsyncReadExt::chain(first, second));
            for expected in [1, 0, 300] {
                assert_eq!(frames.next().await.unwrap(), Some(size(expected)));
            }
            assert_eq!(frames.next::<v1::LogSize>().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn torn_and_huge_messages_are_errors() {
        let whole = encode(&size(300));
        for cut in 1..whole.len() {
            let mut frames = Frames::new(&whole[..cut]);
            assert!(frames.next::<v1::LogSize>().await.is_err(), "{cut}");
        }
        let mut frames = Frames::new(&[0xff; 8][..]);
        assert!(frames.next::<v1::LogSize>().await.is_err());
    }

    proptest! {
        #[test]
        fn no_bytes_break_the_reader(bytes: Vec<u8>) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut frames = Frames::new(&bytes[..]);
                while let Ok(Some(_)) = frames.next::<v1::SupervisorReport>().await {}
            });
        }
    }
}
