//! Real logs for tests: the folder that the variable `LOGINTEL_DATA` names.

use std::path::PathBuf;

/// The data folder; `None`, said aloud, where there is none. In CI it must be there.
pub fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("LOGINTEL_DATA").map(PathBuf::from).filter(|folder| folder.is_dir());
    if folder.is_none() {
        assert!(std::env::var_os("CI").is_none(), "LOGINTEL_DATA must name the data folder in CI");
        println!("skipped: LOGINTEL_DATA names no folder");
    }
    folder
}

/// The rows of a CSV file as maps from column to text.
pub fn csv_rows(path: &std::path::Path) -> Vec<std::collections::HashMap<String, String>> {
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    reader.deserialize().map(|row| row.unwrap()).collect()
}
