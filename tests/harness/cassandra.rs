//! Backups of Cassandra as the operators' tools store them: real manifests, and small objects in the place of data.
//!
//! Sources of the forms: those of `cassandra::layout`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Keys and what is stored under them.
pub type Stored = BTreeMap<String, Vec<u8>>;

/// A schema version, as esop puts it into names.
pub const SCHEMA: &str = "f1159959-593d-33d1-9ade-712ea55b31ef";

const COMPONENTS: [&str; 8] = [
    "CompressionInfo.db",
    "Data.db",
    "Digest.crc32",
    "Filter.db",
    "Index.db",
    "Statistics.db",
    "Summary.db",
    "TOC.txt",
];

/// The components of SSTables: `hashed` puts a directory of generation and digest between table and file.
fn components(count: usize, hashed: bool) -> Vec<(String, usize)> {
    let component = |nth: usize| {
        let (generation, name) = (nth / COMPONENTS.len() + 1, COMPONENTS[nth % COMPONENTS.len()]);
        let table = format!("data/shop/orders-52d74870fb9911eaa75583ff2036{:04}", generation % 10);
        let between = if hashed { format!("{generation}-2620247400/") } else { String::new() };
        (format!("{table}/{between}na-{generation}-big-{name}"), nth % 7 + 1)
    };
    (0..count).map(component).collect()
}

fn bytes(size: usize) -> Vec<u8> {
    vec![b'x'; size]
}

/// A tag of `objects` SSTable components of each pod below `directory`, which is that of the cluster and datacenter.
pub fn elassandra(directory: &str, pods: &[String], objects: usize, tag: &str) -> Stored {
    let mut stored = Stored::new();
    for pod in pods {
        let node = format!("{directory}{pod}/");
        let tokens = b"initial_token: -1025679257793152318,126823146888567559\n".to_vec();
        let mut manifest = String::new();
        for (key, size) in components(objects, true) {
            manifest.push_str(&format!("{size} {key}\n"));
            stored.insert(format!("{node}{key}"), bytes(size));
        }
        manifest.push_str(&format!("{} tokens/{tag}-tokens.yaml\n", tokens.len()));
        stored.insert(format!("{node}tokens/{tag}-tokens.yaml"), tokens);
        stored.insert(format!("{node}manifests/{tag}"), manifest.into_bytes());
    }
    stored
}

/// The host id of a node, which is the name of its directory in esop.
pub fn host_id(nth: usize) -> String {
    format!("1e519de1-58bb-40c5-8fc7-{nth:012x}")
}

/// A tag of so many nodes of a datacenter, with the topology beside the clusters.
pub fn esop(cluster: &str, datacenter: &str, nodes: usize, objects: usize, (tag, millis): (&str, i64)) -> Stored {
    let (mut stored, stem) = (Stored::new(), format!("{tag}-{SCHEMA}-{millis}"));
    for nth in 0..nodes {
        let node = format!("{cluster}/{datacenter}/{}/", host_id(nth));
        let mut tables: Vec<Value> = Vec::new();
        for (key, size) in components(objects, true) {
            tables.push(
                json!({"objectKey": key, "type": "FILE", "size": size, "hash": "f8678a952d1fadf8d3368e078318db"}),
            );
            stored.insert(format!("{node}{key}"), bytes(size));
        }
        let table = json!({"sstables": {"na-1-big": tables}, "id": "52d74870", "schemaContent": "CREATE TABLE …"});
        let manifest = json!({
            "snapshot": {"name": tag, "keyspaces": {"shop": {"tables": {"orders": table}}}},
            "tokens": ["-1025679257793152318", "126823146888567559"], "schemaVersion": SCHEMA,
        });
        stored.insert(format!("{node}manifests/{stem}.json"), manifest.to_string().into_bytes());
    }
    let hosts: Vec<Value> = (0..nodes)
        .map(|nth| {
            json!({"hostname": format!("cassandra-{cluster}-{datacenter}-r1-{nth}"), "cluster": cluster,
                "dc": datacenter, "rack": "r1", "nodeId": host_id(nth), "ipAddress": "10.0.0.1"})
        })
        .collect();
    let topology = json!({"timestamp": millis, "clusterName": cluster, "schemaVersion": SCHEMA, "topology": hosts});
    stored.insert(format!("topology/{stem}.json"), topology.to_string().into_bytes());
    stored
}

/// A tag of the pods, in Medusa's `differential` form or as a full backup, with its index.
pub fn medusa(prefix: &str, pods: &[String], objects: usize, tag: &str, differential: bool) -> Stored {
    let hosts = pods.iter().map(|pod| (pod.clone(), json!({"tokens": [1], "is_up": true, "rack": "r1", "dc": "dc1"})));
    let token_map = Value::from(hosts.collect::<serde_json::Map<_, _>>()).to_string().into_bytes();
    let mut stored = Stored::new();
    for pod in pods {
        let (node, mut objects_of) = (format!("{prefix}{pod}/"), Vec::new());
        let data = if differential { node.clone() } else { format!("{node}{tag}/") };
        for (key, size) in components(objects, false) {
            objects_of.push(json!({"path": format!("{data}{key}"), "MD5": "1B2M2Y8AsgTpgAmY7PhCfg==", "size": size}));
            stored.insert(format!("{data}{key}"), bytes(size));
        }
        let section = json!({"keyspace": "shop", "columnfamily": "orders-52d7", "objects": objects_of});
        let empty = json!({"keyspace": "shop", "columnfamily": "carts-52d8", "objects": []});
        let manifest = json!([section, empty]).to_string().into_bytes();
        let of_meta = |name: &str| format!("{node}{tag}/meta/{name}");
        let of_index = |name: String| format!("{prefix}index/backup_index/{tag}/{name}");
        let version = br#"{"server_type": "cassandra", "release_version": "4.0.11"}"#.to_vec();
        stored.insert(of_meta("server_version.json"), version);
        for (name, index, bytes) in [
            ("schema.cql", format!("schema_{pod}.cql"), b"CREATE KEYSPACE shop ...".to_vec()),
            ("tokenmap.json", format!("tokenmap_{pod}.json"), token_map.clone()),
            ("manifest.json", format!("manifest_{pod}.json"), manifest),
        ] {
            stored.insert(of_meta(name), bytes.clone());
            stored.insert(of_index(index), bytes);
        }
        stored.insert(of_index(format!("started_{pod}_1600645216.timestamp")), b"1600645216".to_vec());
        stored.insert(of_index(format!("finished_{pod}_1600645759.timestamp")), b"1600645759".to_vec());
        if differential {
            stored.insert(of_meta("differential"), b"differential".to_vec());
            stored.insert(of_index(format!("differential_{pod}")), b"differential".to_vec());
        }
    }
    stored
}

/// Pods of a rack, numbered from 0.
pub fn pods(rack: &str, count: usize) -> Vec<String> {
    (0..count).map(|nth| format!("{rack}-{nth}")).collect()
}
