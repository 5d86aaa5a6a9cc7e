//! Which Cassandra operator an API server serves, told by its API groups and their schemas.

use std::time::Duration;

use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use serde_json::Value;

use super::generations::{FAMILIES, Family, Generation, known};
use crate::api::dialect::Served as Schema;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A kind, and what the API server keeps of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    pub resource: ApiResource,
    pub schema: Schema,
}

/// An operator's API.
#[derive(Debug, Clone, PartialEq)]
pub struct Served {
    pub generation: Generation,
    pub family: &'static Family,
    pub backup: Kind,
    /// What the reader should know, one line each.
    pub notes: Vec<String>,
}

impl Kind {
    /// The objects of this kind in the session's namespace.
    pub fn api(&self, session: &Session) -> Api<DynamicObject> {
        Api::namespaced_with(session.client.clone(), &session.namespace, &self.resource)
    }

    /// An object's name as kubectl prints it: `cassandrabackup.stable.instaclustr.com/x`.
    pub fn shown(&self, name: &str) -> String {
        format!("{}.{}/{name}", self.resource.kind.to_lowercase(), self.resource.group)
    }

    fn usual(group: &str, version: &str, kind: &str) -> Self {
        let types = kube::core::GroupVersionKind::gvk(group, version, kind);
        Self { resource: ApiResource::from_gvk(&types), schema: Schema::unread() }
    }
}

impl Served {
    /// What a generation usually serves, where nobody is asked.
    pub fn assumed(generation: Generation) -> Self {
        let (family, version) = generation.usual();
        Self { generation, family, backup: Kind::usual(family.group, version, family.backup), notes: Vec::new() }
    }

    /// The operator in words: `Instaclustr's Go operator (2019-2021), cassandraoperator.instaclustr.com/v1alpha1`.
    pub fn describe(&self) -> String {
        format!("{}, {}", self.generation.describe(), self.backup.resource.api_version)
    }

    /// The kind of its datacenters.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] where it is not served; the API server's.
    pub async fn datacenters(&self, session: &Session) -> Result<Kind> {
        let (group, kind) = (self.family.datacenter_group, self.family.datacenter);
        let versions = versions(session, group).await?;
        match find_kind(session, group, &versions, kind, &mut Vec::new()).await? {
            Some(found) => Ok(found),
            None => Err(Error::not_found(format!("the server doesn't have a kind {kind:?} in group {group:?}"))
                .hint("kubectl api-resources shows what it has")),
        }
    }

    /// The kind of its datacenters where nobody is asked.
    pub fn usual_datacenters(&self) -> Kind {
        let version = match self.generation {
            Generation::K8ssandra => "v1beta1",
            _ => &self.backup.resource.version,
        };
        Kind::usual(self.family.datacenter_group, version, self.family.datacenter)
    }
}

/// Finds the operator whose API is served; of several, the one that is `wanted`.
///
/// # Errors
/// [`ErrorKind::NotFound`] where there is none, or more than one; the API server's.
pub async fn find(session: &Session, wanted: Option<Generation>) -> Result<Served> {
    let groups = session.request(TIMEOUT, session.client.list_api_groups()).await?;
    let (mut found, mut notes) = (Vec::new(), Vec::new());
    for family in &FAMILIES {
        let Some(group) = groups.groups.iter().find(|group| group.name == family.group) else { continue };
        let versions = sorted(group);
        let Some(backup) = find_kind(session, family.group, &versions, family.backup, &mut notes).await? else {
            continue;
        };
        let generations = family.generations(&backup.schema);
        if generations.is_empty() {
            notes.push(format!("{} of group {} has a schema of no release that is known", family.backup, family.group));
        }
        found.extend(generations.into_iter().map(|generation| Served {
            generation,
            family,
            backup: backup.clone(),
            notes: Vec::new(),
        }));
    }
    choose(found, wanted, notes)
}

/// Reads the versions of a group, the preferred one first.
async fn versions(session: &Session, group: &str) -> Result<Vec<String>> {
    let groups = session.request(TIMEOUT, session.client.list_api_groups()).await?;
    Ok(groups.groups.iter().find(|found| found.name == group).map(sorted).unwrap_or_default())
}

fn sorted(group: &k8s_openapi::apimachinery::pkg::apis::meta::v1::APIGroup) -> Vec<String> {
    let preferred = group.preferred_version.as_ref().map(|version| version.version.clone());
    let all = group.versions.iter().map(|version| version.version.clone());
    let rest: Vec<String> = all.filter(|version| Some(version) != preferred.as_ref()).collect();
    preferred.into_iter().chain(rest).collect()
}

