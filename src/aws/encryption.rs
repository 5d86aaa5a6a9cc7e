//! How S3 encrypts what is stored.

use aws_sdk_s3::types::ServerSideEncryption;

use crate::error::{Error, Result};

/// Server-side encryption of an object, as it is asked for when its upload is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encryption {
    /// AES256 or aws:kms.
    pub algorithm: ServerSideEncryption,
    /// Id, ARN or alias of the key for aws:kms; the account's own key for S3 without one.
    pub kms_key_id: Option<String>,
}

impl Encryption {
    /// From the flags; `None` when nothing is asked for, which leaves it to the bucket.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) for another algorithm, and for a key that it cannot use.
    pub fn new(algorithm: Option<&str>, kms_key_id: Option<&str>) -> Result<Option<Self>> {
        let Some(word) = algorithm else { return Ok(None) };
        let algorithm = match ServerSideEncryption::from(word) {
            known @ (ServerSideEncryption::Aes256 | ServerSideEncryption::AwsKms) => known,
            _ => return Err(Error::usage(format!("no such server-side encryption: {word:?}")).hint(ALGORITHMS)),
        };
        match kms_key_id {
            Some("") => Err(Error::usage("the id of the KMS key is empty").hint("leave it out for the key of S3")),
            Some(_) if algorithm != ServerSideEncryption::AwsKms => {
                Err(Error::usage(format!("a KMS key cannot be used with {word}")).hint("it is for aws:kms"))
            }
            key => Ok(Some(Self { algorithm, kms_key_id: key.map(str::to_owned) })),
        }
    }
}

const ALGORITHMS: &str = "it is AES256 or aws:kms";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn two_algorithms_are_known_and_only_one_takes_a_key() {
        assert_eq!(Encryption::new(None, None), Ok(None));
        let aes = Encryption { algorithm: ServerSideEncryption::Aes256, kms_key_id: None };
        assert_eq!(Encryption::new(Some("AES256"), None), Ok(Some(aes)));
        let kms = Encryption { algorithm: ServerSideEncryption::AwsKms, kms_key_id: Some("k".to_owned()) };
        assert_eq!(Encryption::new(Some("aws:kms"), Some("k")), Ok(Some(kms)));
        for (algorithm, key) in [("aes256", None), ("", None), ("AES256", Some("k")), ("aws:kms", Some(""))] {
            let error = Encryption::new(Some(algorithm), key).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage, "{algorithm} {key:?}");
        }
    }
}
