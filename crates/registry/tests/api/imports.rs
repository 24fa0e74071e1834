//! Imports between the slices of the registry.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Returns the modules below `crate` that a source text names. Columns and tables of `schema` are not modules.
fn imports(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for tree in source.split("crate::").skip(1) {
        let Some(list) = tree.strip_prefix('{') else {
            found.extend(first_name(tree));
            continue;
        };
        let (mut depth, mut start) = (0, 0);
        for (at, character) in list.char_indices() {
            match character {
                '{' => depth += 1,
                '}' if depth == 0 => {
                    found.extend(first_name(&list[start..at]));
                    break;
                }
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    found.extend(first_name(&list[start..at]));
                    start = at + 1;
                }
                _ => {}
            }
        }
    }
    found
}

fn first_name(path: &str) -> Option<String> {
    let name: String =
        path.trim().chars().take_while(|one| one.is_ascii_lowercase() || *one == '_').collect();
    (!name.is_empty()).then_some(name)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}

#[test]
fn slices_do_not_import_each_other() {
    let folders = entries(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let resources = folders.iter().filter(|path| path.is_dir());
    let imports: BTreeMap<String, BTreeSet<String>> = resources
        .map(|folder| {
            let sources = entries(folder).into_iter().map(|file| fs::read_to_string(file).unwrap());
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            (name, sources.flat_map(|source| imports(&source)).collect())
        })
        .collect();
    assert!(imports["stacks"].contains("features"), "the imports are found");
    let both_ways = |one: &String, other: &String| {
        one < other && imports.get(other).is_some_and(|imports| imports.contains(one))
    };
    let pairs: Vec<_> = imports
        .iter()
        .flat_map(|(one, all)| all.iter().map(move |other| (one, other)))
        .filter(|(one, other)| both_ways(one, other))
        .collect();
    assert!(pairs.is_empty(), "{pairs:?}");
}

#[test]
fn import_parser_finds_every_form() {
    let source = "use crate::{App, dns, schema::{stacks::dsl as s, self}, features::{self, model::Row}}; crate::audit::X";
    let names = imports(source);
    assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["audit", "dns", "features", "schema"]);
}
