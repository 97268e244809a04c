//! Query plans in words.

/// Tables that cost much to read as a whole: they walk file systems, hash files or open each process.
const DEAR: [&str; 15] = [
    "file",
    "hash",
    "yara",
    "process_open_files",
    "process_open_sockets",
    "process_memory_map",
    "process_envs",
    "augeas",
    "magic",
    "plist",
    "rpm_package_files",
    "deb_package_files",
    "authorized_keys",
    "shell_history",
    "suid_bin",
];

/// Tables that give nothing, or warn, without a path in WHERE.
const NEED_A_PATH: [&str; 5] = ["file", "hash", "yara", "magic", "plist"];

/// What the steps of a plan say that the author of a query may want to know.
pub fn remarks(details: &[String]) -> Vec<String> {
    let mut remarks: Vec<String> = Vec::new();
    let mut scans = Vec::new();
    for detail in details {
        let upper = detail.to_ascii_uppercase();
        if upper.contains("TEMP B-TREE") {
            let why = upper.rsplit("FOR ").next().unwrap_or_default().to_ascii_lowercase();
            remarks.push(format!("sorts all rows for {why}, because no table gives them in that order"));
        }
        let Some(table) = scanned(detail) else { continue };
        if is_whole(&upper) {
            scans.push(table.clone());
            if NEED_A_PATH.contains(&table.as_str()) {
                remarks.push(format!("reads {table} without a path: say which files with path = or path LIKE"));
            } else if DEAR.contains(&table.as_str()) {
                remarks.push(format!(
                    "reads all of {table}, which costs much: narrow it down with a column that the table takes"
                ));
            }
        }
    }
    if scans.len() > 1 {
        let inner = scans[1..].join(", ");
        remarks.push(format!("reads all of {inner} anew for each row of {}: join them by a column", scans[0]));
    }
    remarks.dedup();
    remarks
}

/// The table that a step reads.
fn scanned(detail: &str) -> Option<String> {
    let mut words = detail.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("SCAN"));
    words.next()?;
    let word = words.next()?;
    let table = if word.eq_ignore_ascii_case("TABLE") { words.next()? } else { word };
    Some(table.to_ascii_lowercase())
}

/// A virtual table that takes no constraint into account names index 0 without columns behind it.
fn is_whole(upper: &str) -> bool {
    match upper.split("VIRTUAL TABLE INDEX ").nth(1) {
        Some(index) => index.split_once(':').is_none_or(|(_, columns)| columns.trim().is_empty()),
        None => !upper.contains("USING"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(details: &[&str]) -> Vec<String> {
        remarks(&details.iter().map(|detail| (*detail).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_dear_table_is_named_if_all_of_it_is_read() {
        assert_eq!(of(&["SCAN processes VIRTUAL TABLE INDEX 0:"]), [""; 0]);
        assert_eq!(of(&["SCAN file VIRTUAL TABLE INDEX 1:path"]), [""; 0]);
        assert!(of(&["SCAN TABLE file VIRTUAL TABLE INDEX 0:"])[0].contains("without a path"));
        assert!(of(&["SCAN process_open_files VIRTUAL TABLE INDEX 0:"])[0].contains("costs much"));
    }

    #[test]
    fn a_join_without_a_column_and_a_sort_are_named() {
        let plan = [
            "SCAN processes VIRTUAL TABLE INDEX 0:",
            "SCAN users VIRTUAL TABLE INDEX 0:",
            "USE TEMP B-TREE FOR ORDER BY",
        ];
        let remarks = of(&plan);
        assert!(
            remarks.iter().any(|remark| remark.contains("reads all of users anew for each row of processes")),
            "{remarks:?}"
        );
        assert!(remarks.iter().any(|remark| remark.contains("sorts all rows for order by")), "{remarks:?}");
        assert_eq!(of(&["SCAN processes VIRTUAL TABLE INDEX 0:", "SCAN users VIRTUAL TABLE INDEX 2:uid"]), [""; 0]);
    }
}
