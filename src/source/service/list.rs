//! Everything that a server of ours stores, in one answer.

use futures::TryStreamExt;
use http::{HeaderMap, Method, StatusCode};

use super::ServiceSource;
use super::exchange::{Exchange, STALL};
use crate::error::{Error, ErrorKind, Result};
use crate::source::pv::{Inventory, SNAPSHOTS};
use crate::source::{Listing, unless_silent};

/// Most bytes of a list: 40,000 snapshots.
const MOST: usize = 16 << 20;

impl ServiceSource {
    /// Lists what is stored.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when nothing is stored of the cluster; [`ErrorKind::Denied`] when the server may not
    /// read its directories; [`ErrorKind::TimedOut`]; [`ErrorKind::General`].
    pub async fn list(&self) -> Result<Listing> {
        let answer = self.ask(SNAPSHOTS).await?;
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(refused(status, &answer.text().await, &self.base.shown));
        }
        let mut body = unless_silent(answer.into_body()?, STALL);
        let mut json = Vec::new();
        while let Some(chunk) = body.try_next().await.map_err(|error| error.context(&self.base.shown))? {
            json.extend_from_slice(&chunk);
            if json.len() > MOST {
                return Err(Error::general(format!("{}: the list of snapshots is too long", self.base.shown)));
            }
        }
        Inventory::parse(&json).map_err(|error| error.context(&self.base.shown))
    }

    /// A sign of life, for a server that ends when nobody is there.
    ///
    /// # Errors
    /// Those of the connection.
    pub async fn greet(&self) -> Result<()> {
        self.ask("/healthz").await.map(|_| ())
    }

    async fn ask(&self, path: &str) -> Result<Exchange> {
        let request = self.base.request(Method::GET, path, "", HeaderMap::new())?;
        Exchange::start(self.dial(false).await?, request, &self.base.shown).await
    }
}

/// The server's sentence, and the lines below it as hints.
fn refused(status: StatusCode, text: &str, shown: &str) -> Error {
    let kind = match status.as_u16() {
        401 | 403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        408 | 504 => ErrorKind::TimedOut,
        _ => ErrorKind::General,
    };
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let said = lines.next().map_or_else(|| status.to_string(), str::to_owned);
    lines.fold(Error::new(kind, format!("{shown}: {said}")), Error::hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_kind_its_words_and_its_hints() {
        let error = refused(StatusCode::FORBIDDEN, "cannot read /v1/a\nrun it as root\n", "claim c");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert_eq!(error.to_string(), "error: claim c: cannot read /v1/a\nhint: run it as root");
        assert_eq!(refused(StatusCode::BAD_GATEWAY, "", "claim c").message(), "claim c: 502 Bad Gateway");
    }
}
