//! Content codings: a snapshot as it is, or as zstd for a client that asks for it.
//!
//! Source: RFC 9110, sections 8.4 and 12.5.3, and RFC 8878.

use std::io;
use std::time::Duration;

use async_compression::Level;
use async_compression::tokio::write::ZstdEncoder;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_ENCODING, RANGE};
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// The databases of Kubernetes shrink five times at this level, and no slower than a tunnel takes the bytes.
const LEVEL: Level = Level::Precise(1);

/// Bytes that are compressed before others get the thread, a third of a millisecond: a block of zstd has as many.
const SLICE: usize = 128 * 1024;

/// Bytes by which it is decided whether a frame pays.
const SAMPLE: usize = 1 << 20;

/// Longest wait for them. Over a line that is slower than that a frame is what helps.
const SAMPLING: Duration = Duration::from_secs(2);

/// The form in which a snapshot is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Zstd,
}

impl Coding {
    /// The form that a request gets. A range is always one of the plain bytes, because only those can be cut anywhere.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        match accepts_zstd(headers) && !headers.contains_key(RANGE) {
            true => Self::Zstd,
            false => Self::Identity,
        }
    }
}

/// Whether `zstd` is named, and not worth less to the client than the plain bytes. `*` names nothing: what a client
/// of old sends has to get what it always got.
fn accepts_zstd(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|line| line.to_str().ok());
    let elements: Vec<_> = lines.flat_map(|line| line.split(',')).map(element).collect();
    let weight = |coding: &str| {
        let found = elements.iter().filter(|(name, _)| name.eq_ignore_ascii_case(coding));
        found.map(|(_, weight)| *weight).max().unwrap_or_default()
    };
    weight("zstd") > 0 && weight("zstd") >= weight("identity")
}

/// The name of a coding and its weight in thousandths; 0 for a weight that cannot be read.
fn element(text: &str) -> (&str, u16) {
    let (name, parameter) = text.split_once(';').unwrap_or((text, "q=1"));
    let value = parameter.trim().split_once('=').filter(|(name, _)| name.eq_ignore_ascii_case("q"));
    (name.trim(), value.and_then(|(_, value)| thousandths(value)).unwrap_or_default())
}

/// At most three digits after the point, and nothing above 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = rest.len() <= 3 && rest.bytes().all(|byte| byte.is_ascii_digit());
    let rest: u16 = format!("{rest:0<3}").parse().ok().filter(|_| digits)?;
    match whole {
        "0" => Some(rest),
        "1" if rest == 0 => Some(1000),
        _ => None,
    }
}

/// The coding that pays for `plain`, and the same bytes. Where the first of them hardly shrink, as those of encrypted or
/// compressed values do, a frame would only be work for both ends (docs/performance.md, B4).
pub(super) async fn worthwhile(
    plain: BoxStream<'static, Result<Bytes>>,
) -> (Coding, BoxStream<'static, Result<Bytes>>) {
    // it may end here, and is asked once more where it is sent
    let mut plain = plain.fuse();
    let (mut first, mut size, mut encoder) = (Vec::new(), 0, ZstdEncoder::with_quality(Vec::new(), LEVEL));
    let until = Instant::now() + SAMPLING;
    while size < SAMPLE {
        let Ok(item) = tokio::time::timeout_at(until, plain.next()).await else { break };
        let Some(item) = item else { break };
        let chunk = item.as_ref().ok().cloned();
        first.push(item);
        let Some(chunk) = chunk else { break };
        size += chunk.len();
        // what fails here fails again where it is sent
        let _ = encoder.write_all(&chunk).await;
    }
    let coded = encoder.shutdown().await.map_or(0, |()| encoder.get_ref().len());
    let coding = if size >= SAMPLE && coded > size / 10 * 9 { Coding::Identity } else { Coding::Zstd };
    (coding, stream::iter(first).chain(plain).boxed())
}

