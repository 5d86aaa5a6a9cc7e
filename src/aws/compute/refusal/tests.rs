//! The refusals of EC2 and Auto Scaling.

use super::Refusal;
use crate::error::{Error, ErrorKind};

fn refused(code: &str, message: &str) -> Option<Error> {
    let refusal = Refusal {
        code,
        message,
        request_id: Some("1-2-3"),
        service: "ec2",
        region: "eu-west-1",
        account: "111122223333",
        credentials: "AWS profile \"ops\"",
    };
    refusal.explain("creating a volume")
}

#[test]
fn each_refusal_has_the_exit_code_that_scripts_know() {
    use ErrorKind::{Denied, General, NotFound};
    for (code, message, kind) in [
        ("UnauthorizedOperation", "", Denied),
        ("AuthFailure", "", Denied),
        ("OptInRequired", "", Denied),
        ("PendingVerification", "", Denied),
        ("InvalidKmsKey.InvalidState", "", Denied),
        ("InvalidVolume.NotFound", "", NotFound),
        ("InvalidSnapshotID.Malformed", "", NotFound),
        ("ValidationError", "AutoScalingGroup name not found", NotFound),
        ("RequestLimitExceeded", "", General),
        ("SnapshotCreationPerVolumeRateExceeded", "", General),
        ("InvalidSnapshot.InUse", "", General),
        ("IncorrectState", "", General),
        ("SnapshotLocked", "", General),
        ("SnapshotLimitExceeded", "", General),
        ("ScalingActivityInProgress", "", General),
        ("InternalError", "", General),
        ("DryRunOperation", "", General),
    ] {
        assert_eq!(refused(code, message).unwrap().kind(), kind, "{code}");
    }
}

#[test]
fn what_every_service_says_is_left_to_others() {
    for code in ["ExpiredToken", "InvalidClientTokenId", "SignatureDoesNotMatch", "ValidationError", ""] {
        assert_eq!(refused(code, "Value 7 at 'minSize' failed"), None, "{code}");
    }
}

#[test]
fn a_missing_permission_is_named_and_what_only_sts_can_read_becomes_a_command() {
    let message = "You are not authorized to perform this operation. User: arn:aws:iam::111122223333:user/ops is not \
                   authorized to perform: ec2:CreateVolume on resource: * because no identity-based policy allows \
                   the ec2:CreateVolume action. Encoded authorization failure message: 4Gk9aBcD";
    let error = refused("UnauthorizedOperation", message).unwrap();
    let start = "ec2: no permission for ec2:CreateVolume, creating a volume (UnauthorizedOperation: You are not";
    assert!(error.message().starts_with(start), "{error}");
    assert!(!error.message().contains("4Gk9aBcD"), "{error}");
    assert_eq!(error.hints()[0], "credentials used: AWS profile \"ops\"");
    assert!(error.hints()[2].ends_with("--encoded-message 4Gk9aBcD"), "{error}");
    let terse = refused("UnauthorizedOperation", "You are not authorized to perform this operation.").unwrap();
    assert!(terse.message().starts_with("ec2: access denied, creating a volume"), "{terse}");
    assert_eq!(terse.hints().len(), 2);
}

#[test]
fn refused_keys_may_be_those_of_a_region_that_is_not_enabled() {
    let error = refused("AuthFailure", "AWS was not able to validate the provided access credentials").unwrap();
    assert_eq!(
        error.to_string(),
        "error: ec2: the credentials were refused in eu-west-1, creating a volume (AuthFailure: AWS was not able to \
         validate the provided access credentials, request id 1-2-3)\nhint: credentials used: AWS profile \"ops\"\n\
         hint: is the region enabled? aws account get-region-opt-status --region-name eu-west-1"
    );
}
