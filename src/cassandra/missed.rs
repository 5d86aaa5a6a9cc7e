//! Why a backup was not seen.

use crate::error::Error;

/// Why a look found no backup.
#[derive(Debug)]
pub enum Missed {
    /// It is not there, or not yet.
    NotThere(Error),
    /// Whether it is there is not known, or not whose is meant: to wait mends nothing.
    Unclear(Error),
}

impl From<Error> for Missed {
    fn from(error: Error) -> Self {
        Self::Unclear(error)
    }
}

impl Missed {
    /// What to tell a person who does not wait.
    pub fn into_error(self) -> Error {
        match self {
            Self::NotThere(error) | Self::Unclear(error) => error,
        }
    }
}
