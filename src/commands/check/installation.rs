//! The API server, the CRD and the operator.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::Api;

use super::TIMEOUT;
use super::report::{Check, Report};
use crate::VERSION;
use crate::commands::get::operator_wide::{self, Operator, OperatorWide, is_cluster_wide};
use crate::commands::install::manifests::{CRD, OPERATOR, is_ours};
use crate::commands::install::wait::is_available;
use crate::error::{Error, ErrorKind, Result};
use crate::kubernetes::Session;

/// The oldest Kubernetes whose API server takes the CRD's rules.
const OLDEST: (u32, u32) = (1, 29);

/// Looks at what is installed, and gives what the operator takes for objects that name none; `None` when the API
/// server does not even answer.
///
/// # Errors
/// As [`Report::add`].
pub async fn check(session: &Session, report: &mut Report<'_>) -> Result<Option<OperatorWide>> {
    let server = match session.request(TIMEOUT, session.client.apiserver_version()).await {
        Ok(info) => of_version(&info.major, &info.minor, &info.git_version),
        Err(error) => {
            report.add(Check::failed("API server", &error))?;
            return Ok(None);
        }
    };
    report.add(server)?;
    report.add(crd(session).await)?;
    let (check, found) = operator(session).await;
    report.add(check)?;
    Ok(Some(found.as_ref().map(OperatorWide::of).unwrap_or_default()))
}

fn of_version(major: &str, minor: &str, shown: &str) -> Check {
    // providers write 29+ and the like
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    if (digits(major), digits(minor)) >= OLDEST {
        return Check::ok("API server", shown);
    }
    let sentence = format!("{shown} is too old for the CRD and the operator; reading works");
    Check::failed("API server", &Error::general(sentence).hint("Kubernetes 1.29 or newer is needed"))
}

async fn crd(session: &Session) -> Check {
    let crds = Api::<CustomResourceDefinition>::all(session.client.clone());
    match session.request(TIMEOUT, crds.get(CRD)).await {
        Ok(found) if is_ours(&found.metadata) => Check::ok("CRD", format!("{CRD}, installed by this program")),
        Ok(found) => foreign(&found),
        Err(error) if error.kind() == ErrorKind::Denied => served(session).await,
        Err(error) if error.kind() == ErrorKind::NotFound => Check::failed("CRD", &missing()),
        Err(error) => Check::failed("CRD", &error),
    }
}

fn missing() -> Error {
    Error::not_found(format!("{CRD} is not installed")).hint("kubectl etcdbackup install")
}

fn foreign(crd: &CustomResourceDefinition) -> Check {
    let fields = serde_json::to_value(crd).ok().and_then(|value| {
        let versions = value["spec"]["versions"].as_array()?.clone();
        let schemas = versions.iter().map(|version| &version["schema"]["openAPIV3Schema"]["properties"]["spec"]);
        schemas.filter_map(|spec| spec["properties"].as_object().cloned()).next()
    });
    let dialect = match fields {
        Some(fields) if fields.contains_key("sidecar") => "its fields are this program's",
        Some(fields) if fields.contains_key("etcdEndpoints") => "it speaks the dialect with etcdEndpoints",
        Some(fields) if fields.contains_key("clusterName") => "it speaks the dialect with clusterName",
        _ => "it has no schema that tells its dialect",
    };
    Check::warning("CRD", format!("{CRD} is another project's; {dialect}"))
        .hint("its operator works on EtcdBackups; `install --force` replaces it")
}

/// Discovery is open to everybody who is logged in.
async fn served(session: &Session) -> Check {
    let resources = session.client.list_api_group_resources("etcd.database.coreos.com/v1beta2");
    match session.request(TIMEOUT, resources).await {
        Ok(list) if list.resources.iter().any(|resource| resource.name == "etcdbackups") => {
            Check::ok("CRD", "served; you may not see who installed it")
        }
        Ok(_) => Check::failed("CRD", &missing()),
        Err(error) if error.kind() == ErrorKind::NotFound => Check::failed("CRD", &missing()),
        Err(error) => Check::failed("CRD", &error),
    }
}

