//! The member at the other end of one connection, and its calls.

use std::fmt;
use std::time::Duration;

use http::uri::PathAndQuery;
use prost::Message;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use super::access::{Access, UserPassword};
use super::connection;
use super::endpoint::Endpoint;
use super::failure;
use super::messages::{
    Answered, AuthenticateRequest, AuthenticateResponse, Call, HashKvRequest, HashKvResponse, ListedMember,
    MemberListRequest, MemberListResponse, RangeRequest, RangeResponse, ResponseHeader, SnapshotRequest,
    SnapshotResponse, StatusRequest, StatusResponse,
};
use super::stream::Snapshot;
use crate::error::{Error, Result};

/// Largest message taken from etcd. Pieces of a snapshot have 32 KiB (etcd-io/etcd,
/// server/etcdserver/api/v3rpc/maintenance.go, v3.5), a list of members some hundred bytes each.
const MAX_MESSAGE_BYTES: usize = 16 << 20;

/// The metadata key under which etcd looks for the token (etcd-io/etcd,
/// api/v3rpc/rpctypes/metadatafields.go, v3.5).
const TOKEN_KEY: &str = "token";

/// What a member says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The member's own etcd version.
    pub version: semver::Version,
    /// The cluster that it belongs to.
    pub cluster_id: u64,
    /// Its own id.
    pub member_id: u64,
    /// The last revision that it has applied.
    pub revision: u64,
    /// Bytes of the database file.
    pub db_size: u64,
    /// Bytes of the database file that hold data; 0 before etcd 3.4.
    pub db_size_in_use: u64,
    /// The id of the member that it takes for the leader; 0 when it knows none.
    pub leader: u64,
    /// Whether it does not vote yet; false before etcd 3.4.
    pub is_learner: bool,
    /// Alarms of the whole cluster, and complaints of this member, in etcd's words; empty before etcd 3.4.
    pub errors: Vec<String>,
}

/// One line of the list of members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its id.
    pub id: u64,
    /// Its name; empty until it has started.
    pub name: String,
    /// The client URLs that it advertises, as it wrote them; empty until it has started.
    pub client_urls: Vec<String>,
    /// Whether it does not vote yet.
    pub is_learner: bool,
}

/// The hash of all keys and their history from `compact_revision` to `revision`; equal on all
/// members of one etcd version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashKv {
    /// The last revision that is in the hash.
    pub revision: u64,
    /// The compaction that the history starts after; -1 before the first one.
    pub compact_revision: i64,
    /// CRC-32C, as `etcdctl endpoint hashkv` prints it.
    pub hash: u32,
}

/// One connection to one member. It is never opened again: once it is gone, every call fails. An
/// answer with the id of another member or cluster than the first answer's is an error.
pub struct Member {
    endpoint: Endpoint,
    channel: Channel,
    limit: Duration,
    auth: Option<UserPassword>,
    token: Option<AsciiMetadataValue>,
    identity: Identity,
    /// Whether any call has succeeded yet.
    answered: bool,
}

