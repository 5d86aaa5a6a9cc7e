//! What a claim asks of a pod: who owns the files, and on which node it is.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodAffinity, PodAffinityTerm, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use crate::api::names::{CLAIM_LABEL, claim_label};
use crate::operator::plan::Claim;

/// Fits a pod to its claim.
///
/// A driver gives a volume to the pods' group once: what the agent wrote since stays for its user alone. A disk of one
/// node is where another pod with it is; the first one chooses, as its own label fulfils the term (kubernetes/kubernetes,
/// pkg/scheduler/framework/plugins/interpodaffinity/filtering.go, `satisfyPodAffinity`, v1.34).
pub(super) fn on_volume(spec: &mut PodSpec, claim: &Claim, one_node: bool) {
    spec.security_context.get_or_insert_default().fs_group_change_policy = Some("OnRootMismatch".to_owned());
    if !one_node {
        return;
    }
    let with_it = BTreeMap::from([(CLAIM_LABEL.to_owned(), claim_label(&claim.name))]);
    let term = PodAffinityTerm {
        label_selector: Some(LabelSelector { match_labels: Some(with_it), match_expressions: None }),
        topology_key: "kubernetes.io/hostname".to_owned(),
        ..Default::default()
    };
    spec.affinity.get_or_insert_default().pod_affinity = Some(PodAffinity {
        required_during_scheduling_ignored_during_execution: Some(vec![term]),
        ..Default::default()
    });
}

/// Whether a pod is kept on the node of the others with its claim.
pub fn is_on_one_node(spec: Option<&PodSpec>) -> bool {
    spec.and_then(|spec| spec.affinity.as_ref()).is_some_and(|affinity| affinity.pod_affinity.is_some())
}
