//! How a backup stands, by the status that each operator writes.

use serde_json::Value;

use super::generations::Generation;

/// How a backup stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// What the operator says of it, if anything.
    Running(Option<String>),
    /// The operator says that it is done, which is no proof: the word that it used.
    Done(String),
    Failed(String),
}

/// Reads a backup object as the API server gives it.
///
/// Sources: BackupControllerService.java (Instaclustr, 451818a^ and f615f67), TaskPhase.java (Elassandra, cccbc770),
/// operations.go (Instaclustr's Go), medusabackupjob_types.go (K8ssandra).
pub fn standing(generation: Generation, backup: &Value) -> Standing {
    let status = &backup["status"];
    match generation {
        // the operator wrote into the spec first, later into the status
        Generation::InstaclustrJava => {
            let texts = [&status["progress"], &backup["spec"]["status"]];
            by_word(texts.into_iter().find_map(Value::as_str), String::new())
        }
        Generation::Elassandra | Generation::ElassandraSecrets | Generation::ElassandraRepository => {
            by_word(status["phase"].as_str(), status["lastMessage"].as_str().unwrap_or_default().to_owned())
        }
        Generation::InstaclustrGo => {
            by_word(backup["globalStatus"].as_str(), nodes(status, backup["globalProgress"].as_str()))
        }
        Generation::K8ssandra => medusa(status),
    }
}

fn by_word(word: Option<&str>, detail: String) -> Standing {
    let Some(word) = word.filter(|word| !word.is_empty()) else { return Standing::Running(None) };
    let said = if detail.is_empty() { word.to_owned() } else { format!("{word}: {detail}") };
    match word {
        "SUCCEED" | "PROCESSED" | "COMPLETED" => Standing::Done(word.to_owned()),
        "FAILED" => Standing::Failed(said),
        _ => Standing::Running(Some(said)),
    }
}

/// How many nodes the operator says that it has asked.
///
/// Sources: TaskStatus.java (Elassandra, cccbc770), medusabackupjob_types.go (K8ssandra). Instaclustr's operators name
/// none, or the one that asks the others.
pub fn nodes_asked(backup: &Value) -> usize {
    let status = &backup["status"];
    let listed = |field: &str| status[field].as_array().map_or(0, Vec::len);
    let lists = listed("finished") + listed("inProgress") + listed("failed");
    status["pods"].as_object().map_or(lists, serde_json::Map::len)
}

/// `40%, failed on: node-1`.
fn nodes(status: &Value, progress: Option<&str>) -> String {
    let failed = status.as_array().into_iter().flatten().filter(|node| node["state"] == "FAILED");
    let failed: Vec<&str> = failed.filter_map(|node| node["node"].as_str()).collect();
    let failed = if failed.is_empty() { None } else { Some(format!("failed on {}", failed.join(", "))) };
    progress.map(str::to_owned).into_iter().chain(failed).collect::<Vec<_>>().join(", ")
}

fn medusa(status: &Value) -> Standing {
    let names = |field: &str| -> Vec<&str> {
        status[field].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    };
    let (failed, finished, running) = (names("failed"), names("finished"), names("inProgress"));
    let ended = status["finishTime"].as_str().is_some_and(|time| !time.is_empty());
    match (failed.as_slice(), ended) {
        ([_, ..], _) => Standing::Failed(format!("failed on {}", failed.join(", "))),
        ([], true) => Standing::Done(format!("finished on {} nodes", finished.len())),
        ([], false) if finished.is_empty() && running.is_empty() => Standing::Running(None),
        ([], false) => Standing::Running(Some(format!(
            "finished on {} of {} nodes",
            finished.len(),
            finished.len() + running.len()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use Generation::{Elassandra, ElassandraSecrets, InstaclustrGo, InstaclustrJava, K8ssandra};

    #[test]
    fn each_operators_words_are_understood() {
        let done = |word: &str| Standing::Done(word.to_owned());
        let failed = |word: &str| Standing::Failed(word.to_owned());
        let running = |word: &str| Standing::Running(Some(word.to_owned()));
        for (generation, backup, stands) in [
            (InstaclustrJava, json!({"spec": {}}), Standing::Running(None)),
            (InstaclustrJava, json!({"spec": {"status": "PENDING"}}), running("PENDING")),
            (
                InstaclustrJava,
                json!({"spec": {"status": "PENDING"}, "status": {"progress": "FAILED"}}),
                failed("FAILED"),
            ),
            (InstaclustrJava, json!({"status": {"progress": "PROCESSED"}}), done("PROCESSED")),
            (InstaclustrJava, json!({"spec": {"status": "FAILED"}}), failed("FAILED")),
            (Elassandra, json!({"status": {"phase": "WAITING"}}), running("WAITING")),
            (Elassandra, json!({"status": {"phase": "SUCCEED"}}), done("SUCCEED")),
            (ElassandraSecrets, json!({"status": {"phase": "FAILED", "lastMessage": "no"}}), failed("FAILED: no")),
            (InstaclustrGo, json!({"globalStatus": "RUNNING", "globalProgress": "40%"}), running("RUNNING: 40%")),
            (InstaclustrGo, json!({"globalStatus": "UNKNOWN"}), running("UNKNOWN")),
            (InstaclustrGo, json!({"globalStatus": "COMPLETED", "globalProgress": "100%"}), done("COMPLETED")),
            (
                InstaclustrGo,
                json!({"globalStatus": "FAILED", "status": [{"node": "n1", "state": "FAILED", "progress": "3%"}]}),
                failed("FAILED: failed on n1"),
            ),
            (K8ssandra, json!({"status": {"startTime": "t"}}), Standing::Running(None)),
            (
                K8ssandra,
                json!({"status": {"inProgress": ["b"], "finished": ["a"]}}),
                running("finished on 1 of 2 nodes"),
            ),
            (K8ssandra, json!({"status": {"finishTime": "t", "finished": ["a", "b"]}}), done("finished on 2 nodes")),
            (K8ssandra, json!({"status": {"finishTime": "t", "failed": ["a"]}}), failed("failed on a")),
        ] {
            assert_eq!(standing(generation, &backup), stands, "{generation:?} {backup}");
        }
    }

    #[test]
    fn the_nodes_that_were_asked_are_counted() {
        for (backup, count) in [
            (json!({}), 0),
            (json!({"status": {"pods": {"a": "SUCCEED", "b": "SUCCEED"}}}), 2),
            (json!({"status": {"finished": ["a"], "inProgress": ["b"], "failed": ["c"]}}), 3),
            (json!({"status": [{"node": "a", "state": "COMPLETED"}]}), 0),
        ] {
            assert_eq!(nodes_asked(&backup), count, "{backup}");
        }
    }
}