type Opened = (Streaming<SnapshotResponse>, Option<SnapshotResponse>);

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Member {
    /// Connects and, if a user is given, logs in. A cluster without authentication takes any user.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) for certificates and users that one
    /// side does not accept, [`ErrorKind::General`](crate::error::ErrorKind::General) for the network.
    pub async fn connect(endpoint: &Endpoint, access: &Access) -> Result<Self> {
        let mut member = Self {
            endpoint: endpoint.clone(),
            channel: connection::open(endpoint, access).await?,
            limit: access.request_timeout,
            auth: access.auth.clone(),
            token: None,
            identity: Identity::default(),
            answered: false,
        };
        member.log_in().await?;
        Ok(member)
    }

    /// The URL of the connection.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The members that this one knows of, without asking the others: works without quorum.
    ///
    /// # Errors
    /// As for [`status`](Self::status).
    pub async fn members(&mut self) -> Result<Vec<MemberInfo>> {
        let list: MemberListResponse = self.call(Call::MEMBER_LIST, MemberListRequest { linearizable: false }).await?.0;
        let info = |member: ListedMember| MemberInfo {
            id: member.id,
            name: member.name,
            client_urls: member.client_urls,
            is_learner: member.is_learner,
        };
        Ok(list.members.into_iter().map(info).collect())
    }

    /// What the member says about itself. With authentication on, only root may ask.
    ///
    /// # Errors
    /// [`ErrorKind::Denied`](crate::error::ErrorKind::Denied) without the permission,
    /// [`ErrorKind::General`](crate::error::ErrorKind::General) when the connection is gone, the
    /// time runs out or etcd refuses.
    pub async fn status(&mut self) -> Result<Status> {
        let (status, header): (StatusResponse, _) = self.call(Call::STATUS, StatusRequest {}).await?;
        let version = semver::Version::parse(&status.version).map_err(|error| {
            failure::answer(&self.endpoint, Call::STATUS, format!("version {:?}: {error}", status.version))
        })?;
        Ok(Status {
            version,
            cluster_id: header.cluster_id,
            member_id: header.member_id,
            revision: self.natural(Call::STATUS, header.revision)?,
            db_size: self.natural(Call::STATUS, status.db_size)?,
            db_size_in_use: self.natural(Call::STATUS, status.db_size_in_use)?,
            leader: status.leader,
            is_learner: status.is_learner,
            errors: status.errors,
        })
    }

    /// The current revision: of the whole cluster (linearizable; needs a quorum), or the one that
    /// this member has reached.
    ///
    /// # Errors
    /// As for [`status`](Self::status); a linearizable read fails without quorum, in etcd's own
    /// time (7 s by default) or that of the access, whichever is shorter.
    pub async fn revision(&mut self, linearizable: bool) -> Result<u64> {
        // any key will do, also one that is not there: the answer's header has the revision
        let request = RangeRequest { key: vec![0], serializable: !linearizable, count_only: true };
        let (_, header): (RangeResponse, _) = self.call(Call::RANGE, request).await?;
        self.natural(Call::RANGE, header.revision)
    }

    /// The hash of all keys up to `revision`; 0 means the current one.
    ///
    /// # Errors
    /// As for [`status`](Self::status); also when the revision is compacted or still to come.
    pub async fn hash_kv(&mut self, revision: u64) -> Result<HashKv> {
        let asked = i64::try_from(revision)
            .map_err(|_| failure::answer(&self.endpoint, Call::HASH_KV, format!("no such revision: {revision}")))?;
        let (hash, header): (HashKvResponse, _) = self.call(Call::HASH_KV, HashKvRequest { revision: asked }).await?;
        // before etcd 3.6 the answer does not repeat the revision
        let hashed = [hash.hash_revision, asked].into_iter().find(|&known| known != 0).unwrap_or(header.revision);
        Ok(HashKv {
            revision: self.natural(Call::HASH_KV, hashed)?,
            compact_revision: hash.compact_revision,
            hash: hash.hash,
        })
    }

    /// Starts a snapshot and waits for its first piece, which says how long it will be.
    ///
    /// # Errors
    /// As for [`status`](Self::status). With authentication on, only root may take a snapshot.
    pub async fn snapshot(&mut self) -> Result<Snapshot> {
        let mut opened = self.open_stream().await;
        if self.may_log_in_again(&opened) {
            self.log_in().await?;
            opened = self.open_stream().await;
        }
        let (stream, first) = opened.map_err(|status| self.failed(Call::SNAPSHOT, &status))?;
        Snapshot::begin(self.endpoint.clone(), self.channel.clone(), stream, first, self.limit)
    }

    /// One call with one answer; logs in again, once, if etcd has forgotten the token: simple tokens
    /// live 5 minutes (`--auth-token-ttl`), a snapshot may take longer.
    async fn call<Q, A>(&mut self, call: Call, request: Q) -> Result<(A, ResponseHeader)>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + Answered + 'static,
    {
        let mut outcome: Result<A, tonic::Status> = self.send(call, request.clone()).await;
        if self.may_log_in_again(&outcome) {
            self.log_in().await?;
            outcome = self.send(call, request).await;
        }
        let answer = outcome.map_err(|status| self.failed(call, &status))?;
        let header = self.identify(call, answer.header())?;
        Ok((answer, header))
    }

    async fn log_in(&mut self) -> Result<()> {
        let Some(UserPassword { username, password }) = self.auth.clone() else { return Ok(()) };
        self.token = None;
        let request = AuthenticateRequest { name: username, password };
        let answer: AuthenticateResponse = match self.send(Call::AUTHENTICATE, request).await {
            Err(status) if failure::auth_is_disabled(&status) => return Ok(()),
            outcome => outcome.map_err(|status| self.failed(Call::AUTHENTICATE, &status))?,
        };
        let unusable = |_| failure::answer(&self.endpoint, Call::AUTHENTICATE, "the token is not a header value");
        let mut token = AsciiMetadataValue::try_from(answer.token.as_str()).map_err(unusable)?;
        token.set_sensitive(true);
        self.token = Some(token);
        Ok(())
    }

    fn failed(&self, call: Call, status: &tonic::Status) -> Error {
        match self.answered {
            true => failure::calling(&self.endpoint, call, status),
            false => failure::calling_first(&self.endpoint, call, status),
        }
    }

    fn may_log_in_again<T>(&self, outcome: &Result<T, tonic::Status>) -> bool {
        self.auth.is_some() && outcome.as_ref().err().is_some_and(failure::token_is_stale)
    }

    async fn send<Q, A>(&mut self, call: Call, request: Q) -> Result<A, tonic::Status>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let path = PathAndQuery::from_static(call.0);
        let outcome = self.in_time(async {
            let mut client = self.client().await?;
            Ok(client.unary(self.request(request), path, ProstCodec::<Q, A>::default()).await?.into_inner())
        });
        let outcome = outcome.await;
        self.answered |= outcome.is_ok();
        outcome
    }

    /// The stream and its first message: only with that one etcd says whether it accepts the token.
    async fn open_stream(&mut self) -> Result<Opened, tonic::Status> {
        let path = PathAndQuery::from_static(Call::SNAPSHOT.0);
        let codec = ProstCodec::<SnapshotRequest, SnapshotResponse>::default();
        let outcome = self.in_time(async {
            let mut client = self.client().await?;
            let mut stream = client.server_streaming(self.request(SnapshotRequest {}), path, codec).await?.into_inner();
            let first = stream.message().await?;
            Ok((stream, first))
        });
        let outcome = outcome.await;
        self.answered |= outcome.is_ok();
        outcome
    }

    async fn client(&self) -> Result<Grpc<Channel>, tonic::Status> {
        let mut client = Grpc::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        client.ready().await.map_err(|error| tonic::Status::from_error(error.into()))?;
        Ok(client)
    }

    fn request<Q>(&self, message: Q) -> Request<Q> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN_KEY, token.clone());
        }
        request
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, tonic::Status>>) -> Result<T, tonic::Status> {
        let late = |_| tonic::Status::deadline_exceeded(format!("no answer within {:?}", self.limit));
        timeout(self.limit, call).await.map_err(late)?
    }

    fn identify(&mut self, call: Call, header: Option<&ResponseHeader>) -> Result<ResponseHeader> {
        let header = header.ok_or_else(|| failure::answer(&self.endpoint, call, "the answer names no member"))?;
        self.identity.check(header).map_err(|reason| {
            failure::answer(&self.endpoint, call, reason)
                .hint("a balancer spreads the requests of one connection: name the members' own URLs")
        })?;
        Ok(*header)
    }

    fn natural(&self, call: Call, number: i64) -> Result<u64> {
        u64::try_from(number).map_err(|_| failure::answer(&self.endpoint, call, format!("negative number {number}")))
    }
}

