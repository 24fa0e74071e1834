//! Settings and environment variables: the documentation lists exactly those that exist, with their defaults.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::page::{names_in, pages, read, root};

/// The page with the tables of settings.
const PAGE: &str = "docs/operator-guide/settings.md";

/// Returns the keys of every `default.toml` with their defaults.
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

/// Returns the rows of the tables of settings: the key and the cell of its default.
fn rows() -> BTreeMap<String, String> {
    let page = read(PAGE);
    let row = |line: &str| {
        let mut cells = line.strip_prefix("| `")?.split(" | ");
        let key = cells.next()?.trim_end_matches('`').to_owned();
        Some((key, cells.next()?.to_owned()))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn every_setting_is_in_the_tables_with_its_defaults() {
    let rows = rows();
    for (key, defaults) in keys() {
        let cell = rows.get(&key).unwrap_or_else(|| panic!("{PAGE} has no row of {key}"));
        for default in defaults {
            let default = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
            assert!(cell.contains(&default), "{PAGE}: the default of {key} is {default}, not {cell}");
        }
    }
}

#[test]
fn every_row_is_of_an_existing_setting() {
    let keys = keys();
    for key in rows().keys() {
        assert!(keys.contains_key(key), "{PAGE} has a row of {key}, which no default.toml has");
    }
}

/// `nno up` declares its variables where it declares its options.
#[test]
fn defaults_of_nno_up_are_documented() {
    const TABLE: &str = "docs/operator-guide/single-machine.md";
    let (pages, mut count) = (pages(), 0);
    let source = read("crates/nno/src/up/mod.rs");
    for line in source.lines().filter(|line| line.contains("env = \"NNO_")) {
        let after = |start: &str| {
            line.split_once(start).map(|(_, rest)| rest.split(['"', ')', ',']).next().unwrap_or_default())
        };
        let name = after("env = \"").unwrap();
        let default = line.split_once("default_value = \"").and_then(|(_, rest)| rest.split('"').next());
        let expected = match default.or(after("default_value_t = ")) {
            Some("") => Some("| none |".to_owned()),
            Some(default) => Some(format!("| `{default}` |")),
            None => None,
        };
        let table = pages.iter().find(|page| page.path == TABLE).unwrap();
        let row = table.text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        let row = row.unwrap_or_else(|| panic!("{TABLE} has no row of {name}"));
        if let Some(expected) = expected {
            assert!(row.contains(&expected), "{TABLE}: {row}");
        }
        count += 1;
    }
    assert!(count > 5, "{count}");
}

/// Returns the `NNO_...` variables in a text. Those with two underscores name a key and are left out.
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
fn every_variable_is_documented() {
    let mut found = BTreeMap::new();
    let sources = names_in("crates").into_iter().map(|name| format!("crates/{name}/src"));
    let others = ["scripts", "deploy", "docker-compose.yml", ".ci"].map(str::to_owned);
    for path in sources.chain(others) {
        variables_in(&root().join(path), &mut found);
    }
    assert!(found.contains_key("NNO_PORT"), "{found:?}");
    let mut documented: BTreeSet<String> = pages().iter().flat_map(|page| variables(&page.text)).collect();
    // The file describes each of its variables.
    documented.extend(variables(&read("deploy/.env.example")));
    let missing: Vec<_> = found.iter().filter(|(name, _)| !documented.contains(*name)).collect();
    assert!(missing.is_empty(), "no page documents {missing:?}");
}

#[test]
fn every_documented_variable_exists() {
    let mut found = BTreeMap::new();
    for path in ["crates", "scripts", "deploy", "docker-compose.yml", ".ci"] {
        variables_in(&root().join(path), &mut found);
    }
    for page in pages() {
        let gone: Vec<String> =
            variables(&page.text).into_iter().filter(|name| !found.contains_key(name)).collect();
        assert!(gone.is_empty(), "{}: {gone:?} does not exist", page.path);
    }
}
