//! A request's body, piece by piece: unpacked, and never more than may be.

use std::io::Write as _;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::{Buf as _, Bytes};
use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt as _;

use super::text;

/// Who sends nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(120);
/// Packed bytes that are unpacked at once: they become a thousand times as many.
const PACKED: usize = 4 << 10;

/// A body that is being received.
pub(super) struct Incoming {
    body: Body,
    /// Packed bytes that are not unpacked yet.
    packed: Bytes,
    unpack: Option<MultiGzDecoder<Vec<u8>>>,
    limit: u64,
    left: u64,
}

/// Why no more of a body can be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("the request is larger than the {0} bytes that are taken: push some of it first")]
    TooLarge(u64),
    #[error("nothing was sent for {} s", SILENCE.as_secs())]
    Silent,
    #[error("the request broke off")]
    Broken,
    #[error("the request cannot be unpacked")]
    Packing,
    #[error("the request is packed in a way that is not known here")]
    UnknownPacking,
}

impl Error {
    pub(super) fn answer(self) -> Response {
        let status = match &self {
            Error::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Error::Silent => StatusCode::REQUEST_TIMEOUT,
            Error::Broken | Error::Packing => StatusCode::BAD_REQUEST,
            Error::UnknownPacking => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        };
        text(status, &self.to_string())
    }
}

impl Incoming {
    /// # Errors
    /// It is packed in an unknown way, or too large.
    pub(super) fn new(headers: &HeaderMap, body: Body, limit: u64) -> Result<Incoming, Error> {
        let value = |name| headers.get(name).and_then(|it| it.to_str().ok());
        let unpack = match value(CONTENT_ENCODING) {
            Some("gzip" | "x-gzip") => Some(MultiGzDecoder::new(Vec::new())),
            None | Some("identity") if headers.get_all(CONTENT_ENCODING).iter().count() < 2 => None,
            _ => return Err(Error::UnknownPacking),
        };
        let length = value(CONTENT_LENGTH).and_then(|it| it.parse::<u64>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(Error::TooLarge(limit));
        }
        Ok(Incoming {
            body,
            packed: Bytes::new(),
            unpack,
            limit,
            left: limit,
        })
    }

    /// The next piece, never empty; none at the end.
    ///
    /// # Errors
    /// [`Error`]; there is no more then.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.packed.is_empty() {
                let frame = tokio::time::timeout(SILENCE, self.body.frame()).await;
                match frame.map_err(|_| Error::Silent)? {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => self.packed = data,
                        // Trailers say nothing here.
                        Err(_) => continue,
                    },
                    Some(Err(_)) => return Err(Error::Broken),
                    None => return self.rest(),
                }
            }
            let piece = match &mut self.unpack {
                None => std::mem::take(&mut self.packed),
                Some(unpack) => {
                    let some = self.packed.len().min(PACKED);
                    unpack
                        .write_all(&self.packed[..some])
                        .map_err(|_| Error::Packing)?;
                    self.packed.advance(some);
                    Bytes::from(std::mem::take(unpack.get_mut()))
                }
            };
            if !piece.is_empty() {
                return self.counted(piece).map(Some);
            }
        }
    }

    /// What the unpacking still held when all had come.
    fn rest(&mut self) -> Result<Option<Bytes>, Error> {
        let Some(mut unpack) = self.unpack.take() else {
            return Ok(None);
        };
        unpack.try_finish().map_err(|_| Error::Packing)?;
        let piece = Bytes::from(std::mem::take(unpack.get_mut()));
        if piece.is_empty() {
            return Ok(None);
        }
        self.counted(piece).map(Some)
    }

    fn counted(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        let length = u64::try_from(piece.len()).unwrap_or(u64::MAX);
        self.left = self
            .left
            .checked_sub(length)
            .ok_or(Error::TooLarge(self.limit))?;
        Ok(piece)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn packed(data: &[u8]) -> Vec<u8> {
        let mut pack = GzEncoder::new(Vec::new(), Compression::best());
        pack.write_all(data).unwrap();
        pack.finish().unwrap()
    }

    fn incoming(data: Vec<u8>, encoding: &str, limit: u64) -> Incoming {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
        Incoming::new(&headers, Body::from(data), limit).unwrap()
    }

    async fn all(mut incoming: Incoming) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = incoming.piece().await? {
            assert!(piece.len() <= 8 << 20);
            all.extend_from_slice(&piece);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn packed_requests_are_unpacked() {
        let data = b"0000".repeat(100_000);
        assert_eq!(
            all(incoming(packed(&data), "gzip", 1 << 20)).await.unwrap(),
            data
        );
        assert_eq!(
            all(incoming(data.clone(), "identity", 1 << 20))
                .await
                .unwrap(),
            data
        );
    }

    #[tokio::test]
    async fn what_unpacks_to_more_than_may_be_is_cut_off() {
        let bomb = packed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 128 << 10);
        let error = all(incoming(bomb, "gzip", 1 << 20)).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge(_)), "{error}");
        let error = all(incoming(vec![0; 100], "identity", 99))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::TooLarge(99)), "{error}");
        assert_eq!(
            all(incoming(vec![0; 99], "identity", 99))
                .await
                .unwrap()
                .len(),
            99
        );
    }

    #[tokio::test]
    async fn broken_packing_is_an_error() {
        let whole = packed(b"some text");
        let mut longer = whole.clone();
        longer.extend_from_slice(b"garbage");
        for bad in [b"plain".to_vec(), whole[..whole.len() - 3].to_vec(), longer] {
            let error = all(incoming(bad, "gzip", 1 << 20)).await.unwrap_err();
            assert!(matches!(error, Error::Packing), "{error}");
        }
    }

    #[test]
    fn unknown_packing_and_length_are_refused_at_once() {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        assert!(Incoming::new(&headers, Body::empty(), 1).is_err());
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("2"));
        assert!(Incoming::new(&headers, Body::empty(), 1).is_err());
    }
}
