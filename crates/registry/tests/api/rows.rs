//! Serialization of rows.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Returns the Rust files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let below = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    below.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// Returns the rows in a source text with a field that serialization skips.
fn rows_that_skip(source: &str) -> Vec<&str> {
    let items = source.split("\n}\n");
    let skips = items.filter(|item| item.contains("Queryable") && item.contains("serde(skip"));
    skips.filter_map(|item| item.rsplit_once("struct ")?.1.split_whitespace().next()).collect()
}

#[test]
fn no_row_skips_a_field_in_serialization() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let found: Vec<String> = sources(crates)
        .iter()
        .filter(|path| path.components().any(|part| part.as_os_str() == "src"))
        .flat_map(|path| {
            let source = fs::read_to_string(path).unwrap();
            let rows = rows_that_skip(&source).into_iter().map(str::to_owned).collect::<Vec<_>>();
            rows.into_iter().map(move |row| format!("{}: {row}", path.display()))
        })
        .collect();
    assert!(found.is_empty(), "the API shows a view of these rows: {found:?}");
}

#[test]
fn row_that_skips_a_field_is_detected() {
    let source = "#[derive(Queryable)]\nstruct Shown {\n    id: Uuid,\n}\n\n\
                  #[derive(Debug, Queryable)]\npub(crate) struct Half {\n    #[serde(skip)]\n    due: bool,\n}\n\n\
                  #[derive(Serialize)]\nstruct View {\n    #[serde(skip)]\n    due: bool,\n}\n";
    assert_eq!(rows_that_skip(source), ["Half"]);
}
