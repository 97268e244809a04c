//! SQL that carves: the rows of its answer say that files are on their way, not that they have come.

/// What to tell whoever runs SQL that seems to carve files: it calls `carve()` or names the table `carves`.
pub fn carve_notice(sql: &str) -> Option<&'static str> {
    let sql = sql.to_ascii_lowercase();
    let is_of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let seems_to_carve = sql.match_indices("carve").any(|(at, word)| {
        let (before, after) = (&sql[..at], &sql[at + word.len()..]);
        let is_call = after.trim_start().starts_with('(');
        let is_table = after.strip_prefix('s').is_some_and(|rest| !rest.starts_with(is_of_word));
        !before.ends_with(is_of_word) && (is_call || is_table)
    });
    seems_to_carve.then_some(
        "the query seems to carve files: agents send them within some minutes, if they were started with the flags for it \
         (docs/carves.md); see what has come with `fleetctl get carves`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_that_carves_is_warned_of() {
        for sql in [
            "SELECT carve(path) FROM file WHERE path = '/etc/hosts'",
            "select CARVE (path) from file",
            "SELECT * FROM carves WHERE path LIKE '/etc/%' AND carve = 1",
        ] {
            assert!(carve_notice(sql).is_some(), "{sql}");
        }
        for sql in ["SELECT * FROM file", "SELECT carved FROM x", "SELECT my_carve(path) FROM y", "SELECT carve FROM z"]
        {
            assert_eq!(carve_notice(sql), None, "{sql}");
        }
    }
}
