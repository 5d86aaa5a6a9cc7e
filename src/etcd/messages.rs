//! The protobuf messages of the calls, reduced to the fields that a backup reads, and their paths.
//!
//! Source: etcd-io/etcd, api/etcdserverpb/rpc.proto, v3.5 (`HashKVResponse.hash_revision` since v3.6).
//! Fields that are not listed are skipped by the decoder, as protobuf prescribes.

/// The gRPC path of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call(pub &'static str);

impl Call {
    pub(super) const AUTHENTICATE: Self = Self("/etcdserverpb.Auth/Authenticate");
    pub(super) const MEMBER_LIST: Self = Self("/etcdserverpb.Cluster/MemberList");
    pub(super) const RANGE: Self = Self("/etcdserverpb.KV/Range");
    pub(super) const STATUS: Self = Self("/etcdserverpb.Maintenance/Status");
    pub(super) const HASH_KV: Self = Self("/etcdserverpb.Maintenance/HashKV");
    pub(super) const SNAPSHOT: Self = Self("/etcdserverpb.Maintenance/Snapshot");

    /// The name as etcd's documentation writes it: `Maintenance/Status`.
    pub(super) fn name(self) -> &'static str {
        self.0.trim_start_matches("/etcdserverpb.")
    }
}

/// An answer that says which member of which cluster gave it.
pub(super) trait Answered {
    /// The header, if the answer has one.
    fn header(&self) -> Option<&ResponseHeader>;
}

macro_rules! answered {
    ($($message:ty),+) => {
        $(impl Answered for $message {
            fn header(&self) -> Option<&ResponseHeader> {
                self.header.as_ref()
            }
        })+
    };
}

answered!(AuthenticateResponse, MemberListResponse, RangeResponse, StatusResponse, HashKvResponse);

#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    pub cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub member_id: u64,
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct AuthenticateRequest {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(string, tag = "2")]
    pub password: String,
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub(super) struct AuthenticateResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub token: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MemberListRequest {
    #[prost(bool, tag = "1")]
    pub linearizable: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MemberListResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub members: Vec<ListedMember>,
}

/// etcd's message `Member`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ListedMember {
    #[prost(uint64, tag = "1")]
    pub id: u64,
    #[prost(string, tag = "2")]
    pub name: String,
    #[prost(string, repeated, tag = "4")]
    pub client_urls: Vec<String>,
    #[prost(bool, tag = "5")]
    pub is_learner: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeRequest {
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    #[prost(bool, tag = "7")]
    pub serializable: bool,
    #[prost(bool, tag = "9")]
    pub count_only: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RangeResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub version: String,
    #[prost(int64, tag = "3")]
    pub db_size: i64,
    #[prost(uint64, tag = "4")]
    pub leader: u64,
    #[prost(string, repeated, tag = "8")]
    pub errors: Vec<String>,
    #[prost(int64, tag = "9")]
    pub db_size_in_use: i64,
    #[prost(bool, tag = "10")]
    pub is_learner: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HashKvRequest {
    #[prost(int64, tag = "1")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HashKvResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    #[prost(uint32, tag = "2")]
    pub hash: u32,
    #[prost(int64, tag = "3")]
    pub compact_revision: i64,
    #[prost(int64, tag = "4")]
    pub hash_revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotRequest {}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotResponse {
    #[prost(uint64, tag = "2")]
    pub remaining_bytes: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub blob: bytes::Bytes,
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    const HEADER: &[u8] = &[0x0a, 6, 0x08, 1, 0x10, 2, 0x18, 15];

    fn header() -> Option<ResponseHeader> {
        Some(ResponseHeader { cluster_id: 1, member_id: 2, revision: 15 })
    }

    fn with_header(rest: &[u8]) -> Vec<u8> {
        [HEADER, rest].concat()
    }

    #[test]
    fn requests_have_the_bytes_that_etcd_reads() {
        let authenticate = AuthenticateRequest { name: "root".into(), password: "pw".into() };
        assert_eq!(authenticate.encode_to_vec(), b"\x0a\x04root\x12\x02pw");
        assert_eq!(MemberListRequest { linearizable: true }.encode_to_vec(), [0x08, 1]);
        let range = RangeRequest { key: vec![0], serializable: true, count_only: true };
        assert_eq!(range.encode_to_vec(), [0x0a, 1, 0, 0x38, 1, 0x48, 1]);
        assert_eq!(HashKvRequest { revision: 300 }.encode_to_vec(), [0x08, 0xac, 2]);
        assert!(StatusRequest {}.encode_to_vec().is_empty());
        assert!(SnapshotRequest {}.encode_to_vec().is_empty());
    }

    #[test]
    fn status_is_read_with_the_fields_of_newer_servers_skipped() {
        let newer = [0x28, 9, 0x30, 2, 0x38, 9, 0x5a, 3, b'3', b'.', b'6', 0x60, 7, 0x6a, 2, 0x08, 1];
        let bytes = with_header(
            &[b"\x12\x063.5.21\x18\x80\x20\x20\x02".as_slice(), &newer, b"\x42\x03bad\x48\x80\x10\x50\x01"].concat(),
        );
        let status = StatusResponse::decode(bytes.as_slice()).unwrap();
        assert_eq!(
            status,
            StatusResponse {
                header: header(),
                version: "3.5.21".into(),
                db_size: 4096,
                leader: 2,
                errors: vec!["bad".into()],
                db_size_in_use: 2048,
                is_learner: true,
            }
        );
    }

    #[test]
    fn a_member_list_is_read() {
        let member = b"\x12\x1b\x08\x07\x12\x02m0\x1a\x07http://\x22\x08https://\x28\x01";
        let list = MemberListResponse::decode(with_header(member).as_slice()).unwrap();
        let m0 = ListedMember { id: 7, name: "m0".into(), client_urls: vec!["https://".into()], is_learner: true };
        assert_eq!(list, MemberListResponse { header: header(), members: vec![m0] });
    }

    #[test]
    fn range_hash_snapshot_and_token_are_read() {
        let range = RangeResponse::decode(with_header(&[0x18, 1, 0x20, 3]).as_slice()).unwrap();
        assert_eq!(range, RangeResponse { header: header() });
        let hash = HashKvResponse::decode(with_header(&[0x10, 42, 0x18, 3, 0x20, 14]).as_slice()).unwrap();
        assert_eq!((hash.hash, hash.compact_revision, hash.hash_revision), (42, 3, 14));
        let piece = SnapshotResponse::decode([0x10, 5, 0x1a, 2, 0xff, 0x00, 0x22, 1, b'3'].as_slice()).unwrap();
        assert_eq!((piece.remaining_bytes, &piece.blob[..]), (5, &[0xff, 0x00][..]));
        let token = AuthenticateResponse::decode(with_header(b"\x12\x02t0").as_slice()).unwrap();
        assert_eq!(token.token, "t0");
    }

    #[test]
    fn calls_are_named_as_etcd_names_them() {
        assert_eq!(Call::HASH_KV.name(), "Maintenance/HashKV");
        assert_eq!(Call::MEMBER_LIST.name(), "Cluster/MemberList");
    }
}