/// The one operator, or why it cannot be told.
fn choose(found: Vec<Served>, wanted: Option<Generation>, notes: Vec<String>) -> Result<Served> {
    let served: Vec<String> = found.iter().map(Served::describe).collect();
    let mut fits: Vec<Served> =
        found.into_iter().filter(|one| wanted.is_none_or(|wanted| wanted == one.generation)).collect();
    match (fits.len(), wanted) {
        (1, _) => Ok(Served { notes, ..fits.remove(0) }),
        (0, Some(wanted)) if !served.is_empty() => {
            Err(Error::not_found(format!("{} is not served; served: {}", wanted.describe(), served.join("; ")))
                .hint("leave out --generation, or give the one that is served"))
        }
        (0, _) => {
            let error = Error::not_found("the server has no API of a Cassandra operator that is known");
            let error = notes.into_iter().fold(error, Error::hint).hint(format!("known are: {}", known()));
            Err(error.hint("install the operator and its CRDs first, or choose another cluster with --context"))
        }
        _ => {
            let words: Vec<&str> = fits.iter().map(|one| one.generation.word()).collect();
            Err(Error::not_found(format!("more than one Cassandra operator may be served: {}", served.join("; ")))
                .hint(format!("choose one with --generation {}", words.join(" or --generation "))))
        }
    }
}

/// A kind of a group with its schema; `None` where no version has it.
async fn find_kind(
    session: &Session,
    group: &str,
    versions: &[String],
    kind: &str,
    notes: &mut Vec<String>,
) -> Result<Option<Kind>> {
    for version in versions {
        let api_version = format!("{group}/{version}");
        let listed = match session.request(TIMEOUT, session.client.list_api_group_resources(&api_version)).await {
            Ok(listed) => listed,
            // a group is listed for a moment after its last CRD has gone
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let named = listed.resources.into_iter().find(|found| found.kind == kind && !found.name.contains('/'));
        let Some(named) = named else { continue };
        let resource = ApiResource {
            group: group.to_owned(),
            version: version.clone(),
            api_version,
            kind: kind.to_owned(),
            plural: named.name,
        };
        let schema = schema(session, &resource, notes).await?;
        return Ok(Some(Kind { resource, schema }));
    }
    Ok(None)
}

/// What is kept of a kind: asked of its CRD, else of the OpenAPI document, which everybody who may log in reads
/// (ClusterRole system:discovery).
async fn schema(session: &Session, resource: &ApiResource, notes: &mut Vec<String>) -> Result<Schema> {
    let ApiResource { group, version, kind, plural, .. } = resource;
    let crd = get(session, &format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{plural}.{group}")).await;
    let refused = match crd {
        Ok(crd) => return Ok(Schema::of_version(&crd, version).unwrap_or_else(Schema::unread)),
        Err(error) if matches!(error.kind(), ErrorKind::Denied | ErrorKind::NotFound) => error,
        Err(error) => return Err(error),
    };
    let document = get(session, &format!("/openapi/v3/apis/{group}/{version}")).await;
    let schema = document.ok().and_then(|document| Schema::of_kind(&document, (group, version, kind)));
    Ok(schema.unwrap_or_else(|| {
        notes.push(format!("the schema of {kind} cannot be read, nothing is checked by it: {}", refused.message()));
        Schema::unread()
    }))
}

async fn get(session: &Session, path: &str) -> Result<Value> {
    let request = http::Request::get(path).body(Vec::new());
    let request = request.map_err(|error| Error::general(format!("cannot ask for {path}: {error}")))?;
    session.request(TIMEOUT, session.client.request(request)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(generations: &[Generation], wanted: Option<Generation>) -> Result<Generation> {
        let found = generations.iter().map(|one| Served::assumed(*one)).collect();
        choose(found, wanted, Vec::new()).map(|served| served.generation)
    }

    #[test]
    fn one_operator_is_taken_and_of_two_the_one_that_is_named() {
        use Generation::{Elassandra, ElassandraSecrets, InstaclustrGo};
        assert_eq!(served(&[InstaclustrGo], None), Ok(InstaclustrGo));
        let two = [Elassandra, ElassandraSecrets];
        assert_eq!(served(&two, Some(ElassandraSecrets)), Ok(ElassandraSecrets));
        let either = served(&two, None).unwrap_err();
        assert_eq!(either.kind(), ErrorKind::NotFound);
        assert_eq!(either.hints(), ["choose one with --generation elassandra or --generation elassandra-secrets"]);
    }

    #[test]
    fn another_operator_and_none_are_named() {
        let other = served(&[Generation::InstaclustrGo], Some(Generation::K8ssandra)).unwrap_err();
        assert!(
            other.message().starts_with("K8ssandra with Medusa is not served; served: Instaclustr's Go"),
            "{other}"
        );
        let none = served(&[], None).unwrap_err();
        assert!(none.kind() == ErrorKind::NotFound && none.hints()[0].starts_with("known are: Instaclustr's Java"));
    }
}
