//! A body that comes as zstd, as plain bytes, within bounds that a hostile frame cannot move.
//!
//! Source: RFC 8878, section 3.1.1.1.2 for the window.

use std::io;

use async_compression::tokio::bufread::ZstdDecoder;
use async_compression::zstd::DParameter;
use bytes::{Bytes, BytesMut};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

use crate::error::{Error, Result};
use crate::source::Body;

/// The largest window is 8 MiB, which the RFC wants every decoder to take; our sidecar uses half a MiB.
const WINDOW_LOG: u32 = 23;

/// Most bytes of a chunk.
const CHUNK: usize = 256 * 1024;

/// A chunk of fewer bytes is not worth the room that it keeps.
const LEAST: usize = 32 * 1024;

/// The plain bytes of the frame that `coded` is; never more than `size`. Errors of `coded` are passed on.
pub(super) fn plain(coded: Body, size: u64, shown: &str) -> Body {
    let coded = StreamReader::new(coded.map_err(io::Error::other).boxed());
    let decoder = ZstdDecoder::with_params(coded, &[DParameter::window_log_max(WINDOW_LOG)]);
    let frame = Frame { decoder, left: size, buffer: BytesMut::new(), shown: shown.to_owned() };
    let chunks = stream::unfold(Some(frame), |frame| async {
        let mut frame = frame?;
        match frame.next().await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(frame))),
            Err(error) => Some((Err(error), None)),
        }
    });
    chunks.boxed()
}

struct Frame {
    decoder: ZstdDecoder<StreamReader<BoxStream<'static, io::Result<Bytes>>, Bytes>>,
    /// Bytes that may still come.
    left: u64,
    buffer: BytesMut,
    shown: String,
}

impl Frame {
    /// The next plain bytes; `None` when the frame and the body have ended.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        if self.buffer.capacity() < LEAST {
            self.buffer = BytesMut::with_capacity(CHUNK);
        }
        match self.decoder.read_buf(&mut self.buffer).await {
            Ok(0) => match self.decoder.get_mut().fill_buf().await {
                Ok([]) => Ok(None),
                Ok(_) => Err(self.wrong("more follows after the end")),
                Err(error) => Err(self.failed(error)),
            },
            Ok(count) => {
                let left = self.left.checked_sub(count as u64);
                self.left = left.ok_or_else(|| self.wrong("it holds more than the size that was announced"))?;
                Ok(Some(self.buffer.split().freeze()))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// The error of the connection, or of the frame itself.
    fn failed(&self, error: io::Error) -> Error {
        match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => self.wrong(&error.to_string()),
        }
    }

    fn wrong(&self, what: &str) -> Error {
        Error::general(format!("{}: broke off: the zstd frame is unusable: {what}", self.shown)).hint("run it again")
    }
}

#[cfg(test)]
mod tests {
    use async_compression::Level;
    use async_compression::tokio::write::ZstdEncoder;
    use async_compression::zstd::CParameter;
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn frame(plain: &[u8], parameters: &[CParameter]) -> Vec<u8> {
        let mut encoder = ZstdEncoder::with_quality_and_params(Vec::new(), Level::Fastest, parameters);
        encoder.write_all(plain).await.unwrap();
        encoder.shutdown().await.unwrap();
        encoder.into_inner()
    }

    /// How many bytes came, and why no more.
    async fn read(coded: &[u8], size: usize) -> (usize, Option<String>) {
        let chunks: Vec<_> = coded.chunks(1000).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
        let mut body = plain(stream::iter(chunks).boxed(), size as u64, "service s");
        let mut came = 0;
        while let Some(chunk) = body.next().await {
            match chunk {
                Ok(chunk) => came += chunk.len(),
                Err(error) => return (came, Some(error.message().to_owned())),
            }
        }
        (came, None)
    }

    #[tokio::test]
    async fn more_than_was_announced_is_cut_before_it_takes_memory() {
        let bomb = frame(&vec![0; 64 << 20], &[]).await;
        assert!(bomb.len() < 10_000);
        assert_eq!(read(&bomb, 64 << 20).await, (64 << 20, None));
        let (came, why) = read(&bomb, 1 << 20).await;
        assert!(came <= 1 << 20 && why.unwrap().contains("more than the size"));
    }

    #[tokio::test]
    async fn a_window_beyond_the_bound_is_refused() {
        let plain = vec![0; 40 << 20];
        assert_eq!(read(&frame(&plain, &[CParameter::window_log(23)]).await, plain.len()).await.1, None);
        let (came, why) = read(&frame(&plain, &[CParameter::window_log(24)]).await, plain.len()).await;
        assert_eq!(came, 0);
        assert!(why.unwrap().contains("memory"));
    }

    #[tokio::test]
    async fn what_is_no_whole_frame_is_an_error() {
        let plain: Vec<u8> = (0..600_000_u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        let whole = frame(&plain, &[]).await;
        assert_eq!(read(&whole, plain.len()).await, (plain.len(), None));
        for (coded, says) in [
            (&whole[..whole.len() - 1], "unusable"),
            (&whole[..whole.len() / 2], "unusable"),
            (&[&whole[..], &b"x"[..]].concat(), "more follows"),
            (&[&whole[..], &whole[..]].concat(), "more follows"),
            (&b"no frame"[..], "unusable"),
            (&[], "unusable"),
        ] {
            let (came, why) = read(coded, plain.len()).await;
            assert!(came <= plain.len() && why.as_ref().is_some_and(|why| why.contains(says)), "{says}: {why:?}");
        }
    }

    #[tokio::test]
    async fn the_error_of_the_connection_is_passed_on() {
        let whole = frame(&vec![1; 1 << 20], &[]).await;
        let broken = [Ok(Bytes::from(whole[..20].to_vec())), Err(Error::timed_out("no bytes").hint("run it again"))];
        let items: Vec<_> = plain(stream::iter(broken).boxed(), 1 << 20, "service s").collect().await;
        assert_eq!(items.last().unwrap().as_ref().unwrap_err(), &Error::timed_out("no bytes").hint("run it again"));
    }
}
