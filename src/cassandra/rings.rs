//! Whose backups are at a place: the directories of clusters, found by what lies in them.

use super::layout::{Layout, Place, is_uuid};
use super::missed::Missed;
use super::store::Store;
use crate::error::{Error, Result};

/// The backups of one cluster. In the layout [`Layout::Medusa`] several may share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    pub layout: Layout,
    /// Key prefix of the nodes, empty or with a slash at its end.
    pub directory: String,
    /// The last name of the directory: the cluster's own in esop, cluster and datacenter in Elassandra.
    pub name: String,
    /// Directories of nodes, below the ring's; none in the layout of Medusa, whose index names them.
    pub nodes: Vec<String>,
}

impl Ring {
    fn new(layout: Layout, directory: &str, nodes: Vec<String>) -> Self {
        let name = directory.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
        Self { layout, directory: directory.to_owned(), name, nodes }
    }

    /// Key prefix of a node.
    pub fn node(&self, node: &str) -> String {
        format!("{}{node}/", self.directory)
    }

    /// Whether the place's names mean this one.
    fn is_meant(&self, place: &Place) -> bool {
        let (cluster, datacenter) = (place.cluster.as_deref(), place.datacenter.as_deref());
        match self.layout {
            Layout::Elassandra => is_cluster_id(&self.name, cluster, datacenter),
            Layout::Esop => cluster.is_none_or(|cluster| cluster == self.name),
            Layout::Medusa => true,
        }
    }

    /// Leaves only nodes of a datacenter, where the layout tells.
    fn only(mut self, datacenter: Option<&str>) -> Self {
        if let (Layout::Esop, Some(datacenter)) = (self.layout, datacenter) {
            self.nodes.retain(|node| node.split_once('/').is_some_and(|(dc, _)| dc == datacenter));
        }
        self
    }
}

/// Whether a name is `elassandra-CLUSTER-DC`, or `cassandra-CLUSTER-DC` as instaclustr's, or `CLUSTER-DC`; it may be
/// given whole as the cluster, too.
fn is_cluster_id(name: &str, cluster: Option<&str>, datacenter: Option<&str>) -> bool {
    let own = ["elassandra-", "cassandra-"].iter().find_map(|front| name.strip_prefix(front)).unwrap_or(name);
    match (cluster, datacenter) {
        (None, None) => true,
        (Some(cluster), None) => cluster == name || own.strip_prefix(cluster).is_some_and(|rest| rest.starts_with('-')),
        (None, Some(datacenter)) => own.strip_suffix(datacenter).is_some_and(|rest| rest.ends_with('-')),
        (Some(cluster), Some(datacenter)) => cluster == name || own == format!("{cluster}-{datacenter}"),
    }
}

/// What is at the place, as far as its names mean it.
///
/// # Errors
/// [`Missed::NotThere`] where nothing looks like a backup of Cassandra, and where nothing is meant; those of the store.
pub async fn find(store: &impl Store, place: &Place) -> Result<Vec<Ring>, Missed> {
    let found = all(store, place).await?;
    let url = store.url(&place.prefix);
    if found.is_empty() {
        let error = Error::not_found(format!("nothing at {url} looks like backups of Cassandra"))
            .hint("name the directory above the clusters with --location; for Medusa the one that has index/ in it");
        return Err(Missed::NotThere(error));
    }
    let names: Vec<String> = found.iter().map(|ring| ring.name.clone()).collect();
    let mut meant: Vec<Ring> = found.into_iter().filter(|ring| ring.is_meant(place)).collect();
    // a whole name means more than the beginning of another one
    if let Some(at) = meant.iter().position(|ring| place.cluster.as_ref() == Some(&ring.name)) {
        meant = vec![meant.swap_remove(at)];
    }
    let meant = meant.into_iter().map(|ring| ring.only(place.datacenter.as_deref()));
    let meant: Vec<Ring> = meant.filter(|ring| ring.layout == Layout::Medusa || !ring.nodes.is_empty()).collect();
    match meant.is_empty() {
        true => Err(Missed::NotThere(
            Error::not_found(format!("no backups of this cluster and datacenter at {url}"))
                .hint(format!("there are: {}", names.join(", "))),
        )),
        false => Ok(meant),
    }
}

/// Whether a directory of this name is what is meant, if it is the cluster's: then no other can be meant too.
fn is_named(name: &str, place: &Place) -> bool {
    match (place.cluster.as_deref(), place.datacenter.as_deref()) {
        (Some(cluster), None) => name == cluster,
        (Some(cluster), datacenter) => is_cluster_id(name, Some(cluster), datacenter),
        (None, _) => false,
    }
}