/// The bytes of `plain` as one frame. An error of `plain` is the last item: the frame has no end then.
pub(super) fn compressed(plain: BoxStream<'static, Result<Bytes>>) -> impl Stream<Item = Result<Bytes>> + Send {
    let work = Work { plain, rest: Bytes::new(), encoder: ZstdEncoder::with_quality(Vec::new(), LEVEL), ended: false };
    stream::unfold(Some(work), |work| async {
        let mut work = work?;
        match work.next().await {
            Ok(None) => None,
            Ok(Some(chunk)) => Some((Ok(chunk), Some(work))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// A frame in the making.
struct Work {
    plain: BoxStream<'static, Result<Bytes>>,
    /// What came and is not compressed yet.
    rest: Bytes,
    encoder: ZstdEncoder<Vec<u8>>,
    ended: bool,
}

impl Work {
    /// The next bytes of the frame.
    async fn next(&mut self) -> Result<Option<Bytes>> {
        while !self.ended {
            self.step().await?;
            let done = std::mem::take(self.encoder.get_mut());
            // compressing is work and not waiting: the thread's other connections come in between
            tokio::task::yield_now().await;
            if !done.is_empty() {
                return Ok(Some(done.into()));
            }
        }
        Ok(None)
    }

    /// Compresses one slice, or ends the frame.
    async fn step(&mut self) -> Result<()> {
        if self.rest.is_empty() {
            match self.plain.next().await.transpose()? {
                Some(chunk) => self.rest = chunk,
                None => {
                    self.ended = true;
                    return self.encoder.shutdown().await.map_err(failed);
                }
            }
        }
        let slice = self.rest.split_to(self.rest.len().min(SLICE));
        self.encoder.write_all(&slice).await.map_err(failed)
    }
}

fn failed(error: io::Error) -> Error {
    Error::general(format!("cannot compress: {error}"))
}

#[cfg(test)]
mod tests {
    use async_compression::tokio::write::ZstdDecoder;
    use futures::TryStreamExt;

    use super::*;

    fn of(lines: &[&str], range: bool) -> Coding {
        let mut headers: HeaderMap = lines.iter().map(|line| (ACCEPT_ENCODING, line.parse().unwrap())).collect();
        if range {
            headers.insert(RANGE, "bytes=0-1".parse().unwrap());
        }
        Coding::of(&headers)
    }

    #[tokio::test]
    async fn what_does_not_shrink_stays_plain() {
        let random: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(3 << 20).collect();
        for (bytes, coding) in [
            (random.clone(), Coding::Identity),
            (vec![0; 3 << 20], Coding::Zstd),
            // too little to tell, or to matter
            (random[..1000].to_vec(), Coding::Zstd),
        ] {
            let chunks: Vec<Result<Bytes>> = bytes.chunks(100_000).map(|chunk| Ok(chunk.to_vec().into())).collect();
            let once = stream::unfold(chunks.into_iter(), |mut left| async { Some((left.next()?, left)) });
            let (chosen, same) = worthwhile(once.boxed()).await;
            let same: Vec<Bytes> = same.try_collect().await.unwrap();
            assert!(chosen == coding && same.concat() == bytes, "{coding:?}");
        }
    }

    #[test]
    fn only_a_client_that_names_zstd_gets_it() {
        for asks in [
            &["zstd"][..],
            &["gzip, deflate, br, zstd"],
            &["ZSTD;q=0.001"],
            &["gzip;q=1.0, zstd ; Q=0.5"],
            &["gzip", "zstd;q=1.000"],
            &["identity;q=0.5, zstd;q=0.5"],
            &["identity;q=0, zstd"],
        ] {
            assert_eq!((of(asks, false), of(asks, true)), (Coding::Zstd, Coding::Identity), "{asks:?}");
        }
        for asks in [
            &[][..],
            &[""],
            &["*"],
            &["gzip, *;q=1"],
            &["identity"],
            &["zstd;q=0"],
            &["zstd;q=0.000"],
            &["identity, zstd;q=0.9"],
            &["zstd;q=1.001", "zstd;q=2", "zstd;q=0.1234", "zstd;q=-1", "zstd;q=", "zstd;level=1", "zstd;"],
            &["zstdx, x-zstd"],
        ] {
            assert_eq!(of(asks, false), Coding::Identity, "{asks:?}");
        }
    }

    async fn decoded(frame: &[u8]) -> io::Result<Vec<u8>> {
        let mut decoder = ZstdDecoder::new(Vec::new());
        decoder.write_all(frame).await?;
        decoder.shutdown().await?;
        Ok(decoder.into_inner())
    }

    #[tokio::test]
    async fn a_frame_holds_the_bytes_however_they_come() {
        let plain: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7 % 251) as u8).collect();
        for size in [1000, SLICE, 2 * SLICE + 1, plain.len()] {
            let chunks: Vec<_> = plain.chunks(size).map(|chunk| Ok(Bytes::copy_from_slice(chunk))).collect();
            let frame = compressed(stream::iter(chunks).boxed()).try_collect::<Vec<_>>().await.unwrap().concat();
            assert!(frame.len() < plain.len() / 5, "{}", frame.len());
            assert!(decoded(&frame).await.unwrap() == plain, "{size}");
        }
        let empty = compressed(stream::iter([]).boxed()).try_collect::<Vec<_>>().await.unwrap().concat();
        assert_eq!(decoded(&empty).await.unwrap(), b"");
    }

    #[tokio::test]
    async fn a_source_that_breaks_leaves_a_frame_without_an_end() {
        let chunks = [Ok(Bytes::from(vec![7; 3 * SLICE])), Err(Error::general("the store broke off"))];
        let items: Vec<_> = compressed(stream::iter(chunks).boxed()).collect().await;
        let (last, sent) = items.split_last().unwrap();
        assert_eq!(last.as_ref().unwrap_err().message(), "the store broke off");
        let sent: Vec<_> = sent.iter().flat_map(|chunk| chunk.clone().unwrap()).collect();
        assert!(decoded(&sent).await.is_err());
    }
}
