//! Settings and variables: all that there are, with their defaults, and none that there is not.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::page::{names_in, pages, read, root};

/// The keys of every `default.toml`, each with its defaults.
fn keys() -> BTreeMap<String, BTreeSet<String>> {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for name in names_in("crates") {
        let Ok(text) = fs::read_to_string(root().join("crates").join(name).join("config/default.toml"))
        else {
            continue;
        };
        let mut section = "";
        for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
            match line.split_once(" = ") {
                Some((key, value)) => {
                    let default = value.trim_matches('"').to_owned();
                    keys.entry(format!("{section}.{key}")).or_default().insert(default);
                }
                None => section = line.trim_matches(['[', ']']),
            }
        }
    }
    assert!(keys.len() > 30, "{keys:?}");
    keys
}

/// The rows of the tables of settings: the key and the cell of its default.
fn rows() -> BTreeMap<String, String> {
    let page = read("docs/operations.md");
    let (_, section) = page.split_once("\n## Configuration\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.trim_end_matches('`').to_owned();
        Some((key, cells.next()?.to_owned()))
    };
    section.lines().filter_map(row).collect()
}

#[test]
fn every_setting_is_in_the_tables_with_its_defaults() {
    let rows = rows();
    for (key, defaults) in keys() {
        let cell = rows.get(&key).unwrap_or_else(|| panic!("docs/operations.md has no row of {key}"));
        for default in defaults {
            let told = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
            assert!(cell.contains(&told), "docs/operations.md: the default of {key} is {told}, not {cell}");
        }
    }
}

#[test]
fn no_row_is_of_a_setting_that_is_not_there() {
    let keys = keys();
    for key in rows().keys() {
        assert!(keys.contains_key(key), "docs/operations.md has a row of {key}, which no default.toml has");
    }
}

/// `nno up` declares its variables where it declares its options.
#[test]
fn the_defaults_of_nno_up_are_those_told() {
    let (pages, mut count) = (["README.md", "docs/operations.md"].map(|path| (path, read(path))), 0);
    let source = read("crates/nno/src/up/mod.rs");
    for line in source.lines().filter(|line| line.contains("env = \"NNO_")) {
        let behind = |start: &str| {
            line.split_once(start).map(|(_, rest)| rest.split(['"', ')', ',']).next().unwrap_or_default())
        };
        let name = behind("env = \"").unwrap();
        let default = line.split_once("default_value = \"").and_then(|(_, rest)| rest.split('"').next());
        for (page, text) in &pages {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{page} has no row of {name}"));
            match default.or(behind("default_value_t = ")) {
                Some("") => assert!(row.contains("| none |"), "{page}: {row}"),
                Some(default) => assert!(row.contains(&format!("| `{default}` |")), "{page}: {row}"),
                None => {}
            }
        }
        count += 1;
    }
    assert!(count > 5, "{count}");
}

/// The `NNO_...` variables in a text; those that name a key have two underscores and are told by the key.
fn variables(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        let end = rest.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(rest.len());
        format!("NNO_{}", &rest[..end])
    };
    let starts = text.match_indices("NNO_").map(|(at, start)| &text[at + start.len()..]);
    starts.filter(|rest| rest.starts_with(|c: char| c.is_ascii_uppercase())).map(name).collect()
}

fn variables_in(path: &Path, found: &mut BTreeMap<String, String>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            variables_in(&entry.unwrap().path(), found);
        }
    } else if let Ok(text) = fs::read_to_string(path) {
        for name in variables(&text) {
            found.entry(name).or_insert_with(|| path.display().to_string());
        }
    }
}

#[test]
fn every_variable_is_told_somewhere() {
    let mut found = BTreeMap::new();
    let sources = names_in("crates").into_iter().map(|name| format!("crates/{name}/src"));
    let others = ["scripts", "deploy", "docker-compose.yml", ".ci"].map(str::to_owned);
    for path in sources.chain(others) {
        variables_in(&root().join(path), &mut found);
    }
    assert!(found.contains_key("NNO_PORT"), "{found:?}");
    let mut told: BTreeSet<String> = pages().iter().flat_map(|page| variables(&page.text)).collect();
    // It says of each of its variables what it is.
    told.extend(variables(&read("deploy/.env.example")));
    let missing: Vec<_> = found.iter().filter(|(name, _)| !told.contains(*name)).collect();
    assert!(missing.is_empty(), "no page tells of {missing:?}");
}

#[test]
fn no_variable_is_told_that_is_not_there() {
    let mut found = BTreeMap::new();
    for path in ["crates", "scripts", "deploy", "docker-compose.yml", ".ci"] {
        variables_in(&root().join(path), &mut found);
    }
    for page in pages() {
        let gone: Vec<String> =
            variables(&page.text).into_iter().filter(|name| !found.contains_key(name)).collect();
        assert!(gone.is_empty(), "{}: {gone:?} is nowhere", page.path);
    }
}