/// The rings at the place; where it names one that is there, perhaps only that.
async fn all(store: &impl Store, place: &Place) -> Result<Vec<Ring>> {
    let prefix = place.prefix.as_str();
    let top = store.directories(prefix).await?;
    if top.iter().any(|name| name == "index") {
        let index = store.directories(&format!("{prefix}index/")).await?;
        if index.iter().any(|name| name == "backup_index") {
            return Ok(vec![Ring::new(Layout::Medusa, prefix, Vec::new())]);
        }
    }
    if is_node(&top) {
        return Err(Error::not_found(format!("{} is the directory of one node", store.url(prefix)))
            .hint("name that of its cluster with --location"));
    }
    // a bucket that others use too may have many directories, and each takes some requests
    let (named, others): (Vec<&String>, Vec<&String>) =
        top.iter().filter(|name| *name != "topology").partition(|name| is_named(name, place));
    let found = among(store, prefix, &top, &named).await?;
    match found.is_empty() {
        true => among(store, prefix, &top, &others).await,
        false => Ok(found),
    }
}

/// The rings in the directories `names`, which are some of those at the `top`.
async fn among(store: &impl Store, prefix: &str, top: &[String], names: &[&String]) -> Result<Vec<Ring>> {
    let mut rings = Vec::new();
    for name in names {
        let directory = format!("{prefix}{name}/");
        let below = store.directories(&directory).await?;
        if is_node(&below) && rings.is_empty() {
            return Ok(vec![here(prefix, top.to_vec())]);
        }
        match look(store, &directory, &below).await? {
            Look::Datacenter => {
                let nodes = esop_nodes(store, prefix, top).await?;
                return Ok(vec![Ring::new(Layout::Esop, prefix, nodes)]);
            }
            Look::Ring(layout) => {
                let nodes = match layout {
                    Layout::Esop => esop_nodes(store, &directory, &below).await?,
                    _ => below,
                };
                rings.push(Ring::new(layout, &directory, nodes));
            }
            Look::Other => {}
        }
    }
    Ok(rings)
}

/// Directories that are looked into before one is taken for something else.
const LOOKED_INTO: usize = 3;

/// What a directory is.
enum Look {
    /// One of esop's, with nodes in it.
    Datacenter,
    Ring(Layout),
    Other,
}

/// Looks into the first ones of the directories `below`: the first backup of a node may not have got to its manifest.
async fn look(store: &impl Store, directory: &str, below: &[String]) -> Result<Look> {
    for name in below.iter().take(LOOKED_INTO) {
        let deeper = store.directories(&format!("{directory}{name}/")).await?;
        if is_node(&deeper) {
            return Ok(if is_uuid(name) { Look::Datacenter } else { Look::Ring(Layout::Elassandra) });
        }
        if deeper.first().is_some_and(|node| is_uuid(node)) {
            return Ok(Look::Ring(Layout::Esop));
        }
    }
    Ok(Look::Other)
}

/// The ring whose nodes are directly at the prefix.
fn here(prefix: &str, nodes: Vec<String>) -> Ring {
    if !nodes.iter().all(|node| is_uuid(node)) {
        return Ring::new(Layout::Elassandra, prefix, nodes);
    }
    let whole = prefix.trim_end_matches('/');
    let (cluster, datacenter) =
        whole.rsplit_once('/').map_or(("", whole), |(cluster, datacenter)| (cluster, datacenter));
    let cluster = if cluster.is_empty() { String::new() } else { format!("{cluster}/") };
    let nodes = nodes.into_iter().map(|node| format!("{datacenter}/{node}")).collect();
    Ring::new(Layout::Esop, &cluster, nodes)
}

async fn esop_nodes(store: &impl Store, cluster: &str, datacenters: &[String]) -> Result<Vec<String>> {
    let mut nodes = Vec::new();
    for datacenter in datacenters {
        let below = store.directories(&format!("{cluster}{datacenter}/")).await?;
        nodes.extend(below.iter().filter(|node| is_uuid(node)).map(|node| format!("{datacenter}/{node}")));
    }
    Ok(nodes)
}

