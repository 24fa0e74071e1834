//! Folders, files and crates that the documentation names.

use crate::page::{names_in, pages, read, root};

/// Returns the names in backticks in the first column of the tables of a section.
fn first_column(path: &str, heading: &str) -> Vec<String> {
    let page = read(path);
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').step_by(2))
        .map(|name| name.trim_matches([',', ' ']).to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn readme_maps_every_folder() {
    let map = first_column("README.md", "Project layout");
    for path in &map {
        assert!(root().join(path).exists(), "README.md maps {path}, which does not exist");
    }
    let is_mapped = |name: &str| map.iter().any(|path| path == name || path.starts_with(&format!("{name}/")));
    for name in names_in(".").into_iter().filter(|name| !name.starts_with('.') && name != "target") {
        assert!(!root().join(&name).is_dir() || is_mapped(&name), "README.md does not map {name}");
    }
}

#[test]
fn architecture_lists_exactly_the_crates() {
    let mut listed = first_column("docs/architecture.md", "Crates");
    listed.sort();
    let crates: Vec<String> = names_in("crates")
        .into_iter()
        .map(|name| format!("crates/{name}"))
        .filter(|path| root().join(path).join("Cargo.toml").exists())
        .collect();
    assert_eq!(listed, crates);
}

#[test]
fn files_that_pages_name_exist() {
    for page in pages() {
        let is_path = |name: &&str| {
            ["crates/", "scripts/", "proto/", "docs/", "deploy/", "bench/", ".ci/", ".github/"]
                .iter()
                .any(|top| name.starts_with(top))
                && !name.contains([' ', '*', '<', '…'])
        };
        for name in page.quoted().into_iter().filter(is_path) {
            assert!(root().join(name).exists(), "{}: {name} does not exist", page.path);
        }
    }
}
