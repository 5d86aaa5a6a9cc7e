//! Which nodes a cluster had when it was backed up: Medusa's token map, esop's topology.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::layout::is_name;

/// Most bytes of a token map or topology: 1000 nodes with 256 tokens each take 6 MB.
pub const MOST_BYTES: usize = 16 << 20;

/// Medusa's `tokenmap.json`, without the tokens: host names and what is known of them.
///
/// Source: thelastpickle/cassandra-medusa, medusa/cassandra_utils.py (`tokenmap`).
pub type TokenMap = BTreeMap<String, Host>;

/// A host of a token map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Host {
    #[serde(default)]
    pub dc: Option<String>,
}

/// Reads a token map; `None` for bytes that are none, and for names that are no names of hosts.
pub fn token_map(bytes: &[u8]) -> Option<TokenMap> {
    let map: TokenMap = serde_json::from_slice(bytes).ok()?;
    (!map.is_empty() && map.keys().all(|host| is_name(host))).then_some(map)
}

/// esop's topology file.
///
/// Source: instaclustr/esop, `CassandraClusterTopology`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Topology {
    pub cluster_name: String,
    pub topology: Vec<Node>,
}

/// A node of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// Name of its pod.
    #[serde(default)]
    pub hostname: String,
    pub dc: String,
    /// Host id, the name of its directory.
    pub node_id: String,
}

/// Reads a topology; `None` for bytes that are none.
pub fn topology(bytes: &[u8]) -> Option<Topology> {
    let found: Topology = serde_json::from_slice(bytes).ok()?;
    let named = |node: &Node| is_name(&node.dc) && is_name(&node.node_id);
    (!found.topology.is_empty() && found.topology.iter().all(named)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_map_tells_hosts_and_their_datacenters() {
        let map =
            token_map(br#"{"a-0": {"tokens": [1], "is_up": true, "rack": "r", "dc": "dc1"}, "a-1": {}}"#).unwrap();
        assert_eq!(map.get("a-0").and_then(|host| host.dc.as_deref()), Some("dc1"));
        assert_eq!(map.get("a-1"), Some(&Host::default()));
        for bad in ["", "{}", "[]", r#"{"a"#, r#"{"../x": {}}"#, r#"{"": {}}"#, r#"{"a": 1}"#] {
            assert_eq!(token_map(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_topology_tells_host_ids() {
        let text = |dc: &str| {
            let node = format!(r#"{{"hostname": "p-0", "cluster": "c", "dc": "{dc}", "rack": "r", "nodeId": "n"}}"#);
            format!(r#"{{"timestamp": 1, "clusterName": "c", "schemaVersion": "s", "topology": [{node}]}}"#)
        };
        let found = topology(text("dc1").as_bytes()).unwrap();
        assert_eq!((found.cluster_name.as_str(), found.topology[0].node_id.as_str()), ("c", "n"));
        for bad in [text("a/b"), text("dc1").replace("nodeId", "id"), r#"{"clusterName": "c", "topology": []}"#.into()]
        {
            assert_eq!(topology(bad.as_bytes()), None, "{bad}");
        }
    }
}