async fn operator(session: &Session) -> (Check, Option<Deployment>) {
    let namespace = &session.namespace;
    match operator_wide::operator(session).await {
        Ok(Operator::Found(found)) => (of_operator(&found), Some(*found)),
        Ok(Operator::Absent) => {
            let error = Error::not_found(format!("none in namespace {namespace}, and no cluster-wide one"));
            (Check::failed("operator", &error.hint(format!("kubectl etcdbackup install -n {namespace}"))), None)
        }
        Ok(Operator::Unknown(why)) => (Check::skipped("operator", why), None),
        Err(error) => (Check::failed("operator", &error), None),
    }
}

fn of_operator(deployment: &Deployment) -> Check {
    let namespace = deployment.namespace().unwrap_or_default();
    let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let image = pod.and_then(|pod| pod.containers.first()?.image.clone()).unwrap_or_default();
    let scope = if is_cluster_wide(deployment) { "all namespaces" } else { "its namespace" };
    let shown = format!("{image} in namespace {namespace}, for {scope}");
    if !is_available(deployment) {
        let error = Error::general(format!("{shown}: not available"));
        let command = format!("kubectl -n {namespace} describe deployment,pod -l app.kubernetes.io/name={OPERATOR}");
        return Check::failed("operator", &error.hint(command));
    }
    // a tag that is no version, such as that of a local build, says nothing
    match image.rsplit_once(":v").map(|(_, tag)| tag) {
        Some(tag) if semver::Version::parse(tag).is_ok() && tag != VERSION => {
            Check::warning("operator", format!("{shown}, while this is v{VERSION}"))
                .hint(format!("kubectl etcdbackup install -n {namespace} brings both to one version"))
        }
        _ => Check::ok("operator", shown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::report::State;

    #[test]
    fn kubernetes_before_1_29_is_too_old() {
        let state = |major, minor| of_version(major, minor, "v").state;
        assert_eq!(state("1", "29+"), State::Ok);
        assert_eq!(state("1", "34"), State::Ok);
        assert_eq!(state("2", "0"), State::Ok);
        assert_eq!(state("1", "28"), State::Failed);
        assert_eq!(state("", "x"), State::Failed);
    }

    fn deployment(image: &str, available: i32) -> Deployment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": OPERATOR, "namespace": "etcd", "generation": 1},
            "spec": {"replicas": 1, "selector": {}, "template": {"spec": {"containers": [
                {"name": "operator", "image": image, "args": ["operator", "--cluster-wide"]}]}}},
            "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": available}
        }))
        .unwrap()
    }

    #[test]
    fn an_operator_of_another_version_is_a_warning_and_one_that_is_down_a_failure() {
        let own = format!("ghcr.io/x/y:v{VERSION}");
        assert_eq!(of_operator(&deployment(&own, 1)).state, State::Ok);
        assert_eq!(of_operator(&deployment("registry.local:5000/y:dev", 1)).state, State::Ok);
        assert_eq!(of_operator(&deployment("ghcr.io/x/y:v99.0.0", 1)).state, State::Warning);
        assert_eq!(of_operator(&deployment(&own, 0)).state, State::Failed);
    }

    #[test]
    fn another_projects_crd_shows_its_dialect() {
        let crd = |fields: serde_json::Value| -> CustomResourceDefinition {
            serde_json::from_value(
                serde_json::json!({"metadata": {"name": CRD}, "spec": {"group": "g", "scope": "Namespaced",
                "names": {"plural": "p", "kind": "K"}, "versions": [{"name": "v", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": fields}}}}}]}}),
            )
            .unwrap()
        };
        let shown = |fields| foreign(&crd(fields)).message;
        assert!(shown(serde_json::json!({"etcdEndpoints": {}})).ends_with("etcdEndpoints"));
        assert!(shown(serde_json::json!({"clusterName": {}})).ends_with("clusterName"));
        assert!(shown(serde_json::json!({})).ends_with("tells its dialect"));
    }
}
