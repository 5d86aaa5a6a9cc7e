//! What somebody meant who typed a word that is no command.

/// Words of other tools for what this one does, each with the way on.
const HABITS: [(&[&str], &str); 6] = [
    (&["restore", "recover"], RESTORE),
    (&["backup", "save", "snapshot", "take"], "did you mean \"create\"?"),
    (&["fetch", "pull"], "did you mean \"get\"?"),
    (&["status", "show", "snapshots", "backups"], "did you mean \"list\", or \"describe\" for one EtcdBackup?"),
    (&["delete", "rm", "remove"], "kubectl delete etcdbackup NAME; the snapshots stay in the store"),
    (&["prune", "expire"], "backupPolicy.maxBackups of an EtcdBackup expires snapshots, \"volume prune\" those of EBS"),
];

const RESTORE: &str = "\"get\" downloads the newest snapshot and proves it, \"etcdutl snapshot restore\" makes a data \
    directory of it; \"volume restore\" is for EBS volumes";

/// The way on for a word that people bring from elsewhere, or for one of `commands` with its letters in another order.
pub fn meant<'a>(word: &str, commands: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let habit = HABITS.iter().find(|(words, _)| words.contains(&word)).map(|(_, way)| (*way).to_owned());
    let swapped = || {
        let command = commands.into_iter().find(|command| sorted(command) == sorted(word))?;
        Some(format!("did you mean {command:?}?"))
    };
    habit.or_else(swapped)
}

fn sorted(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

#[cfg(test)]
mod tests {
    use super::meant;

    #[test]
    fn a_word_from_elsewhere_has_its_way_on() {
        let meant = |word| meant(word, ["get", "list", "create"]);
        assert_eq!(meant("gte").as_deref(), Some("did you mean \"get\"?"));
        assert_eq!(meant("backup").as_deref(), Some("did you mean \"create\"?"));
        assert!(meant("restore").is_some_and(|way| !way.contains("create")));
        assert_eq!(meant("frobnicate"), None);
    }
}