/// Whether these are the directories in that of a node.
fn is_node(directories: &[String]) -> bool {
    directories.iter().any(|name| name == "manifests")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cassandra::double::Bucket;

    const ID: &str = "1e519de1-58bb-40c5-8fc7-3f0a5b0ae7ee";

    async fn found(keys: &[&str], place: Place) -> Result<Vec<(Layout, String, Vec<String>)>> {
        let found = find(&Bucket::of(keys), &place).await.map_err(Missed::into_error)?;
        Ok(found.into_iter().map(|ring| (ring.layout, ring.directory, ring.nodes)).collect())
    }

    fn at(prefix: &str) -> Place {
        Place { prefix: prefix.to_owned(), ..Place::default() }
    }

    fn ring(layout: Layout, directory: &str, nodes: &[&str]) -> (Layout, String, Vec<String>) {
        (layout, directory.to_owned(), nodes.iter().map(|node| (*node).to_owned()).collect())
    }

    #[tokio::test]
    async fn each_layout_is_known_by_its_directories_from_above_and_within() {
        let elassandra =
            ["x/e-a-dc1/e-a-dc1-r1-0/data/ks/t/1/f", "x/e-a-dc1/e-a-dc1-r1-1/manifests/t", "x/other/data/f"];
        for prefix in ["x/", "x/e-a-dc1/"] {
            let expected = [ring(Layout::Elassandra, "x/e-a-dc1/", &["e-a-dc1-r1-0", "e-a-dc1-r1-1"])];
            assert_eq!(found(&elassandra, at(prefix)).await.unwrap(), expected, "{prefix}");
        }
        let key = format!("c/dc1/{ID}/manifests/t.json");
        for prefix in ["", "c/", "c/dc1/"] {
            let expected = [ring(Layout::Esop, "c/", &[&format!("dc1/{ID}")])];
            assert_eq!(found(&[key.as_str(), "topology/t.json"], at(prefix)).await.unwrap(), expected, "{prefix}");
        }
        let medusa = ["p/index/backup_index/t/tokenmap_n.json", "p/n/t/meta/manifest.json"];
        assert_eq!(found(&medusa, at("p/")).await.unwrap(), [ring(Layout::Medusa, "p/", &[])]);
    }

    #[tokio::test]
    async fn a_place_without_backups_and_one_within_a_node_are_said() {
        for (keys, prefix, says) in [
            (&[][..], "", "looks like backups"),
            (&["v1/etcd-a/3.5.0_1_etcd.backup"], "", "looks like backups"),
            (&["e/e-0/manifests/t"], "e/e-0/", "directory of one node"),
        ] {
            let error = found(keys, at(prefix)).await.unwrap_err();
            assert!(error.message().contains(says), "{error}");
        }
    }

    #[tokio::test]
    async fn a_cluster_that_is_named_is_found_without_a_look_into_what_others_store() {
        let others = (0..30).map(|number| format!("app-{number:02}/logs/day/file"));
        let keys: Vec<String> = others.chain(["elassandra-a-dc1/p-0/manifests/t".to_owned()]).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        for (cluster, datacenter) in [("a", Some("dc1")), ("elassandra-a-dc1", None)] {
            let (bucket, cluster) = (Bucket::of(&keys), Some(cluster.to_owned()));
            let place = Place { cluster, datacenter: datacenter.map(str::to_owned), ..Place::default() };
            let found = find(&bucket, &place).await.unwrap();
            // what is at the top, in the cluster, and in its node
            assert_eq!((found[0].nodes.len(), bucket.requests()), (1, 3), "{place:?}");
        }
        let place = Place { cluster: Some("b".to_owned()), datacenter: Some("dc1".to_owned()), ..Place::default() };
        let error = find(&Bucket::of(&keys), &place).await.unwrap_err().into_error();
        assert!(error.hints()[0].contains("elassandra-a-dc1"), "{error}");
    }

    #[tokio::test]
    async fn clusters_of_one_bucket_are_told_apart_by_their_names() {
        let keys =
            ["elassandra-a-dc1/p-0/manifests/t", "elassandra-a-dc10/p-0/manifests/t", "elassandra-b-dc1/p/manifests/t"];
        let some = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        for (cluster, datacenter, expected) in [
            ("", "", &["elassandra-a-dc1", "elassandra-a-dc10", "elassandra-b-dc1"][..]),
            ("a", "dc1", &["elassandra-a-dc1"]),
            ("a", "", &["elassandra-a-dc1", "elassandra-a-dc10"]),
            ("", "dc1", &["elassandra-a-dc1", "elassandra-b-dc1"]),
            ("elassandra-b-dc1", "", &["elassandra-b-dc1"]),
            ("elassandra-a-dc1", "", &["elassandra-a-dc1"]),
            ("c", "", &[]),
        ] {
            let place = Place { cluster: some(cluster), datacenter: some(datacenter), ..Place::default() };
            let names: Vec<String> = match find(&Bucket::of(&keys), &place).await {
                Ok(rings) => rings.into_iter().map(|ring| ring.name).collect(),
                Err(missed) => {
                    let error = missed.into_error();
                    assert!(error.hints()[0].contains("elassandra-a-dc10"), "{error}");
                    Vec::new()
                }
            };
            assert_eq!(names, expected, "{cluster} {datacenter}");
        }
    }
}
