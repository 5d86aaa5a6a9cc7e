//! The image that the operator itself runs, which its Jobs and sidecars get.

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;

use super::args::Args;
use super::{ASK_AGAIN, TIMEOUT};
use crate::error::{Error, Result};
use crate::kubernetes::Session;

/// The operator's container in its Deployment: others may have been put beside it.
pub const CONTAINER: &str = "operator";

/// `--image`, else the image of the operator's own pod, which is asked for until the API server tells it.
///
/// # Errors
/// [`ErrorKind::Usage`](crate::error::ErrorKind::Usage) when the flags name neither an image nor a pod.
pub async fn find(session: &Session, args: &Args) -> Result<String> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(image) = given(&args.image) {
        return Ok(image);
    }
    let Some(name) = given(&args.pod_name) else {
        return Err(Error::usage("which image Jobs and sidecars are to have is not known")
            .hint("name it with --image, or the operator's own pod with --pod-name"));
    };
    let pods = Api::<Pod>::namespaced(session.client.clone(), &session.namespace);
    loop {
        let pod = session.request(TIMEOUT, pods.get(&name)).await;
        match pod.and_then(|pod| of(&pod).ok_or_else(|| nameless(&name))) {
            Ok(image) => return Ok(image),
            Err(error) => tracing::warn!(
                error = error.message(),
                hint = "or name the image with --image",
                "the operator's own image is not known, trying again in 10 s"
            ),
        }
        tokio::time::sleep(ASK_AGAIN).await;
    }
}

fn nameless(pod: &str) -> Error {
    Error::not_found(format!("pod {pod:?} has several containers and none of the name {CONTAINER:?}"))
}

/// As the pod asks for it: what its status has is a digest, which no other node need be able to pull.
fn of(pod: &Pod) -> Option<String> {
    let containers = &pod.spec.as_ref()?.containers;
    let own = containers.iter().find(|container| container.name == CONTAINER);
    own.or_else(|| containers.first().filter(|_| containers.len() == 1))?.image.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(containers: serde_json::Value) -> Option<String> {
        let digest = "registry.local/x@sha256:00";
        of(&serde_json::from_value(serde_json::json!({"metadata": {}, "spec": {"containers": containers},
            "status": {"containerStatuses": [{"name": "operator", "image": digest, "imageID": digest, "ready": true,
                "restartCount": 0}]}}))
        .unwrap())
    }

    #[test]
    fn the_image_is_that_of_the_operators_container_as_it_was_asked_for() {
        let container = |name: &str, image: &str| serde_json::json!({"name": name, "image": image});
        let both = [container("istio-proxy", "proxy:1"), container("operator", "mirror.local/x:v1")];
        assert_eq!(image(both.as_slice().into()).as_deref(), Some("mirror.local/x:v1"));
        assert_eq!(image([container("etcdbackup", "x:v1")].as_slice().into()).as_deref(), Some("x:v1"));
        let neither = [container("istio-proxy", "proxy:1"), container("etcdbackup", "x:v1")];
        assert_eq!(image(neither.as_slice().into()), None);
    }
}
