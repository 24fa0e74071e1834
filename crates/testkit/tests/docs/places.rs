//! Places that the documentation names: folders, files, other pages.

use crate::page::{Page, names_in, pages, read, root};

/// The first column of the table under a heading, each name in it.
fn map() -> Vec<String> {
    let page = read("README.md");
    let (_, section) = page.split_once("\n## Where things are\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let cells = section.lines().filter_map(|line| line.strip_prefix("| `")?.split(" | ").next());
    cells
        .flat_map(|cell| cell.split('`').step_by(2))
        .map(str::to_owned)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn the_map_leads_somewhere_and_leaves_no_crate_out() {
    let map = map();
    for path in &map {
        assert!(root().join(path).exists(), "README.md maps {path}, which is not there");
    }
    let tree = read("docs/architecture.md");
    let (_, tree) = tree.split_once("```text\ncrates/\n").unwrap();
    let (tree, _) = tree.split_once("```").unwrap();
    let told: Vec<&str> = tree.lines().filter_map(|line| line.trim_start().split("/ ").next()).collect();
    let there: Vec<String> = names_in("crates")
        .into_iter()
        .filter(|name| root().join("crates").join(name).join("Cargo.toml").exists())
        .collect();
    for name in &there {
        assert!(map.contains(&format!("crates/{name}")), "README.md does not map crates/{name}");
        assert!(told.contains(&name.as_str()), "the tree of docs/architecture.md has no {name}");
    }
    assert_eq!(told.len(), there.len(), "{told:?}");
}

/// As the anchors of headings are made.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Page) -> Vec<String> {
    let headings = page.prose().into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut links = 0;
    for page in pages() {
        let prose = page.prose().join("\n");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.starts_with("http")) {
            let (path, at) = target.split_once('#').unwrap_or((target, ""));
            let folder = root().join(&page.path).parent().unwrap().to_owned();
            let path = if path.is_empty() { root().join(&page.path) } else { folder.join(path) };
            assert!(path.exists(), "{}: the link to {target} leads nowhere", page.path);
            if !at.is_empty() {
                let led = Page { path: target.to_owned(), text: std::fs::read_to_string(&path).unwrap() };
                let found = anchors(&led);
                assert!(found.iter().any(|one| one == at), "{}: no heading #{at} in {found:?}", page.path);
            }
            links += 1;
        }
    }
    assert!(links > 50, "{links}");
}

#[test]
fn files_that_pages_name_are_there() {
    for page in pages() {
        let is_path = |name: &&str| {
            ["crates/", "scripts/", "proto/", "docs/", "deploy/", ".ci/"]
                .iter()
                .any(|top| name.starts_with(top))
                && !name.contains([' ', '*', '<'])
        };
        for name in page.quoted().into_iter().filter(is_path) {
            assert!(root().join(name).exists(), "{}: {name} is not there", page.path);
        }
    }
}
