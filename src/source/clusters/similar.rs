//! Which names a mistyped one may have meant.

/// Most names that are offered.
const MOST: usize = 3;

/// Those of `names` that are a slip of the finger away from `word`, the nearest first, at most three.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a String>) -> Vec<&'a str> {
    let far = (word.chars().count() / 3).max(1);
    let measured = names.into_iter().map(|name| (distance(word, name), name.as_str()));
    let mut near: Vec<(usize, &str)> = measured.filter(|(distance, _)| *distance <= far).collect();
    near.sort_unstable();
    near.into_iter().take(MOST).map(|(_, name)| name).collect()
}

/// Least number of characters to insert, remove or replace (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (at, left) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], at + 1);
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_counted_in_characters() {
        for (from, to, steps) in
            [("", "", 0), ("", "abc", 3), ("etcd", "etcd", 0), ("kitten", "sitting", 3), ("é", "e", 1)]
        {
            assert_eq!((distance(from, to), distance(to, from)), (steps, steps), "{from} {to}");
        }
    }

    #[test]
    fn slips_are_recognised_and_other_names_are_not() {
        let names = ["etcd-a", "etcd-b", "etcd-c", "etcd-d", "orders"].map(str::to_owned);
        assert_eq!(nearest("etdc-a", &names), ["etcd-a"]);
        assert_eq!(nearest("etcd-x", &names), ["etcd-a", "etcd-b", "etcd-c"]);
        assert_eq!(nearest("oders", &names), ["orders"]);
        assert!(nearest("database", &names).is_empty() && nearest("", &names).is_empty());
    }
}