/// Cluster and member id of the first answer on a connection.
#[derive(Debug, Default)]
struct Identity(Option<(u64, u64)>);

impl Identity {
    /// Compares the ids of an answer with those of the first.
    fn check(&mut self, header: &ResponseHeader) -> Result<(), String> {
        let (cluster, member) = (header.cluster_id, header.member_id);
        let (first_cluster, first_member) = *self.0.get_or_insert((cluster, member));
        if (first_cluster, first_member) == (cluster, member) {
            return Ok(());
        }
        Err(format!(
            "member {member:x} of cluster {cluster:x} answers instead of {first_member:x} of {first_cluster:x}"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_member_or_cluster_on_the_same_connection_is_an_error() {
        let header = |cluster_id, member_id| ResponseHeader { cluster_id, member_id, revision: 1 };
        let mut identity = Identity::default();
        assert_eq!(identity.check(&header(0xc, 0xa)), Ok(()));
        assert_eq!(identity.check(&header(0xc, 0xa)), Ok(()));
        assert_eq!(identity.check(&header(0xc, 0xb)), Err("member b of cluster c answers instead of a of c".into()));
        assert!(identity.check(&header(0xd, 0xa)).is_err());
        assert_eq!(identity.check(&header(0xc, 0xa)), Ok(()));
    }
}
